//! Answers with an ETag: who has it already is told so in a few bytes.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use springtide_core::digest::Digest;

use super::problem::Refused;

/// `value` as JSON with `tag`, else with a digest of what is sent.
pub fn tagged<T: Serialize>(asked: &HeaderMap, tag: Option<&str>, value: &T) -> Result<Response, Refused> {
    let body = serde_json::to_vec(value).map_err(|error| Refused::internal(error.to_string()))?;
    let tag = tag.map_or_else(|| Digest::of_bytes(&body).to_string(), str::to_owned);
    let tag = HeaderValue::from_str(&format!("\"{tag}\"")).map_err(|error| Refused::internal(error.to_string()))?;
    let has = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    let mut answer = match has.into_iter().any(|list| names(list, &tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
    };
    answer.headers_mut().insert(header::ETAG, tag);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(answer)
}

/// Whether a list of tags names this one.
fn names(list: &str, tag: &HeaderValue) -> bool {
    let tag = tag.to_str().unwrap_or_default();
    list.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_it_gets_no_body() {
        let first = tagged(&HeaderMap::new(), None, &1).unwrap();
        let tag = first.headers()[header::ETAG].clone();
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            headers
        };
        let of = |list: &str, value: u8| tagged(&with(list), None, &value).unwrap().status().as_u16();
        let tag = tag.to_str().unwrap();
        assert_eq!((of(tag, 1), of(tag, 2)), (304, 200));
        assert_eq!((of(&format!("\"x\", W/{tag}"), 1), of("\"x\"", 1), of("*", 1)), (304, 200, 304));
    }
}

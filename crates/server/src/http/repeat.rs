//! Repeats: a POST with an `Idempotency-Key` is done once, and asked again gets the first answer.
//!
//! The request is noted before anything is done and its answer afterwards. Same key and same request: same
//! answer; same key and another request: refused. If the first was cut off, nobody knows what it did, and the
//! repeat is refused with the advice to look. An answer that holds a secret is not kept.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use springtide_api::problem::MEDIA_TYPE;
use springtide_api::{PREFIX, Problem};

use super::App;
use super::credentials::Who;
use super::problem::Refused;
use crate::store::tokens::{Repeat, hash};

/// Header that names a request.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key.
const LONGEST: usize = 200;
/// Largest answer that is kept, bytes; ours are small.
const MOST: usize = 1 << 20;

/// Does a request with a key once.
pub async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match held(&app, request, next).await {
        Ok(answer) => answer,
        Err(refused) => refused.into_response(),
    }
}

async fn held(app: &App, request: Request, next: Next) -> Result<Response, Refused> {
    let key = request.headers().get(KEY).filter(|_| request.method() == Method::POST).cloned();
    let who = request.extensions().get::<Who>().cloned();
    let (Some(key), Some(who)) = (key, who) else { return Ok(next.run(request).await) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST);
    let Some(key) = key.map(str::to_owned) else {
        return Err(Refused::malformed(format!("Idempotency-Key must be 1 to {LONGEST} printable characters")));
    };
    let (parts, body) = request.into_parts();
    // Read within its bounds already.
    let bytes = to_bytes(body, usize::MAX).await.map_err(|_| Refused::malformed("the body was cut off"))?;
    let if_match = parts.headers.get(header::IF_MATCH).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let text = format!("{}\n{}\n{if_match}\n{}", parts.method, parts.uri, String::from_utf8_lossy(&bytes));
    let secret = parts.uri.path() == format!("{PREFIX}/tokens");
    let store = &app.control.estate().store;
    match store.note_request(&who.id, &key, &hash(&text), (app.clock)())? {
        Repeat::First => {}
        Repeat::Other => {
            let detail = "this Idempotency-Key was used for another request";
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "E0937", detail, "take a new key"));
        }
        Repeat::Open => {
            let detail = "the first request with this Idempotency-Key has no answer yet, or was cut off";
            let next = "look at the operations, then repeat with a new key";
            return Err(Refused::new(StatusCode::CONFLICT, "E0937", detail, next));
        }
        Repeat::Answered(_, _) if secret => {
            let detail = "the token was made by the first request with this key and shown once";
            return Err(Refused::new(StatusCode::CONFLICT, "E0937", detail, "revoke it and make another"));
        }
        Repeat::Answered(status, body) => return Ok(again(status, body)),
    }
    let answer = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    keep(app, &who, &key, answer, secret).await
}

/// Keeps an answer; what failed inside may be tried again with the same key.
async fn keep(app: &App, who: &Who, key: &str, answer: Response, secret: bool) -> Result<Response, Refused> {
    let store = &app.control.estate().store;
    let status = answer.status();
    if status.is_server_error() {
        store.forget_request(&who.id, key)?;
        return Ok(answer);
    }
    if let Some(problem) = answer.extensions().get::<Box<Problem>>() {
        let body = serde_json::to_string(problem).unwrap_or_default();
        store.answer_request(&who.id, key, status.as_u16(), &body)?;
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, MOST).await.map_err(|_| Refused::internal("the answer could not be kept"))?;
    let text = if secret { "".into() } else { String::from_utf8_lossy(&bytes) };
    store.answer_request(&who.id, key, status.as_u16(), &text)?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// The first answer once more.
fn again(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    if status.is_client_error()
        && let Ok(problem) = serde_json::from_str::<Problem>(&body)
    {
        let mut answer = status.into_response();
        answer.extensions_mut().insert(Box::new(problem));
        return answer;
    }
    let kind = if status.is_client_error() { MEDIA_TYPE } else { "application/json" };
    let replayed = (HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
    (status, axum::response::AppendHeaders([kind, replayed]), body).into_response()
}

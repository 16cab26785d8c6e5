//! Bodies within bounds: read whole before anything is done, refused when too large, too slow or not what
//! they say they are.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::Limits;
use super::problem::Refused;

/// Bytes that are read and thrown away so that who sends too much can read the answer.
const MOST_DISCARDED: usize = 256 << 20;
/// Longest time for that.
const DISCARD: Duration = Duration::from_secs(5);

/// Reads what is left of a body and keeps nothing.
pub async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let all = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            read += chunk.len();
            if read > MOST_DISCARDED {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD, all).await;
}

fn too_large(most: usize) -> Refused {
    let detail = format!("the body has more than the {} KiB that are read", most >> 10);
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "E0934", detail, "send less; see /api/v1/openapi.json")
}

/// A whole body.
pub async fn collect(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Refused> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|bytes| bytes > limits.body as u64) {
        discard(body).await;
        return Err(too_large(limits.body));
    }
    let mut chunks = body.into_data_stream();
    let whole = async {
        let mut kept = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refused::malformed("the body was cut off"))?;
            if kept.len() + chunk.len() > limits.body {
                return Err(too_large(limits.body));
            }
            kept.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(kept))
    };
    let Ok(read) = tokio::time::timeout(limits.body_within, whole).await else {
        let detail = format!("the body did not come within {} s", limits.body_within.as_secs());
        let refused = Refused::new(StatusCode::REQUEST_TIMEOUT, "E0938", detail, "send it faster");
        // What is still to come would be taken for the next request.
        return Err(refused.with(header::CONNECTION, axum::http::HeaderValue::from_static("close")));
    };
    if read.is_err() {
        discard(Body::from_stream(chunks)).await;
    }
    read
}

/// A JSON body that was asked for.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let detail = "the body must be JSON, sent as application/json";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refused::new(status, "E0932", detail, "see /api/v1/openapi.json"));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|_| Refused::malformed("the body was cut off"))?;
        // Whether it is JSON at all, and none that goes deeper than serde_json's 128 levels, is asked first.
        let value: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|error| Refused::malformed(format!("the body is not JSON: {error}")))?;
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| Refused::unfit(format!("the body does not fit: {error}")))
    }
}

/// What stands after the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        read.map(|it| Self(it.0)).map_err(|error| Refused::malformed(error.body_text()))
    }
}

/// What stands in the address.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|it| Self(it.0)).map_err(|error| {
            Refused::new(StatusCode::NOT_FOUND, "E0908", error.body_text(), "see /api/v1/openapi.json")
        })
    }
}

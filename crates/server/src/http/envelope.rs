//! What is around every answer: a number for the request, a bound on its time, a net under panics, and the
//! one place that writes problems out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use springtide_api::{Problem, problem};

use super::App;
use super::problem::Refused;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers requests: the process id keeps numbers of two servers apart.
fn number() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{:x}-{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Answers a request, come what may.
pub async fn envelope(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let number = number();
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let for_people = (!path.starts_with("/api/")).then(|| request.headers().clone());
    // An answer that goes on, such as the stream of events, is over for this as soon as it begins.
    let run = tokio::time::timeout(app.limits.within, AssertUnwindSafe(next.run(request)).catch_unwind());
    let mut answer = match run.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            tracing::error!(request = number, %method, path, "a handler panicked");
            Refused::internal("the server made a mistake").into_response()
        }
        Err(_) => {
            let detail = format!("no answer within {} s", app.limits.within.as_secs());
            let next = "look at what is done by now, then ask again";
            let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "E0938", detail, next).retry_after(5);
            refused.leaves("What was begun goes on.").into_response()
        }
    };
    if answer.status().is_client_error() || answer.status().is_server_error() {
        answer = told(&app, answer, &number, for_people.as_ref());
    }
    let status = answer.status().as_u16();
    tracing::debug!(request = number, %method, path, status, ms = began.elapsed().as_millis() as u64, "answered");
    let headers = answer.headers_mut();
    if let Ok(number) = HeaderValue::from_str(&number) {
        headers.insert(REQUEST_ID, number);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Writes a problem out: as JSON, or for people, who asked with these headers, as a page if there is one.
fn told(app: &App, mut answer: Response, number: &str, for_people: Option<&HeaderMap>) -> Response {
    let status = answer.status();
    let told = answer.extensions_mut().remove::<Box<Problem>>();
    if told.is_none() && for_people.is_some() {
        // A page that tells it by itself.
        return answer;
    }
    let mut problem = told.unwrap_or_else(|| {
        let words = status.canonical_reason().unwrap_or("refused").to_lowercase();
        let code = if status.is_server_error() { "E0900" } else { "E0932" };
        Box::new(Refused::new(status, code, words, "see /api/v1/openapi.json").problem().clone())
    });
    problem.request = Some(number.to_owned());
    if status.is_server_error() {
        tracing::warn!(request = number, code = problem.code, detail = problem.detail, "failed");
    }
    if let Some((page, asked)) = app.page.zip(for_people) {
        let mut page = page(&problem, asked);
        *page.status_mut() = status;
        page.headers_mut().extend(answer.headers().clone());
        return page;
    }
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
    *answer.body_mut() = Body::from(body);
    answer
}

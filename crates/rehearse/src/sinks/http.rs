//! The partners that speak HTTP: one small answer each, by the idempotency key.
//!
//! The key is the header `Idempotency-Key`, or `X-Idempotency-Key`. The same key gets the same answer.
//!
//! Rule: a connection is bounded in time, a body in size, and the number of connections in all.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::mode::Behaviour;
use super::{BODY_LIMIT, CONNECTIONS, Desk, Sink};

/// How long a client may take for the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer, as asked")]
pub(super) struct Closed;

/// Serves one sink until the task is dropped.
pub(super) async fn serve(listener: TcpListener, desk: Desk) {
    serve_with(listener, move |request| {
        let desk = desk.clone();
        async move { answer(desk, request).await }
    })
    .await;
}

/// Serves HTTP/1.1 with one function, within the bounds of sinks.
pub(super) async fn serve_with<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Result<Response<Body>, Closed>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // No descriptors left, most likely: wait until some connection ends.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let answer = answer.clone();
        connections.spawn(async move {
            let _place = place;
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 << 10);
            // A connection that ends badly was counted by its calls.
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(mut desk: Desk, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    let (head, body) = request.into_parts();
    let key = key(&head.headers);
    let path = head.uri.path().to_owned();
    let number = desk.book.call(desk.sink, head.method.as_str(), &path, key.as_deref());
    let body = tokio::time::timeout(PATIENCE, to_bytes(Body::new(body), BODY_LIMIT)).await;
    let Ok(Ok(body)) = body else {
        desk.book.outcome(desk.sink, "refused");
        let why = format!("the body is longer than {BODY_LIMIT} bytes, or did not arrive");
        return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": why })));
    };
    let behaviour = desk.mode.borrow_and_update().of(number);
    let word = word(behaviour);
    desk.book.outcome(desk.sink, word);
    match behaviour {
        Behaviour::Ok => {}
        Behaviour::Fail(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return Ok(reply(status, &json!({ "error": "this sink fails, as asked" })));
        }
        Behaviour::Throttle(time) => {
            let mut response = reply(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": "too many calls, as asked" }));
            response.headers_mut().insert(header::RETRY_AFTER, time.as_secs().into());
            return Ok(response);
        }
        Behaviour::Drop => return Err(Closed),
        Behaviour::Stall(time) => {
            // Ends early when the mode changes, so that a run need not wait for stalled calls.
            let _ = tokio::time::timeout(time, desk.mode.changed()).await;
        }
        Behaviour::LoseAnswer => {
            desk.book.effect(desk.sink, key.as_deref());
            return Err(Closed);
        }
    }
    let seed = key.clone().unwrap_or_else(|| format!("call {number}"));
    if head.method != Method::GET && head.method != Method::HEAD {
        desk.book.effect(desk.sink, key.as_deref());
    }
    let (status, value) = partner(desk.sink, &seed, body.len());
    Ok(reply(status, &value))
}

/// What the partner says; the same for the same key.
fn partner(sink: Sink, seed: &str, bytes: usize) -> (StatusCode, Value) {
    let digest = Sha256::digest(format!("{sink} {seed}"));
    let id: String = digest.iter().take(8).map(|byte| format!("{byte:02X}")).collect();
    match sink {
        Sink::Carrier => (StatusCode::CREATED, json!({ "tracking": format!("SPT{id}"), "label_bytes": 0 })),
        Sink::Marketplace => (StatusCode::OK, json!({ "accepted": true, "reference": id })),
        Sink::Edi => (StatusCode::ACCEPTED, json!({ "message": id, "bytes": bytes })),
        Sink::Payment => (StatusCode::CREATED, json!({ "payment": id, "state": "authorised" })),
        Sink::Webhook | Sink::Smtp => (StatusCode::OK, json!({ "received": true })),
    }
}

pub(super) fn word(behaviour: Behaviour) -> &'static str {
    match behaviour {
        Behaviour::Ok => "ok",
        Behaviour::Fail(_) => "fail",
        Behaviour::Stall(_) => "stall",
        Behaviour::Throttle(_) => "throttle",
        Behaviour::Drop => "drop",
        Behaviour::LoseAnswer => "lose-answer",
    }
}

fn key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("idempotency-key").or_else(|| headers.get("x-idempotency-key"))?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

pub(super) fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

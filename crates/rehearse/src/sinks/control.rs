//! The port over which counts are read and modes are switched while sinks run.
//!
//! `GET /counts`, `GET /modes`, `PUT /modes/SINK` with a JSON text such as `"fail:503/3"` as its body.
//! It is on loopback and asks for no token: who may open ports here can send mail to the sinks as well.
//! A `PUT` must say that it is JSON, which a web page of another origin cannot do unasked.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::TcpListener;

use super::http::{Closed, reply, serve_with};
use super::mode::Mode;
use super::{Board, Sink};

/// Serves the control port until the task is dropped.
pub(super) async fn serve(listener: TcpListener, board: Arc<Board>) {
    serve_with(listener, move |request| {
        let board = board.clone();
        async move { Ok::<_, Closed>(answer(&board, request).await) }
    })
    .await;
}

async fn answer(board: &Board, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let refuse = |status, why: String| reply(status, &json!({ "error": why }));
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/counts") => reply(StatusCode::OK, &json!(board.book.counts())),
        (&Method::GET, "/modes") => reply(StatusCode::OK, &json!(board.modes())),
        (&Method::PUT, path) if path.starts_with("/modes/") => {
            let json_said = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
            if !json_said {
                return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send content-type: application/json".into());
            }
            let sink = match path["/modes/".len()..].parse::<Sink>() {
                Ok(sink) => sink,
                Err(error) => return refuse(StatusCode::NOT_FOUND, error.to_string()),
            };
            let Ok(body) = to_bytes(Body::new(body), 1024).await else {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "a mode is one short text".into());
            };
            match serde_json::from_slice::<Mode>(&body) {
                Ok(mode) => {
                    board.set(sink, mode);
                    reply(StatusCode::OK, &json!(board.modes()))
                }
                Err(error) => refuse(StatusCode::BAD_REQUEST, error.to_string()),
            }
        }
        _ => refuse(StatusCode::NOT_FOUND, "there is /counts, /modes and /modes/SINK".into()),
    }
}

//! How the server itself is; told to everybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use springtide_api::ServerHealth;

use crate::http::App;

/// How the server is
#[utoipa::path(get, path = "/api/v1/health", tag = "server", responses((status = 200, body = ServerHealth)))]
pub async fn health(State(app): State<Arc<App>>) -> Json<ServerHealth> {
    let looked = app.control.snapshot().map(|snapshot| snapshot.at);
    Json(ServerHealth { version: env!("CARGO_PKG_VERSION").to_owned(), ready: looked.is_some(), looked })
}

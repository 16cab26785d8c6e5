//! The notice server: one clear page for people when an environment cannot answer.
//!
//! Traefik shows its pages in place of 502-504 (and keeps the status), and for blocked paths.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;
use springtide_core::names::EnvironmentName;

/// Serves on 127.0.0.1 until it is told to end.
pub async fn serve(port: u16) -> std::io::Result<()> {
    let app = Router::new()
        .route("/starting/{environment}", any(async |path| not_ready(path, "5")))
        // The address itself is of no use later, so this one goes back to the start.
        .route("/away/{environment}", any(async |path| not_ready(path, "5;url=/web")))
        .fallback(blocked);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            term.recv().await;
        })
        .await
}

fn not_ready(Path(environment): Path<String>, again: &str) -> Response {
    // The name comes from our own route; whatever else arrives here is not shown.
    let name = environment.parse::<EnvironmentName>().map_or_else(|_| "This site".to_owned(), |name| name.to_string());
    let page = page(
        &format!("{name} is not ready yet"),
        "It is starting, or its database is away for a moment. Nothing you saved is lost. This page tries again every 5 seconds.",
        Some(again),
    );
    let headers = [(header::RETRY_AFTER, "5"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Html(page)).into_response()
}

async fn blocked() -> Response {
    (StatusCode::NOT_FOUND, Html(page("Not here", "This address is closed to the outside.", None))).into_response()
}

fn page(title: &str, text: &str, again: Option<&str>) -> String {
    let refresh = again.map(|again| format!("<meta http-equiv=\"refresh\" content=\"{again}\">")).unwrap_or_default();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">{refresh}\
         <title>{title}</title><style>body{{font:18px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem;\
         color-scheme:light dark}}h1{{font-size:1.6rem}}</style><h1>{title}</h1><p>{text}</p></html>\n"
    )
}

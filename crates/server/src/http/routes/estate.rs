//! The estate as a whole.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use springtide_api::EstateView;
use springtide_core::names::EnvironmentName;

use crate::control::Snapshot;
use crate::http::problem::Refused;
use crate::http::tagged::tagged;
use crate::http::{App, view};

/// The last look at everything.
pub fn snapshot(app: &App) -> Result<Arc<Snapshot>, Refused> {
    app.control.snapshot().ok_or_else(|| {
        let detail = "the server has not seen the estate yet";
        let next = "wait a moment; springtide doctor if it stays so";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "E0940", detail, next).retry_after(2)
    })
}

impl App {
    /// The estate as it was last seen.
    pub async fn estate_view(self: &Arc<Self>) -> Result<EstateView, Refused> {
        let snapshot = snapshot(self)?;
        let mask = self.mask().await;
        let held = self.control.held()?.as_ref().map(view::held);
        let store = &self.control.estate().store;
        let last = |name: Option<&EnvironmentName>| {
            let found = match name {
                Some(name) => store.last_operation(name.as_str()).ok()?,
                None => store.operations(1).ok()?.into_iter().next(),
            };
            found.map(|record| view::operation(&record, &mask))
        };
        Ok(view::estate(&snapshot, held, last))
    }
}

/// The estate as it was last seen
#[utoipa::path(
    get,
    path = "/api/v1/estate",
    tag = "estate",
    params(("If-None-Match" = Option<String>, Header, description = "ETag of an answer that is here already")),
    responses((status = 200, body = EstateView), (status = 304, description = "It is still the same"))
)]
pub async fn estate(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    tagged(&headers, None, &app.estate_view().await?)
}

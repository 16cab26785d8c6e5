//! One environment in full.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use springtide_api::{EnvironmentView, SignalsView};
use springtide_core::names::EnvironmentName;

use super::estate::snapshot;
use crate::http::body::Path;
use crate::http::problem::Refused;
use crate::http::tagged::tagged;
use crate::http::{App, view};
use crate::signals;

/// Operations that are shown with an environment.
const MOST: u32 = 10;

/// An environment's name as it was asked for.
pub fn named(text: &str) -> Result<EnvironmentName, Refused> {
    text.parse().map_err(|_| Refused::no_such(&format!("environment {text:?}"), "springtide status"))
}

impl App {
    /// One environment as it was last seen.
    pub async fn environment_view(self: &Arc<Self>, name: &str) -> Result<EnvironmentView, Refused> {
        let name = named(name)?;
        let snapshot = snapshot(self)?;
        let mask = self.mask().await;
        let records = self.control.estate().store.operations_before(u64::MAX, Some(&name), MOST)?;
        let operations = records.iter().map(|record| view::operation(record, &mask)).collect();
        view::environment(&snapshot, &name, operations)
            .ok_or_else(|| Refused::no_such(&format!("environment {name}"), "springtide status"))
    }

    /// What the parts of an environment say of themselves now.
    pub async fn signals_view(self: &Arc<Self>, name: &str) -> Result<SignalsView, Refused> {
        let name = named(name)?;
        let estate = self.control.estate();
        let records = estate.store.environments()?;
        let Some(record) = records.into_iter().find(|it| it.name == name) else {
            return Err(Refused::no_such(&format!("environment {name}"), "springtide status"));
        };
        let seen = signals::gather(estate, &name, record.slot).await;
        Ok(view::signals(seen, self.control.now()))
    }
}

/// One environment as it was last seen
#[utoipa::path(
    get,
    path = "/api/v1/environments/{name}",
    tag = "estate",
    params(
        ("name" = String, Path, description = "Name of the environment"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an answer that is here already"),
    ),
    responses((status = 200, body = EnvironmentView), (status = 304, description = "It is still the same"))
)]
pub async fn environment(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    tagged(&headers, None, &app.environment_view(&name).await?)
}

/// What the parts of an environment say of themselves now
#[utoipa::path(
    get,
    path = "/api/v1/environments/{name}/signals",
    tag = "estate",
    params(("name" = String, Path, description = "Name of the environment")),
    responses((status = 200, body = SignalsView))
)]
pub async fn signals(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Json<SignalsView>, Refused> {
    app.signals_view(&name).await.map(Json)
}

//! The stop switch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use springtide_api::{HoldRequest, HoldStatus};

use crate::http::auth::Who;
use crate::http::body::Asked;
use crate::http::problem::Refused;
use crate::http::{App, view};

/// Longest reason.
const LONGEST: usize = 500;

fn status(app: &App) -> Result<Json<HoldStatus>, Refused> {
    Ok(Json(HoldStatus { held: app.control.held()?.as_ref().map(view::held) }))
}

/// Whether the estate is held
#[utoipa::path(get, path = "/api/v1/hold", tag = "hold", responses((status = 200, body = HoldStatus)))]
pub async fn held(State(app): State<Arc<App>>) -> Result<Json<HoldStatus>, Refused> {
    status(&app)
}

/// Hold the estate: no operation begins, a running one stops before its next step
#[utoipa::path(
    post,
    path = "/api/v1/hold",
    tag = "hold",
    request_body = HoldRequest,
    responses((status = 200, body = HoldStatus))
)]
pub async fn hold(
    State(app): State<Arc<App>>,
    who: Who,
    Asked(asked): Asked<HoldRequest>,
) -> Result<Json<HoldStatus>, Refused> {
    app.hold(&asked.reason, &who.name)?;
    status(&app)
}

/// Release the estate
#[utoipa::path(delete, path = "/api/v1/hold", tag = "hold", responses((status = 200, body = HoldStatus)))]
pub async fn release(State(app): State<Arc<App>>, who: Who) -> Result<Json<HoldStatus>, Refused> {
    app.control.release(&who.name)?;
    status(&app)
}

impl App {
    /// Holds the estate for `by`.
    pub fn hold(&self, reason: &str, by: &str) -> Result<(), Refused> {
        let long = reason.chars().count() > LONGEST;
        let reason = reason.trim();
        if reason.is_empty() || long || reason.chars().any(char::is_control) {
            return Err(Refused::unfit(format!("a reason is one line of 1 to {LONGEST} characters")));
        }
        Ok(self.control.hold(reason, by)?)
    }
}

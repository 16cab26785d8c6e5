//! What was done, and is being done.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use springtide_api::{OperationDetail, OperationPage};
use utoipa::IntoParams;

use super::environments::named;
use crate::http::auth::Who;
use crate::http::body::{Path, Query};
use crate::http::cursor::{self, List};
use crate::http::problem::Refused;
use crate::http::{App, view};

/// Which operations.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only those that touched this environment.
    environment: Option<String>,
    /// How many at most; 50 if it is not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How many, within bounds.
pub fn within(limit: Option<u32>, usual: u32, most: u32) -> Result<u32, Refused> {
    let limit = limit.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Refused::malformed(format!("limit must be 1 to {most}")))
}

fn number(text: &str) -> Result<u64, Refused> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number: &u64| digits && i64::try_from(*number).is_ok());
    number.ok_or_else(|| Refused::no_such(&format!("operation {text:?}"), "springtide history"))
}

/// Operations, newest first
#[utoipa::path(
    get,
    path = "/api/v1/operations",
    tag = "operations",
    params(Wanted),
    responses(
        (status = 200, body = OperationPage),
        (status = 404, description = "There is no such environment", body = springtide_api::Problem, content_type = "application/problem+json")
    )
)]
pub async fn list(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Result<Json<OperationPage>, Refused> {
    let Wanted { environment, limit, cursor } = wanted;
    Ok(Json(app.operation_page(environment.as_deref(), limit, cursor.as_deref()).await?))
}

impl App {
    /// A page of operations, newest first.
    pub async fn operation_page(
        self: &Arc<Self>,
        environment: Option<&str>,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<OperationPage, Refused> {
        let limit = within(limit, 50, 500)?;
        let before = cursor.map(|text| cursor::read(List::Operations, text)).transpose()?;
        let environment = environment.map(named).transpose()?;
        let store = &self.control.estate().store;
        let records = store.operations_before(before.unwrap_or(u64::MAX), environment.as_ref(), limit)?;
        let mask = self.mask().await;
        let full = records.len() == limit as usize;
        let next =
            records.last().filter(|last| full && last.id > 1).map(|last| cursor::make(List::Operations, last.id));
        Ok(OperationPage { items: records.iter().map(|record| view::operation(record, &mask)).collect(), next })
    }

    /// An operation with its steps.
    pub async fn operation_detail(self: &Arc<Self>, number: u64) -> Result<OperationDetail, Refused> {
        let store = &self.control.estate().store;
        let Some(record) = store.operation(number)? else {
            return Err(Refused::no_such(&format!("operation {number}"), "springtide history"));
        };
        let mask = self.mask().await;
        let steps = store.steps(number)?.iter().map(|step| view::step(step, &mask)).collect();
        Ok(OperationDetail { operation: view::operation(&record, &mask), steps })
    }
}

/// One operation with its steps
#[utoipa::path(
    get,
    path = "/api/v1/operations/{id}",
    tag = "operations",
    params(("id" = u64, Path, description = "Number of the operation")),
    responses((status = 200, body = OperationDetail))
)]
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<OperationDetail>, Refused> {
    Ok(Json(app.operation_detail(number(&id)?).await?))
}

/// Ask an operation to stop before its next step
#[utoipa::path(
    post,
    path = "/api/v1/operations/{id}/cancel",
    tag = "operations",
    params(("id" = u64, Path, description = "Number of the operation")),
    responses((status = 202, description = "It was asked; what it does now it does to its end", body = OperationDetail))
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<OperationDetail>), Refused> {
    let id = number(&id)?;
    app.control.cancel(id, &who.name)?;
    Ok((StatusCode::ACCEPTED, Json(app.operation_detail(id).await?)))
}

//! What is left to do, and its approval.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use springtide_api::{ApproveRequest, Approved, NotBegun, PlanView};
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;

use super::environments::named;
use super::estate::snapshot;
use crate::http::auth::Who;
use crate::http::body::Asked;
use crate::http::problem::Refused;
use crate::http::tagged::tagged;
use crate::http::{App, view};

/// What is so when only a part of what was approved could be begun.
const GOES_ON: &str = "The operations that began go on; the rest waits for approval as before.";

/// What is left to do, as it was last planned
#[utoipa::path(
    get,
    path = "/api/v1/plan",
    tag = "plan",
    params(("If-None-Match" = Option<String>, Header, description = "ETag of an answer that is here already")),
    responses(
        (status = 200, body = PlanView, headers(("ETag" = String, description = "Begins with the plan's id, and a dot after it"))),
        (status = 304, description = "It is still the same")
    )
)]
pub async fn plan(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    let snapshot = snapshot(&app)?;
    // What becomes of a plan may change while the plan is the same.
    let view = view::plan(&snapshot);
    let digest = Digest::of_json(&view);
    tagged(&headers, Some(&format!("{}.{}", view.id, digest.short())), &view)
}

/// Look at everything now and plan anew
#[utoipa::path(post, path = "/api/v1/plan/refresh", tag = "plan", responses((status = 200, body = PlanView)))]
pub async fn refresh(State(app): State<Arc<App>>) -> Result<Json<PlanView>, Refused> {
    Ok(Json(view::plan(app.control.refresh().await?.as_ref())))
}

/// Approve a plan, so that it is carried out
#[utoipa::path(
    post,
    path = "/api/v1/plan/approve",
    tag = "plan",
    params(
        ("If-Match" = Option<String>, Header, description = "The plan's ETag; refused if it is another by now"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the request: done once however often it is sent"),
    ),
    request_body = ApproveRequest,
    responses(
        (status = 202, description = "The operations have begun; `not_begun` tells what did not", body = Approved),
        (status = 404, description = "There is no such environment", body = springtide_api::Problem, content_type = "application/problem+json"),
        (status = 412, description = "The plan is another by now", body = springtide_api::Problem, content_type = "application/problem+json")
    )
)]
pub async fn approve(
    State(app): State<Arc<App>>,
    who: Who,
    headers: HeaderMap,
    Asked(asked): Asked<ApproveRequest>,
) -> Result<(StatusCode, Json<Approved>), Refused> {
    if !(1..=80).contains(&asked.plan.chars().count())
        || asked.environments.as_ref().is_some_and(|it| it.len() > 10_000)
    {
        return Err(Refused::unfit("a plan is named by 1 to 80 characters, and at most 10000 environments with it"));
    }
    if let Some(wanted) = headers.get(header::IF_MATCH) {
        let now = snapshot(&app)?.plan.id.clone();
        let tags = wanted.to_str().unwrap_or_default().split(',').map(|tag| tag.trim().trim_matches('"'));
        if !tags.into_iter().any(|tag| tag == "*" || tag.split('.').next() == Some(now.as_str())) {
            let detail = format!("the plan is {now} by now");
            let next = "look at the plan again, then approve that one";
            return Err(Refused::new(StatusCode::PRECONDITION_FAILED, "E0801", detail, next));
        }
    }
    Ok((StatusCode::ACCEPTED, Json(app.approve(&asked, &who.name).await?)))
}

impl App {
    /// Approves a plan for `by`.
    pub async fn approve(&self, asked: &ApproveRequest, by: &str) -> Result<Approved, Refused> {
        let only: Option<Vec<EnvironmentName>> =
            asked.environments.as_ref().map(|list| list.iter().map(|name| named(name)).collect()).transpose()?;
        let begun = self.control.approve(&asked.plan, only.as_deref(), by).await?;
        let not_begun = begun.left.map(|left| NotBegun {
            environments: left.environments.iter().map(ToString::to_string).collect(),
            why: Refused::from(left.why).leaves(GOES_ON).problem().clone(),
        });
        Ok(Approved { operations: begun.operations, not_begun })
    }
}

//! Refusals: every answer that is not what was asked for, as problem+json.
//!
//! A handler returns [`Refused`]; the envelope (see `envelope`) gives it the request's number and writes it
//! out. Nothing else writes an answer of 400 or above, so that all of them look alike.

use std::error::Error;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use springtide_api::Problem;
use springtide_core::plan::explanation;

use crate::control::ControlError;
use crate::execute::chain;
use crate::store::{StoreError, StoreTrouble};

/// What most refusals leave behind.
pub const NOTHING: &str = "Nothing was changed.";

/// An answer that is not what was asked for.
#[derive(Debug, Clone)]
pub struct Refused {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    /// A refusal with its status, code, what failed, and what to do next. Nothing was changed.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        let title = explanation(code).map_or("it failed", |it| it.title);
        let problem = Problem {
            kind: format!("urn:springtide:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            unchanged: NOTHING.to_owned(),
            next: next.into(),
            request: None,
        };
        Self { problem: Box::new(problem), headers: Vec::new() }
    }

    /// A request that cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E0932", detail, "see /api/v1/openapi.json")
    }

    /// A request that can be read and asks for what cannot be.
    pub fn unfit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "E0932", detail, "see /api/v1/openapi.json")
    }

    /// Something of that name does not exist.
    pub fn no_such(what: &str, next: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "E0908", format!("there is no {what}"), next)
    }

    /// Something inside went wrong.
    pub fn internal(detail: impl Into<String>) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "E0900", detail, "springtide doctor; the server's log has the request's number")
            .leaves("Nothing further was changed.")
    }

    /// With another word of what is unchanged.
    pub fn leaves(mut self, unchanged: &str) -> Self {
        unchanged.clone_into(&mut self.problem.unchanged);
        self
    }

    /// With another word of what to do next.
    pub fn goes_on(mut self, next: &str) -> Self {
        next.clone_into(&mut self.problem.next);
        self
    }

    /// With a header.
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With the seconds after which asking again makes sense.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, seconds.max(1))
    }

    /// What it tells.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut answer = Response::default();
        *answer.status_mut() = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            answer.headers_mut().insert(name, value);
        }
        // The envelope writes the body.
        answer.extensions_mut().insert(self.problem);
        answer
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let (code, next) = match error.trouble() {
            Some(StoreTrouble::Full) => ("E0906", "df -h; free some room, then ask again"),
            Some(StoreTrouble::ReadOnly) => ("E0909", "mount the state folder writable"),
            Some(StoreTrouble::Newer) => ("E0914", "install the newer springtide"),
            Some(StoreTrouble::Damaged) => ("E0912", "springtide doctor"),
            None => return Self::internal(chain(&error)),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, chain(&error), next)
    }
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        let (code, detail) = (error.code(), chain(&error as &dyn Error));
        let (status, next) = match error {
            ControlError::Store(inner) => return inner.into(),
            ControlError::Stale { .. } => (StatusCode::CONFLICT, "look at the plan again, then approve that one"),
            ControlError::Held(_) => (StatusCode::CONFLICT, "springtide release, once the reason is gone"),
            ControlError::Busy { .. } | ControlError::Acting(_) => {
                (StatusCode::CONFLICT, "wait for it, then look at the plan again")
            }
            ControlError::NoSuch { .. } => (StatusCode::NOT_FOUND, "springtide status"),
            ControlError::Refused(_) | ControlError::Invalid(_) => (StatusCode::CONFLICT, "springtide plan"),
            ControlError::Fenced { .. } => (StatusCode::SERVICE_UNAVAILABLE, "ask the server that took over"),
            ControlError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "ask again when a server runs"),
            ControlError::Slow(_) | ControlError::Observe(_) => (StatusCode::SERVICE_UNAVAILABLE, "springtide doctor"),
            ControlError::Lint(_) | ControlError::File { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "springtide doctor")
            }
        };
        Self::new(status, code, detail, next)
    }
}

//! Sessions of the console: a login link becomes a cookie, and goes.
//!
//! The link is good once and for ten minutes, so a copy in a browser's history opens nothing. The cookie is
//! not for scripts, is not sent from other sites, and ends after twelve hours.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::App;
use super::auth::session_cookie;
use super::body::Query;
use super::credentials::{COOKIE, SESSION_S, begin_session};
use super::problem::Refused;
use crate::execute::chain;
use crate::store::tokens::hash;

/// Pages that begin and end a session.
pub(super) fn pages() -> Router<Arc<App>> {
    Router::new().route("/login", get(login)).route("/logout", post(logout))
}

#[derive(Deserialize)]
struct Login {
    code: Option<String>,
}

fn cookie(value: &str, seconds: i64) -> Result<HeaderValue, Refused> {
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|error| Refused::internal(error.to_string()))
}

async fn login(State(app): State<Arc<App>>, Query(asked): Query<Login>) -> Result<Response, Refused> {
    let again = "springtide open --console makes a new link";
    let refused = |detail: &str| Refused::new(StatusCode::UNAUTHORIZED, "E0930", detail, again);
    let Some(code) = asked.code else { return Err(refused("this needs a login link")) };
    let begun = begin_session(&app.control.estate().store, &code, (app.clock)());
    match begun.map_err(|error| Refused::internal(chain(&error)))? {
        Some(secret) => Ok(([(header::SET_COOKIE, cookie(&secret, SESSION_S)?)], Redirect::to("/")).into_response()),
        None => Err(refused("the login link is unknown, was used, or has expired")),
    }
}

async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    if let Some(secret) = session_cookie(&headers) {
        app.control.estate().store.end_session(&hash(secret))?;
    }
    Ok(([(header::SET_COOKIE, cookie("", 0)?)], Redirect::to("/login")).into_response())
}

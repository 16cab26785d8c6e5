//! Sessions of the console: a login link becomes a cookie, and goes.
//!
//! The link is good once and for ten minutes, so a copy in a browser's history opens nothing. The cookie is
//! not for scripts, is not sent from other sites, and ends after twelve hours.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use axum::{Extension, Router};

use super::App;
use super::auth::session_cookie;
use super::credentials::{COOKIE, MakeError, SESSION_S, begin_session};
use super::problem::Refused;
use super::tls::OverTls;
use crate::execute::chain;
use crate::store::tokens::hash;

/// What ends a session; the page that begins one is the console's.
pub(super) fn pages() -> Router<Arc<App>> {
    Router::new().route("/logout", post(logout))
}

/// A cookie of the console's; over TLS it is never sent in plain.
pub fn cookie(name: &str, value: &str, seconds: i64, over_tls: bool) -> Result<HeaderValue, Refused> {
    let secure = if over_tls { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(|error| Refused::internal(error.to_string()))
}

/// Begins a session with a login code: the cookie to set, or none if the code is unknown, was used, or has
/// expired. A page asks for this by a form, never by opening a link: what looks at links ahead of people
/// must not spend them.
pub fn begin(app: &App, code: &str, over_tls: bool) -> Result<Option<HeaderValue>, Refused> {
    let secret = match begin_session(&app.control.estate().store, code, (app.clock)()) {
        Ok(secret) => secret,
        // A full disk is told as one.
        Err(MakeError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(Refused::internal(chain(&error))),
    };
    secret.map(|secret| cookie(COOKIE, &secret, SESSION_S, over_tls)).transpose()
}

async fn logout(
    State(app): State<Arc<App>>,
    tls: Option<Extension<OverTls>>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    if let Some(secret) = session_cookie(&headers) {
        app.control.estate().store.end_session(&hash(secret))?;
    }
    Ok(([(header::SET_COOKIE, cookie(COOKIE, "", 0, tls.is_some())?)], Redirect::to("/login")).into_response())
}

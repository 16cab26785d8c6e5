//! The one choke point: every request passes [`guard`], and what is not allowed here is not allowed.
//!
//! What a route needs stands in one table, [`NEEDS`]; a route below /api that is not in it is closed to
//! everybody, so a forgotten line shuts a door instead of opening one. Pages of the console need a session,
//! but for those that make one. A call that changes something with a session carries its CSRF token, in the
//! header `x-csrf-token` or the form field `csrf`. The body is read only after this, and within its bounds.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use springtide_api::Scope;

use super::credentials::{COOKIE, recognise, recognise_session};
use super::listen::Peer;
use super::problem::Refused;
use super::rate::Asks;
use super::{App, body};

pub use super::credentials::Who;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it tells nothing of the estate.
    Nothing,
    /// A token or session of at least this scope.
    Scope(Scope),
}

use Need::{Nothing, Scope as Of};
use Scope::{Admin, Operate, Read};

/// What each route of the API needs.
pub const NEEDS: &[(&str, &str, Need)] = &[
    ("GET", "/api/v1/openapi.json", Nothing),
    ("GET", "/api/v1/health", Nothing),
    ("GET", "/api/v1/estate", Of(Read)),
    ("GET", "/api/v1/environments/{name}", Of(Read)),
    ("GET", "/api/v1/environments/{name}/logs/{role}", Of(Read)),
    ("GET", "/api/v1/environments/{name}/signals", Of(Read)),
    ("GET", "/api/v1/logs/{role}", Of(Read)),
    ("GET", "/api/v1/plan", Of(Read)),
    ("POST", "/api/v1/plan/refresh", Of(Operate)),
    ("POST", "/api/v1/plan/approve", Of(Operate)),
    ("GET", "/api/v1/operations", Of(Read)),
    ("GET", "/api/v1/operations/{id}", Of(Read)),
    ("POST", "/api/v1/operations/{id}/cancel", Of(Operate)),
    ("GET", "/api/v1/events", Of(Read)),
    ("GET", "/api/v1/hold", Of(Read)),
    ("POST", "/api/v1/hold", Of(Operate)),
    ("DELETE", "/api/v1/hold", Of(Operate)),
    ("GET", "/api/v1/tokens", Of(Admin)),
    ("POST", "/api/v1/tokens", Of(Admin)),
    ("DELETE", "/api/v1/tokens/{id}", Of(Admin)),
];

/// Pages that are there before a session is.
const OPEN_PAGES: [&str; 3] = ["/login", "/assets/{*path}", "/favicon.ico"];

/// What a request needs, or why nobody may make it.
fn need(method: &Method, path: &str) -> Result<Need, Refused> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    if !path.starts_with("/api/") {
        return Ok(match *method {
            _ if OPEN_PAGES.contains(&path) => Nothing,
            Method::GET => Of(Read),
            _ => Of(Operate),
        });
    }
    let of_path = || NEEDS.iter().filter(|(_, one, _)| *one == path);
    if let Some((_, _, need)) = of_path().find(|(one, _, _)| *one == method.as_str()) {
        return Ok(*need);
    }
    let allowed: Vec<&str> = of_path().map(|(one, _, _)| *one).collect();
    if allowed.is_empty() {
        return Err(Refused::new(StatusCode::FORBIDDEN, "E0931", "nobody may ask this", "see /api/v1/openapi.json"));
    }
    Err(not_allowed(method, &allowed))
}

/// Refuses a method that an address does not know.
pub fn not_allowed(method: &Method, allowed: &[&str]) -> Refused {
    let list = allowed.join(", ");
    let detail = format!("{method} is not possible here; there is {list}");
    let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "E0936", detail, "see /api/v1/openapi.json");
    match HeaderValue::from_str(&list) {
        Ok(list) => refused.with(header::ALLOW, list),
        Err(_) => refused,
    }
}

/// Lets a request in, or says why not. The handler finds [`Who`] among the request's extensions.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, rest) = request.into_parts();
    let decided = decide(&app, &mut parts);
    if let Err(refused) = decided {
        // Who still sends must be able to read the answer.
        body::discard(rest).await;
        let page = !parts.uri.path().starts_with("/api/") && refused.problem().status == 401;
        return if page { Redirect::to("/login").into_response() } else { refused.into_response() };
    }
    let bytes = match parts.method {
        Method::GET | Method::HEAD => {
            // It has no meaning there; what is sent all the same is not kept.
            body::discard(rest).await;
            Bytes::new()
        }
        _ => match body::collect(&parts.headers, rest, &app.limits).await {
            Ok(bytes) => bytes,
            Err(refused) => return refused.into_response(),
        },
    };
    if let Err(refused) = from_our_page(&parts, &bytes) {
        return refused.into_response();
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn decide(app: &App, parts: &mut Parts) -> Result<(), Refused> {
    let path = parts.extensions.get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let who = who(app, &parts.headers);
    app.rate.check(match &who {
        Ok(Some(who)) => Asks::Known(&who.id),
        _ => Asks::From(parts.extensions.get::<Peer>().map(|peer| peer.0)),
    })?;
    // An address that does not exist is told to everybody.
    let Some(path) = path else { return Ok(()) };
    let least = match need(&parts.method, &path)? {
        Nothing => return Ok(()),
        Of(scope) => scope,
    };
    let Some(who) = who? else { return Err(unknown("this needs a token")) };
    if who.scope < least {
        let detail = format!("this needs a token of scope {least}; this one has {}", who.scope);
        let next = format!("springtide token create --scope {least}");
        return Err(Refused::new(StatusCode::FORBIDDEN, "E0931", detail, next));
    }
    parts.extensions.insert(who);
    Ok(())
}

fn unknown(detail: &str) -> Refused {
    let next = "springtide token create, then send it as `Authorization: Bearer …`";
    Refused::new(StatusCode::UNAUTHORIZED, "E0930", detail, next)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"springtide\""))
}

/// Who asks; none if nothing was shown. A token that is no good is never passed over for a cookie.
pub fn who(app: &App, headers: &HeaderMap) -> Result<Option<Who>, Refused> {
    let store = &app.control.estate().store;
    let now = (app.clock)();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let token = text.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else { return Err(unknown("this is not a bearer token")) };
        return recognise(store, token.trim(), now)?.map(Some).map_err(|why| unknown(&why.to_string()));
    }
    match session_cookie(headers) {
        Some(secret) => Ok(recognise_session(store, secret, now)?),
        None => Ok(None),
    }
}

/// Waits until what `headers` show is good no more: revoked, expired, or a session that ended. Beside this a
/// stream is made, so that it ends soon, also while its reader takes nothing.
pub async fn until_refused(app: &App, headers: &HeaderMap) {
    loop {
        tokio::time::sleep(app.limits.recognise).await;
        match who(app, headers) {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(refused) if refused.problem().status == StatusCode::UNAUTHORIZED.as_u16() => return,
            // The store cannot be asked just now.
            Err(_) => {}
        }
    }
}

/// The secret of the session in the cookies.
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// What changes something with a session must come from a page of ours.
fn from_our_page(parts: &Parts, bytes: &[u8]) -> Result<(), Refused> {
    let Some(csrf) = parts.extensions.get::<Who>().and_then(|who| who.csrf.as_deref()) else { return Ok(()) };
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let same = |sent: &[u8]| crate::store::tokens::same(sent, csrf.as_bytes());
    let in_header = parts.headers.get("x-csrf-token").is_some_and(|sent| same(sent.as_bytes()));
    // The token is hex, so a field holds it as it is.
    let mut fields = bytes.split(|byte| *byte == b'&').filter_map(|field| field.strip_prefix(b"csrf="));
    if in_header || fields.any(same) {
        return Ok(());
    }
    let detail = "the form does not come from a page of this session";
    Err(Refused::new(StatusCode::FORBIDDEN, "E0933", detail, "open the page again and repeat"))
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Who>().cloned().ok_or_else(|| unknown("this needs a token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_table_is_closed() {
        assert_eq!(need(&Method::GET, "/api/v1/estate").unwrap(), Of(Read));
        assert_eq!(need(&Method::HEAD, "/api/v1/estate").unwrap(), Of(Read));
        assert_eq!(need(&Method::GET, "/api/v1/secrets").unwrap_err().problem().status, 403);
        assert_eq!(need(&Method::PUT, "/api/v1/estate").unwrap_err().problem().status, 405);
        assert_eq!(need(&Method::GET, "/").unwrap(), Of(Read));
        assert_eq!(need(&Method::POST, "/hold").unwrap(), Of(Operate));
        assert_eq!(need(&Method::POST, "/login").unwrap(), Nothing);
    }
}

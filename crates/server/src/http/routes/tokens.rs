//! Tokens: made, listed, revoked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use springtide_api::{TokenList, TokenMade, TokenRequest, TokenView};

use crate::execute::chain;
use crate::http::App;
use crate::http::body::{Asked, Path};
use crate::http::credentials::{LOCAL, MakeError, make_token};
use crate::http::problem::Refused;

/// Shortest and longest life of a token, seconds.
const LIFE: std::ops::RangeInclusive<u64> = 60..=365 * 86_400;
/// Longest name.
const LONGEST: usize = 80;

/// All tokens, without their secrets
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses((status = 200, body = TokenList)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<TokenList>, Refused> {
    Ok(Json(TokenList { items: app.control.estate().store.tokens()? }))
}

/// Make a token; it is shown this once
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "tokens",
    request_body = TokenRequest,
    responses((status = 201, description = "The token with its secret", body = TokenMade))
)]
pub async fn make(
    State(app): State<Arc<App>>,
    Asked(asked): Asked<TokenRequest>,
) -> Result<(StatusCode, Json<TokenMade>), Refused> {
    let TokenRequest { name, scope, expires_in_s } = asked;
    let long = name.chars().count() > LONGEST;
    let name = name.trim();
    if name.is_empty() || long || name.chars().any(char::is_control) || name == LOCAL {
        return Err(Refused::unfit(format!("a name is one line of 1 to {LONGEST} characters, and not {LOCAL:?}")));
    }
    if !LIFE.contains(&expires_in_s) {
        return Err(Refused::unfit(format!("expires_in_s must be {} to {}", LIFE.start(), LIFE.end())));
    }
    let life = i64::try_from(expires_in_s).unwrap_or(i64::MAX);
    match make_token(&app.control.estate().store, name, scope, life, (app.clock)()) {
        Ok(made) => Ok((StatusCode::CREATED, Json(made))),
        Err(MakeError::Store(error)) => Err(error.into()),
        Err(error) => Err(Refused::internal(chain(&error))),
    }
}

/// Revoke a token; it is good no more at once
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "Id of the token")),
    responses((status = 200, body = TokenView))
)]
pub async fn revoke(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<TokenView>, Refused> {
    let store = &app.control.estate().store;
    let none = || Refused::no_such(&format!("token {id:?}"), "springtide token list");
    if !store.revoke_token(&id, (app.clock)())? {
        return Err(none());
    }
    Ok(Json(store.token(&id)?.ok_or_else(none)?.0))
}

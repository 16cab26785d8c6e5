//! Forms: what a person asks for, handed to the same calls as the API's, and the page that follows.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use springtide_api::ApproveRequest;

use super::pages::login;
use super::shown::theme;
use crate::http::auth::Who;
use crate::http::problem::Refused;
use crate::http::tls::OverTls;
use crate::http::{App, session, view};

const YEAR_S: i64 = 365 * 86_400;

/// Fields of a form, in order; one may come several times.
type Fields = Vec<(String, String)>;

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.iter().find(|(one, _)| one == name).map_or("", |(_, value)| value)
}

/// Where a form returns to: a path of ours, or the first page.
fn back(fields: &Fields) -> Redirect {
    let path = field(fields, "back");
    let ours =
        path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|it| it.is_ascii_graphic() && it != b'\\');
    Redirect::to(if ours { path } else { "/" })
}

/// `POST /plan/approve`
pub async fn approve(State(app): State<Arc<App>>, who: Who, Form(fields): Form<Fields>) -> Result<Redirect, Refused> {
    let chosen: Vec<String> =
        fields.iter().filter(|(name, _)| name == "environment").map(|(_, it)| it.clone()).collect();
    let choice = field(&fields, "choice") == "yes";
    if choice && chosen.is_empty() {
        return Err(Refused::unfit("no environment was chosen").goes_on("choose at least one on the page of the plan"));
    }
    let removes = app.control.snapshot().is_some_and(|snapshot| view::plan_summary(&snapshot).destructive > 0);
    if removes && field(&fields, "destructive") != "yes" {
        let refused = Refused::unfit("something is removed for good, and the box beside it is not ticked");
        return Err(refused.goes_on("read the plan, tick the box, and approve it again"));
    }
    let asked = ApproveRequest { plan: field(&fields, "plan").to_owned(), environments: choice.then_some(chosen) };
    let begun = app.approve(&asked, &who.name).await?;
    if let Some(left) = begun.not_begun {
        let status = StatusCode::from_u16(left.why.status).unwrap_or(StatusCode::CONFLICT);
        let list = left.environments.join(", ");
        let detail = format!("a part was begun, and this was not: {list}. {}", left.why.detail);
        let refused = Refused::new(status, &left.why.code, detail, &left.why.next);
        return Err(refused.leaves(&left.why.unchanged));
    }
    Ok(match begun.operations.as_slice() {
        [one] => Redirect::to(&format!("/operations/{one}")),
        _ => Redirect::to("/operations"),
    })
}

/// `POST /operations/{id}/cancel`
pub async fn cancel(State(app): State<Arc<App>>, who: Who, Path(id): Path<u64>) -> Result<Redirect, Refused> {
    app.control.cancel(id, &who.name)?;
    Ok(Redirect::to(&format!("/operations/{id}")))
}

/// `POST /hold`
pub async fn hold(State(app): State<Arc<App>>, who: Who, Form(fields): Form<Fields>) -> Result<Redirect, Refused> {
    app.hold(field(&fields, "reason"), &who.name)?;
    Ok(back(&fields))
}

/// `POST /release`
pub async fn release(State(app): State<Arc<App>>, who: Who, Form(fields): Form<Fields>) -> Result<Redirect, Refused> {
    app.control.release(&who.name)?;
    Ok(back(&fields))
}

/// `POST /theme`: the look is kept in a cookie of its own.
pub async fn look(tls: Option<Extension<OverTls>>, Form(fields): Form<Fields>) -> Result<Response, Refused> {
    let theme = super::frame::Theme::parse(field(&fields, "theme"));
    let cookie = session::cookie("springtide_theme", theme.as_str(), YEAR_S, tls.is_some())?;
    Ok(([(header::SET_COOKIE, cookie)], back(&fields)).into_response())
}

/// What stands in a log-in link.
#[derive(Deserialize)]
pub struct Link {
    code: Option<String>,
}

/// `GET /login`: uses nothing up.
pub async fn enter(headers: HeaderMap, Query(link): Query<Link>) -> Response {
    login::page(theme(&headers), link.code.as_deref().unwrap_or_default(), None).into_response()
}

/// `POST /login`
pub async fn log_in(
    State(app): State<Arc<App>>,
    tls: Option<Extension<OverTls>>,
    headers: HeaderMap,
    Form(link): Form<Link>,
) -> Result<Response, Refused> {
    let code = link.code.unwrap_or_default();
    match session::begin(&app, code.trim(), tls.is_some())? {
        Some(cookie) => Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()),
        None => {
            let trouble = "This code is unknown, was used, or has expired. A new link opens the console:";
            Ok((StatusCode::UNAUTHORIZED, login::page(theme(&headers), "", Some(trouble))).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_returns_to_our_own_pages_only() {
        let to = |path: &str| {
            let answer = back(&vec![("back".to_owned(), path.to_owned())]).into_response();
            answer.headers()["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(to("/environments/prod?log=web"), "/environments/prod?log=web");
        for bad in
            ["", "https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "/a\r\nb", "javascript:1"]
        {
            assert_eq!(to(bad), "/", "{bad}");
        }
    }
}

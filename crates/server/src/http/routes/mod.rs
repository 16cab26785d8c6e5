//! The routes by topic, each with its description.

#![allow(unused_qualifications, reason = "utoipa's macro names the types of parameters once more")]

mod environments;
mod estate;
mod events;
mod health;
mod hold;
mod logs;
mod operations;
mod plan;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use springtide_api::Problem;
use springtide_api::problem::MEDIA_TYPE;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::{NEEDS, Need};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Springtide", description = "The control plane of one estate. Moments are seconds since 1970."),
    components(schemas(Problem))
)]
struct Head;

/// All routes of the API.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    let (router, mut described) = OpenApiRouter::with_openapi(Head::openapi())
        .routes(routes!(estate::estate))
        .routes(routes!(environments::environment))
        .routes(routes!(environments::signals))
        .routes(routes!(logs::of_environment))
        .routes(routes!(logs::of_estate))
        .routes(routes!(plan::plan))
        .routes(routes!(plan::refresh))
        .routes(routes!(plan::approve))
        .routes(routes!(operations::list))
        .routes(routes!(operations::one))
        .routes(routes!(operations::cancel))
        .routes(routes!(events::events))
        .routes(routes!(hold::held, hold::hold, hold::release))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::revoke))
        .routes(routes!(health::health))
        .split_for_parts();
    finish(&mut described);
    let text = described.to_json().unwrap_or_default();
    let router: Router<Arc<App>> = router.route("/api/v1/openapi.json", get(move || served(text.clone())));
    OpenApiRouter::from(router).merge(OpenApiRouter::with_openapi(described))
}

async fn served(text: String) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind, (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))], text).into_response()
}

/// The description of the API.
pub fn document() -> OpenApi {
    api().into_openapi()
}

/// What every route has: its scope, and problems.
fn finish(described: &mut OpenApi) {
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = described.components.get_or_insert_default();
    components.add_security_scheme("token", token);
    for (path, item) in &mut described.paths.paths {
        for (method, operation) in [("GET", &mut item.get), ("POST", &mut item.post), ("DELETE", &mut item.delete)] {
            let Some(operation) = operation else { continue };
            let need = NEEDS.iter().find(|(one, of, _)| *one == method && of == path).map(|(_, _, need)| *need);
            if let Some(Need::Scope(scope)) = need {
                operation.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
                let text = operation.description.get_or_insert_default();
                text.push_str(&format!("\n\nNeeds a token of scope `{scope}`."));
            }
            problems(operation, need == Some(Need::Nothing), method == "GET", path);
        }
    }
}

/// The problems that any route may answer with, beside its own.
fn problems(operation: &mut Operation, open: bool, reads: bool, path: &str) {
    let mut may = vec![(400, "Malformed"), (429, "Too many requests"), (500, "A mistake of the server")];
    may.push((503, "Not possible now"));
    if !open {
        may.extend([(401, "No token, or one that is no good"), (403, "The token's scope is too small")]);
    }
    if path.contains('{') {
        may.push((404, "There is no such thing"));
    }
    if !reads {
        may.extend([(408, "The body came too slowly"), (409, "Not possible as it is now")]);
        may.extend([(413, "The body is too large"), (415, "The body is not JSON"), (422, "The body does not fit")]);
    }
    for (status, text) in may {
        let schema = Ref::from_schema_name(Problem::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let answer = ResponseBuilder::new().description(text).content(MEDIA_TYPE, content).build();
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| answer.into());
    }
}

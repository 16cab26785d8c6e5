//! The console: pages for people, made from the wire types of the API and nothing else.
//!
//! `pages` are functions from those types to HTML, `frame` is what stands around every page; `parts`, `words`,
//! `times` and `budget` are the small things they share, `assets` the files inside the binary. `shown` gathers
//! what a page needs by the API's own calls, `live` sends it again when it changes, `forms` take what people ask
//! for, `memory` keeps what the chart draws. It works without scripts; scripts make it live.
//!
//! The rule that keeps it right: a page only shows, and every change is a form with the session's token, let in
//! and decided upon where the API is ([`crate::http::auth`], [`crate::control`]).

pub mod assets;
mod budget;
mod forms;
pub mod frame;
mod live;
pub mod memory;
pub mod pages;
mod parts;
mod shown;
mod times;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use maud::Markup;
use serde::Deserialize;
use springtide_api::Problem;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use self::live::{Followed, follow};
use self::memory::Samples;
use self::shown::{Shown, theme};
use crate::control::Control;
use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Refused;

/// Pages that may be live at once.
const STREAMS: usize = 64;

/// Only our own files, no script or style in a page, no frame around it, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the console keeps for itself.
#[derive(Debug, Clone)]
pub struct Console {
    memory: Samples,
    streams: Arc<Semaphore>,
}

impl Console {
    /// Begins to keep samples of what `control` sees, for as long as that is there.
    pub fn new(control: &Control) -> Self {
        let console = Self { memory: Samples::default(), streams: Arc::new(Semaphore::new(STREAMS)) };
        let (memory, mut looks) = (console.memory.clone(), control.changes());
        tokio::spawn(async move {
            while looks.changed().await.is_ok() {
                let look = looks.borrow_and_update().clone();
                if let Some(look) = look {
                    memory.add(&look.seen);
                }
            }
        });
        console
    }
}

/// The pages.
pub fn router(console: Console) -> Router<Arc<App>> {
    // A page holds its session's token beside what was searched for: compressed, its length would tell of it.
    let assets = Router::new().route("/assets/{*path}", get(assets::serve)).layer(CompressionLayer::new());
    Router::new()
        .route("/", get(estate))
        .route("/environments/{name}", get(environment))
        .route("/environments/{name}/signals", get(signals))
        .route("/plan", get(plan))
        .route("/plan/approve", post(forms::approve))
        .route("/operations", get(operations))
        .route("/operations/{id}", get(operation))
        .route("/operations/{id}/cancel", post(forms::cancel))
        .route("/live/", get(live_estate))
        .route("/live/environments/{name}", get(live_environment))
        .route("/live/plan", get(live_plan))
        .route("/live/operations", get(live_operations))
        .route("/live/operations/{id}", get(live_operation))
        .route("/hold", post(forms::hold))
        .route("/release", post(forms::release))
        .route("/theme", post(forms::look))
        .route("/login", get(forms::enter).post(forms::log_in))
        .layer(Extension(console))
        .merge(assets)
        .layer(map_response(|answer: Response| async move { guarded(answer) }))
}

/// Shows a problem to people, in the look that they chose.
pub fn problem(problem: &Problem, headers: &HeaderMap) -> Response {
    guarded(pages::problem::page(theme(headers), problem).into_response())
}

fn guarded(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// What may stand after the question mark of a page.
#[derive(Debug, Clone, Default, Deserialize)]
struct Asked {
    q: Option<String>,
    log: Option<String>,
    environment: Option<String>,
    cursor: Option<String>,
    seen: Option<String>,
    v: Option<String>,
}

type Page = Result<Markup, Refused>;

async fn estate(
    app: State<Arc<App>>,
    kept: Extension<Console>,
    who: Who,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Page {
    Shown::Estate(asked.q.unwrap_or_default()).page(&app, &kept, &who, theme(&headers)).await
}

async fn environment(
    app: State<Arc<App>>,
    kept: Extension<Console>,
    who: Who,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    Shown::Environment(name, asked.log).page(&app, &kept, &who, theme(&headers)).await
}

async fn signals(State(app): State<Arc<App>>, Path(name): Path<String>) -> Page {
    Ok(pages::signals::piece(&app.signals_view(&name).await?))
}

async fn plan(
    app: State<Arc<App>>,
    kept: Extension<Console>,
    who: Who,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Page {
    Shown::Plan(asked.environment).page(&app, &kept, &who, theme(&headers)).await
}

async fn operations(
    app: State<Arc<App>>,
    kept: Extension<Console>,
    who: Who,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Page {
    Shown::Operations(asked.cursor).page(&app, &kept, &who, theme(&headers)).await
}

async fn operation(
    app: State<Arc<App>>,
    kept: Extension<Console>,
    who: Who,
    headers: HeaderMap,
    Path(id): Path<u64>,
) -> Page {
    Shown::Operation(id).page(&app, &kept, &who, theme(&headers)).await
}

type Stream = Result<Response, Refused>;

async fn live_estate(
    State(app): State<Arc<App>>,
    kept: Extension<Console>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Stream {
    let shown = Shown::Estate(asked.q.unwrap_or_default());
    follow(app, &kept, headers, Followed::Page(shown), asked.v.as_deref().unwrap_or_default())
}

async fn live_environment(
    State(app): State<Arc<App>>,
    kept: Extension<Console>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Stream {
    let shown = Shown::Environment(name, asked.log);
    follow(app, &kept, headers, Followed::Page(shown), asked.v.as_deref().unwrap_or_default())
}

async fn live_operations(
    State(app): State<Arc<App>>,
    kept: Extension<Console>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Stream {
    follow(app, &kept, headers, Followed::Page(Shown::Operations(None)), asked.v.as_deref().unwrap_or_default())
}

async fn live_operation(
    State(app): State<Arc<App>>,
    kept: Extension<Console>,
    headers: HeaderMap,
    Path(id): Path<u64>,
    Query(asked): Query<Asked>,
) -> Stream {
    follow(app, &kept, headers, Followed::Page(Shown::Operation(id)), asked.v.as_deref().unwrap_or_default())
}

async fn live_plan(
    State(app): State<Arc<App>>,
    kept: Extension<Console>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Stream {
    let seen = Followed::Plan(asked.seen.unwrap_or_default());
    follow(app, &kept, headers, seen, asked.v.as_deref().unwrap_or_default())
}

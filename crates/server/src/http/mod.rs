//! The HTTP API: what the control plane knows and can do, for the command line, the console and programs.
//!
//! A request goes through `envelope` (number, time, panics, problems), `auth` (the one choke point), `repeat`
//! (done once per key) and one handler of `routes`; `view` makes the answer. Handlers decide nothing: they ask
//! `Control`. The rule that keeps it right: every route is registered with its description, so the document
//! at /api/v1/openapi.json and the router cannot differ, and needs a line in `auth`'s table to be open at all.

pub mod auth;
mod body;
pub mod credentials;
mod cursor;
mod envelope;
pub mod listen;
pub mod problem;
mod rate;
mod repeat;
mod routes;
pub mod session;
mod tagged;
pub mod tls;
pub mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use springtide_api::Problem;
use springtide_data::mask::Mask;
use springtide_data::secrets::Stamp;
use tokio::sync::Semaphore;

use self::problem::Refused;
use crate::console::{self, Console};
use crate::control::Control;
use crate::execute::Clock;

pub use routes::document;

/// What one client may take of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// Time for a body to come.
    pub body_within: Duration,
    /// Time for an answer to begin.
    pub within: Duration,
    /// Requests of one token or session: at once, and each second in the long run.
    pub rate: (u32, u32),
    /// Requests of one address that shows none.
    pub rate_others: (u32, u32),
    /// Streams of events at once.
    pub streams: usize,
    /// Pause after which a stream says that it is alive.
    pub keep_alive: Duration,
    /// Pause between two looks whether the token or session of a stream still is good.
    pub recognise: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            body_within: Duration::from_secs(10),
            within: Duration::from_secs(30),
            rate: (200, 50),
            rate_others: (50, 10),
            streams: 64,
            keep_alive: Duration::from_secs(15),
            recognise: Duration::from_secs(5),
        }
    }
}

/// Shows a problem to people, in the look that the headers of their request ask for.
pub type Page = fn(&Problem, &HeaderMap) -> Response;

/// What handlers and pages work with.
pub struct App {
    /// The control plane.
    pub control: Arc<Control>,
    /// The clock, seconds since 1970.
    pub clock: Clock,
    limits: Limits,
    page: Option<Page>,
    rate: rate::Rate,
    streams: Arc<Semaphore>,
    mask: Mutex<Option<(Stamp, Arc<Mask>)>>,
}

impl App {
    /// For this control plane; `page` shows problems to people.
    pub fn new(control: Arc<Control>, clock: Clock, limits: Limits, page: Option<Page>) -> Arc<Self> {
        Arc::new(Self {
            control,
            clock,
            page,
            rate: rate::Rate::new(&limits),
            streams: Arc::new(Semaphore::new(limits.streams)),
            limits,
            mask: Mutex::new(None),
        })
    }

    /// A mask of all secrets; made anew when there are others or one of them was written anew.
    pub async fn mask(self: &Arc<Self>) -> Arc<Mask> {
        let app = Arc::clone(self);
        // Reading and decrypting them takes its time.
        let made = tokio::task::spawn_blocking(move || {
            let secrets = &app.control.estate().secrets;
            // Before they are read: what is written meanwhile is read again next time.
            let stamp = secrets.stamp().ok();
            let mut kept = app.mask.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((of, mask)) = kept.as_ref()
                && stamp.as_ref() == Some(of)
            {
                return Arc::clone(mask);
            }
            let mask = Arc::new(Mask::new(secrets));
            *kept = stamp.filter(Stamp::settled).map(|stamp| (stamp, Arc::clone(&mask)));
            mask
        });
        made.await.unwrap_or_else(|_| Arc::new(Mask::none()))
    }
}

/// Everything a server answers: the API, and the console beside it.
pub fn site(control: Arc<Control>, clock: Clock, limits: Limits) -> Router {
    let pages = console::router(Console::new(&control));
    router(App::new(control, clock, limits, Some(console::problem)), pages)
}

/// The API and `pages` beside it, behind the choke point.
pub fn router(app: Arc<App>, pages: Router<Arc<App>>) -> Router {
    let (api, _) = routes::api().split_for_parts();
    Router::new()
        .merge(api)
        .merge(session::pages())
        .merge(pages)
        .method_not_allowed_fallback(|method: Method| async move { auth::not_allowed(&method, &["GET"]) })
        .fallback(|| async {
            Refused::new(StatusCode::NOT_FOUND, "E0939", "there is nothing at this address", "see /api/v1/openapi.json")
        })
        .layer(from_fn_with_state(Arc::clone(&app), repeat::once))
        .layer(from_fn_with_state(Arc::clone(&app), auth::guard))
        .layer(from_fn_with_state(Arc::clone(&app), envelope::envelope))
        .with_state(app)
}

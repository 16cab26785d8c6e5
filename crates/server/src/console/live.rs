//! Changes of a page as they happen: its live region, made anew and sent when it is another than before.
//!
//! A stream ends when its session does, and tells the page to load itself again. It sends whole regions, so one
//! that was missed does no harm, and who reads slowly gets the newest only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Console;
use super::frame::{Theme, plan_entry};
use super::pages::plan::along;
use super::shown::Shown;
use crate::http::auth::{until_refused, who};
use crate::http::problem::Refused;
use crate::http::{App, view};

/// Pause between two looks at a log, and at the session.
const LOOK: Duration = Duration::from_secs(2);
/// What happens in one go is shown in one go.
const GATHER: Duration = Duration::from_millis(120);
/// Comment that keeps an idle stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a stream sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The live region of a page.
    Page(Shown),
    /// Whether a plan is still the one that was shown, and whether anything can be begun.
    Plan(String),
}

/// Begins a stream. A page of another version of the console is told to load itself again.
pub fn follow(
    app: Arc<App>,
    console: &Console,
    headers: HeaderMap,
    what: Followed,
    version: &str,
) -> Result<Response, Refused> {
    let Ok(place) = Arc::clone(&console.streams).try_acquire_owned() else {
        let detail = "too many pages of the console are open at once";
        let refused =
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, "E0935", detail, "close some, then load this again");
        return Err(refused.retry_after(5));
    };
    let (send, receive) = mpsc::channel(1);
    let (console, same) = (console.clone(), version == super::assets::version());
    tokio::spawn(async move {
        let end = tokio::select! {
            end = run(&app, &console, &headers, &what, &send), if same => end,
            () = until_refused(&app, &headers), if same => End::Session,
            else => End::Version,
        };
        if end != End::Gone {
            // Who takes nothing is not waited for.
            let _ = send.send_timeout(Ok(Event::default().event("reload").data("reload")), GATHER).await;
        }
        drop(place);
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(ReceiverStream::new(receive)).keep_alive(keep_alive).into_response())
}

type Told = Result<Event, Infallible>;

/// Why a stream ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The session did.
    Session,
    /// The page is of another version of the console.
    Version,
    /// The reader went, or the server goes.
    Gone,
}

/// Sends until the reader goes or its session ends.
async fn run(app: &Arc<App>, console: &Console, headers: &HeaderMap, what: &Followed, to: &mpsc::Sender<Told>) -> End {
    let (mut looks, mut events) = (app.control.changes(), app.control.events());
    let mut look = tokio::time::interval(LOOK);
    let mut last = String::new();
    let mut due = true;
    loop {
        let who = match who(app, headers) {
            Ok(Some(who)) => Some(who),
            Ok(None) => return End::Session,
            // The store cannot be asked just now.
            Err(_) => None,
        };
        if let Some(who) = who.filter(|_| due) {
            let made = match what {
                Followed::Page(shown) => page(app, console, shown, &who).await,
                Followed::Plan(seen) => plan(app, seen, &who),
            };
            // What cannot be read now may be read the next time; the page keeps what it has.
            if let Ok(made) = made {
                // A carriage return would end a line of the stream.
                let text = made.into_string().replace('\r', "");
                if text != last {
                    if to.send(Ok(Event::default().data(&text))).await.is_err() {
                        return End::Gone;
                    }
                    last = text;
                }
            }
        }
        due = tokio::select! {
            () = to.closed() => return End::Gone,
            seen = looks.changed() => match seen { Ok(()) => true, Err(_) => return End::Gone },
            happened = events.recv() => match happened {
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return End::Gone,
                _ => true,
            },
            _ = look.tick() => matches!(what, Followed::Page(shown) if shown.grows()),
        };
        if due {
            tokio::time::sleep(GATHER).await;
            while matches!(events.try_recv(), Ok(_) | Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_))) {}
        }
    }
}

async fn page(
    app: &Arc<App>,
    console: &Console,
    shown: &Shown,
    who: &crate::http::auth::Who,
) -> Result<Markup, Refused> {
    // The same moment for the same look, so that nothing is sent because of the clock alone; the browser counts.
    let now = app.control.snapshot().map_or_else(|| (app.clock)(), |snapshot| snapshot.at);
    let frame = shown.frame(app, who, Theme::System, now)?;
    let live = shown.live(app, console, &frame).await?;
    Ok(html! { (live) (plan_entry(shown.section(), frame.waiting, true)) })
}

fn plan(app: &App, seen: &str, who: &crate::http::auth::Who) -> Result<Markup, Refused> {
    let Some(snapshot) = app.control.snapshot() else { return Ok(html! {}) };
    let frame = Shown::Plan(None).frame(app, who, Theme::System, snapshot.at)?;
    Ok(along(&frame, &view::plan(&snapshot), seen))
}

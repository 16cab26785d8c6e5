//! What happens, as a list and as a stream.
//!
//! A stream reads from the store until it has caught up and then listens. Its buffer is bounded: who reads too
//! slowly is told how many events were passed over in it, and gets them from the store all the same.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::Stream;
use serde::Deserialize;
use springtide_api::{EventPage, EventView};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::operations::within;
use crate::control::Event;
use crate::http::auth::until_refused;
use crate::http::body::Query;
use crate::http::cursor::{self, List};
use crate::http::problem::Refused;
use crate::http::{App, view};

/// Events read from the store at once.
const BATCH: u32 = 200;
/// Events that wait for a slow reader.
const BUFFER: usize = 64;

/// Which events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only those of this environment.
    environment: Option<String>,
    /// Only those of this operation.
    #[param(value_type = Option<u64>)]
    operation: Option<u64>,
    /// How many at most; 100 if it is not said. Not for streams.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the page before; without it the list begins with the oldest, a stream with what comes now.
    cursor: Option<String>,
}

impl Wanted {
    fn fits(&self, event: &Event) -> bool {
        let environment = self.environment.as_ref().is_none_or(|name| event.environment.as_ref() == Some(name));
        environment && self.operation.is_none_or(|number| event.operation == Some(number))
    }
}

/// Events, oldest first; as a stream if `text/event-stream` is accepted
///
/// A stream sends every event with its number as `id` and its kind as `event`; it goes on after
/// `Last-Event-ID`. An event `lagged` says that the reader was too slow and how many were read again.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(
        Wanted,
        ("Last-Event-ID" = Option<String>, Header, description = "Number of the last event that was seen"),
    ),
    responses((status = 200, content((EventPage = "application/json"), (String = "text/event-stream"))))
)]
pub async fn events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let limit = within(wanted.limit, 100, 1000)?;
    if wanted.operation.is_some_and(|number| i64::try_from(number).is_err()) {
        return Err(Refused::malformed("operation is no number of an operation"));
    }
    let place = wanted.cursor.as_deref().map(|text| cursor::read(List::Events, text)).transpose()?;
    let accepts = |kind: &str| {
        let lines = headers.get_all("accept").iter().filter_map(|it| it.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|one| one.split(';').next().unwrap_or_default().trim() == kind)
    };
    if !accepts("text/event-stream") {
        return Ok(Json(page(&app, &wanted, place.unwrap_or_default(), limit).await?).into_response());
    }
    let last = headers.get("last-event-id").map(|value| {
        let number = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        number.ok_or_else(|| Refused::malformed("Last-Event-ID is no number of an event"))
    });
    let after = match last.transpose()?.or(place) {
        Some(number) => number,
        None => app.control.estate().store.newest_event()?,
    };
    let Ok(place) = Arc::clone(&app.streams).try_acquire_owned() else {
        let detail = "too many streams of events are open";
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "E0935", detail, "close one, then ask again");
        return Err(refused.retry_after(5));
    };
    let (send, receive) = mpsc::channel(BUFFER);
    let keep_alive = sse::KeepAlive::new().interval(app.limits.keep_alive);
    tokio::spawn(async move {
        tokio::select! {
            () = follow(&app, &wanted, after, &send) => {}
            () = until_refused(&app, &headers) => {}
        }
        drop(place);
    });
    let stream: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(tokio_stream::wrappers::ReceiverStream::new(receive));
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

async fn page(app: &Arc<App>, wanted: &Wanted, mut after: u64, limit: u32) -> Result<EventPage, Refused> {
    let mask = app.mask().await;
    let mut items: Vec<EventView> = Vec::new();
    // A filter may pass many over; the store keeps a bounded number of them.
    while items.len() < limit as usize {
        let batch = app.control.events_after(after, limit)?;
        let Some(newest) = batch.last() else { break };
        after = newest.id;
        for event in batch.iter().filter(|event| wanted.fits(event)) {
            if items.len() == limit as usize {
                after = items.last().map_or(after, |last| last.id);
                break;
            }
            items.push(view::event(event, &mask));
        }
    }
    let next = (after > 0).then(|| cursor::make(List::Events, after));
    Ok(EventPage { items, next })
}

type Told = Result<sse::Event, Infallible>;

/// Sends what is wanted until the reader goes or the store fails.
async fn follow(app: &Arc<App>, wanted: &Wanted, mut after: u64, to: &mpsc::Sender<Told>) {
    let mut coming = app.control.events();
    loop {
        // Everything that the store has and was not sent.
        loop {
            let Ok(batch) = app.control.events_after(after, BATCH) else { return };
            let Some(newest) = batch.last() else { break };
            after = newest.id;
            for event in &batch {
                if !send(app, wanted, event, to).await {
                    return;
                }
            }
        }
        loop {
            let event = tokio::select! {
                event = coming.recv() => event,
                () = to.closed() => return,
            };
            match event {
                Ok(event) if event.id <= after => {}
                // One is missing in between: the store has it.
                Ok(event) if event.id > after + 1 => break,
                Ok(event) => {
                    after = event.id;
                    if !send(app, wanted, &event, to).await {
                        return;
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    let told = sse::Event::default().event("lagged").data(format!("{{\"events\":{missed}}}"));
                    if to.send(Ok(told)).await.is_err() {
                        return;
                    }
                    break;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

async fn send(app: &Arc<App>, wanted: &Wanted, event: &Event, to: &mpsc::Sender<Told>) -> bool {
    if !wanted.fits(event) {
        return true;
    }
    let told = view::event(event, app.mask().await.as_ref());
    let Ok(data) = serde_json::to_string(&told) else { return true };
    let told = sse::Event::default().id(told.id.to_string()).event(&told.kind).data(data);
    to.send(Ok(told)).await.is_ok()
}

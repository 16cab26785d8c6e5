//! The stream of events: nothing lost, nothing twice, nothing without a good token.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::json;
use springtide_api::Scope;
use springtide_server::http::credentials::{COOKIE, begin_session, make_login_code, make_token};
use springtide_server::http::{Limits, listen};
use springtide_server::store::tokens::hash;
use springtide_server::store::{EventKind, NewEvent};

use crate::rig::{Rig, now, told, wide};

struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    async fn open(rig: &Rig, after: Option<u64>, query: &str) -> Self {
        Self::begin(rig.ask("GET", &format!("/api/v1/events{query}")), after).await
    }

    async fn open_with(rig: &Rig, token: &str, query: &str) -> Self {
        Self::begin(rig.bare("GET", &format!("/api/v1/events{query}")).bearer_auth(token), None).await
    }

    /// Whether it ends within a time; what it still sends is kept.
    async fn ends(&mut self, within: Duration) -> bool {
        let end = tokio::time::Instant::now() + within;
        loop {
            match tokio::time::timeout_at(end, self.answer.chunk()).await {
                Ok(Ok(Some(chunk))) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }

    async fn begin(request: RequestBuilder, after: Option<u64>) -> Self {
        let mut request = request.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event as id, kind and data; none if the stream ends or nothing comes for a while.
    async fn next(&mut self) -> Option<(u64, String, String)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    found.map(|value| value.trim().to_owned())
                };
                let event = (field("id").and_then(|id| id.parse().ok()), field("event"), field("data"));
                self.text = rest.to_owned();
                if let (id, Some(kind), Some(data)) = event {
                    return Some((id.unwrap_or(0), kind, data));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(3), self.answer.chunk()).await.ok()?;
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }
}

fn note(rig: &Rig, count: usize) {
    let events: Vec<NewEvent> = (0..count)
        .map(|number| NewEvent {
            kind: EventKind::Note,
            environment: Some(if number % 2 == 0 { "prod" } else { "dev" }.to_owned()),
            operation: None,
            data: json!({ "text": "x".repeat(200), "number": number }),
        })
        .collect();
    rig.control.estate().store.append(&events, now()).unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, None, "").await;
    note(&rig, 3);
    let first = stream.next().await.unwrap();
    let second = stream.next().await.unwrap();
    assert!(first.0 + 1 == second.0 && first.1 == "note", "{first:?} {second:?}");
    drop(stream);
    note(&rig, 4);
    let mut stream = Stream::open(&rig, Some(second.0), "").await;
    for expected in second.0 + 1..=second.0 + 5 {
        assert_eq!(stream.next().await.unwrap().0, expected);
    }
    note(&rig, 1);
    assert_eq!(stream.next().await.unwrap().0, second.0 + 6, "then live");
    // Without the number what was before does not come again.
    let mut fresh = Stream::open(&rig, None, "").await;
    note(&rig, 1);
    assert_eq!(fresh.next().await.unwrap().0, second.0 + 7);
    let wrong = rig.ask("GET", "/api/v1/events").header("accept", "text/event-stream").header("last-event-id", "x");
    assert_eq!(told(wrong).await.0, 400);
}

#[tokio::test]
async fn a_stream_tells_what_an_operation_does() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, None, "?environment=prod").await;
    let numbers = rig.apply().await;
    let mut kinds = Vec::new();
    while let Some((_, kind, data)) = stream.next().await {
        assert!(data.contains("\"environment\":\"prod\""), "{data}");
        let ended = kind == "operation-ended";
        kinds.push(kind);
        if ended {
            break;
        }
    }
    let began = kinds.iter().position(|kind| kind == "operation-began").unwrap();
    let step = kinds.iter().position(|kind| kind == "step-began").unwrap();
    let ended = kinds.iter().position(|kind| kind == "step-ended").unwrap();
    assert!(began < step && step < ended && kinds.last().unwrap() == "operation-ended", "{kinds:?}");
    let mut one = Stream::open(&rig, Some(0), &format!("?operation={}", numbers[0])).await;
    let first = one.next().await.unwrap();
    assert_eq!(first.1, "operation-began", "{first:?}");
}

#[tokio::test]
async fn a_reader_that_lags_gets_everything_all_the_same() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, None, "").await;
    note(&rig, 1);
    let mut last = stream.next().await.unwrap().0;
    let most = last + 6000;
    for _ in 0..60 {
        note(&rig, 100);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut lagged = 0;
    while last < most {
        let (id, kind, data) = stream.next().await.expect("it goes on");
        if kind == "lagged" {
            lagged += 1;
            assert!(serde_json::from_str::<serde_json::Value>(&data).unwrap()["events"].as_u64().unwrap() > 0);
            continue;
        }
        assert_eq!(id, last + 1, "nothing is lost and nothing comes twice");
        last = id;
    }
    assert!(lagged > 0, "the reader was slow enough to be told");
}

/// A look at every token and session ten times a second.
fn looking() -> Limits {
    Limits { recognise: Duration::from_millis(100), ..wide() }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let rig = Rig::with(looking(), listen::HEAD_WITHIN).await;
    let store = &rig.control.estate().store;
    let made = |seconds| make_token(store, "short", Scope::Read, seconds, now()).unwrap();
    let (revoked, expired) = (made(3600), made(2));
    let mut stays = Stream::open(&rig, None, "").await;
    let mut first = Stream::open_with(&rig, &revoked.secret, "").await;
    let mut second = Stream::open_with(&rig, &expired.secret, "").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    note(&rig, 1);
    for stream in [&mut stays, &mut first, &mut second] {
        assert!(stream.next().await.is_some(), "as long as it is good it goes on");
        assert!(!stream.ends(Duration::from_millis(100)).await);
    }
    store.revoke_token(&revoked.token.id, now()).unwrap();
    assert!(first.ends(Duration::from_secs(5)).await, "revoked");
    assert!(second.ends(Duration::from_secs(5)).await, "expired");
    note(&rig, 1);
    assert!(stays.next().await.is_some() && !stays.ends(Duration::from_millis(300)).await, "another's token is good");
}

/// The control: it is this look that ends them, and nothing else.
#[tokio::test]
async fn a_stream_that_is_not_looked_at_goes_on() {
    let limits = Limits { recognise: Duration::from_secs(3600), ..wide() };
    let rig = Rig::with(limits, listen::HEAD_WITHIN).await;
    let store = &rig.control.estate().store;
    let token = make_token(store, "short", Scope::Read, 3600, now()).unwrap();
    let mut stream = Stream::open_with(&rig, &token.secret, "").await;
    store.revoke_token(&token.token.id, now()).unwrap();
    note(&rig, 1);
    assert!(stream.next().await.is_some() && !stream.ends(Duration::from_secs(1)).await);
}

#[tokio::test]
async fn a_stream_whose_reader_takes_nothing_ends_with_its_token_too() {
    let rig = Rig::with(Limits { streams: 1, ..looking() }, listen::HEAD_WITHIN).await;
    let store = &rig.control.estate().store;
    let token = make_token(store, "slow", Scope::Read, 3600, now()).unwrap();
    let _unread = Stream::open_with(&rig, &token.secret, "").await;
    for _ in 0..60 {
        note(&rig, 100);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ask = || rig.ask("GET", "/api/v1/events").header("accept", "text/event-stream");
    assert_eq!(told(ask()).await.0, 503, "its place is taken");
    store.revoke_token(&token.token.id, now()).unwrap();
    for _ in 0..100 {
        if ask().send().await.unwrap().status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("its place is not given back");
}

#[tokio::test]
async fn a_live_page_ends_with_its_session() {
    let rig = Rig::with(looking(), listen::HEAD_WITHIN).await;
    let store = &rig.control.estate().store;
    let session = || {
        let code = make_login_code(store, now()).unwrap();
        begin_session(store, &code, now()).unwrap().unwrap()
    };
    let open = async |secret: &str| {
        let path = format!("/live/?v={}", springtide_server::console::assets::version());
        let answer = rig.bare("GET", &path).header("cookie", format!("{COOKIE}={secret}")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Stream { answer, text: String::new() }
    };
    let (one, other) = (session(), session());
    let (mut ended, mut stays) = (open(&one).await, open(&other).await);
    assert!(!ended.ends(Duration::from_millis(500)).await && !stays.ends(Duration::from_millis(10)).await);
    store.end_session(&hash(&one)).unwrap();
    assert!(ended.ends(Duration::from_secs(5)).await);
    assert!(ended.text.contains("event: reload"), "the page is told to load itself again, which asks to log in");
    assert!(!stays.ends(Duration::from_millis(500)).await, "another session goes on");
}

#[test]
fn streams_are_looked_at_often_enough() {
    assert!(Limits::default().recognise <= Duration::from_secs(10), "they end within 15 s");
}

#[tokio::test]
async fn only_so_many_streams_are_open() {
    let limits = Limits { streams: 2, ..wide() };
    let rig = Rig::with(limits, listen::HEAD_WITHIN).await;
    let first = Stream::open(&rig, None, "").await;
    let _second = Stream::open(&rig, None, "").await;
    let ask = || rig.ask("GET", "/api/v1/events").header("accept", "text/event-stream");
    let (status, body) = told(ask()).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("E0935")));
    drop(first);
    for _ in 0..100 {
        if ask().send().await.unwrap().status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a place that was given back is not given again");
}

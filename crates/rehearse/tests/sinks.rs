//! Sinks over real loopback connections: every call is counted, every mode does what it says.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use springtide_rehearse::sinks::mode::{Behaviour, Mode};
use springtide_rehearse::sinks::{BODY_LIMIT, Sink, Sinks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}

async fn post(sinks: &Sinks, sink: Sink, path: &str, key: &str) -> reqwest::Result<reqwest::Response> {
    let url = format!("http://{}{path}", sinks.address(sink));
    client().post(url).header("Idempotency-Key", key).body("{}").send().await
}

#[tokio::test]
async fn every_call_is_counted_and_a_repeat_is_no_second_effect() {
    let sinks = Sinks::start().await.unwrap();
    let first = post(&sinks, Sink::Payment, "/payments", "P-1").await.unwrap();
    assert_eq!(first.status(), 201);
    let first = first.text().await.unwrap();
    let again = post(&sinks, Sink::Payment, "/payments", "P-1").await.unwrap().text().await.unwrap();
    let other = post(&sinks, Sink::Payment, "/payments", "P-2").await.unwrap().text().await.unwrap();
    assert_eq!(first, again);
    assert_ne!(first, other);
    let read = client().get(format!("http://{}/payments/1?secret=x", sinks.address(Sink::Payment)));
    assert_eq!(read.send().await.unwrap().status(), 201);
    let counts = &sinks.counts()[&Sink::Payment];
    assert_eq!((counts.calls, counts.effects, counts.repeats), (4, 2, 1));
    assert_eq!(counts.keys.get("P-1"), Some(&2));
    let lines = counts.lines.iter().map(|line| format!("{} {} {}", line.method, line.path, line.calls));
    assert_eq!(lines.collect::<Vec<_>>(), ["GET /payments/1 1", "POST /payments 3"]);
    // The others heard nothing.
    assert!(Sink::ALL.into_iter().filter(|sink| *sink != Sink::Payment).all(|sink| sinks.counts()[&sink].calls == 0));
    assert!(sinks.alive());
}

#[tokio::test]
async fn modes_are_switched_while_sinks_run() {
    let sinks = Sinks::start().await.unwrap();
    let carrier = Sink::Carrier;
    sinks.set(carrier, Mode::always(Behaviour::Fail(502)));
    assert_eq!(post(&sinks, carrier, "/labels", "a").await.unwrap().status(), 502);
    sinks.set(carrier, Mode::always(Behaviour::Throttle(Duration::from_secs(7))));
    let throttled = post(&sinks, carrier, "/labels", "a").await.unwrap();
    assert_eq!((throttled.status().as_u16(), throttled.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    sinks.set(carrier, Mode::always(Behaviour::Drop));
    assert!(post(&sinks, carrier, "/labels", "a").await.is_err());
    assert_eq!(sinks.counts()[&carrier].effects, 0, "none of these modes takes effect");
    sinks.set(carrier, Mode::always(Behaviour::LoseAnswer));
    assert!(post(&sinks, carrier, "/labels", "a").await.is_err());
    assert_eq!(sinks.counts()[&carrier].effects, 1, "this one does, and the caller does not hear of it");
    sinks.set(carrier, Mode::default());
    assert_eq!(post(&sinks, carrier, "/labels", "a").await.unwrap().status(), 201);
    let counts = &sinks.counts()[&carrier];
    assert_eq!((counts.calls, counts.effects, counts.repeats), (5, 1, 1));
    assert_eq!(counts.outcomes.values().sum::<u64>(), counts.calls);
}

#[tokio::test]
async fn a_stalled_call_waits_and_is_let_go_when_the_mode_changes() {
    let sinks = std::sync::Arc::new(Sinks::start().await.unwrap());
    sinks.set(Sink::Webhook, Mode::always(Behaviour::Stall(Duration::from_secs(60))));
    let begun = Instant::now();
    let (other, waiting) = (sinks.clone(), sinks.clone());
    let call = tokio::spawn(async move { post(&waiting, Sink::Webhook, "/hook", "w").await.unwrap().status() });
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!call.is_finished());
    // A stall of one sink is none of another.
    assert_eq!(post(&other, Sink::Edi, "/messages", "e").await.unwrap().status(), 202);
    sinks.set(Sink::Webhook, Mode::default());
    assert_eq!(call.await.unwrap(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(400) && begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn modes_and_counts_over_the_control_port() {
    let sinks = Sinks::start().await.unwrap();
    let control = format!("http://{}", sinks.control());
    let put = |sink: &str, body: &'static str, kind: &'static str| {
        client().put(format!("{control}/modes/{sink}")).header("content-type", kind).body(body).send()
    };
    assert_eq!(put("edi", "\"fail:503/2\"", "application/json").await.unwrap().status(), 200);
    assert_eq!(put("edi", "\"fail:404\"", "application/json").await.unwrap().status(), 400);
    assert_eq!(put("nobody", "\"ok\"", "application/json").await.unwrap().status(), 404);
    assert_eq!(put("edi", "\"ok\"", "text/plain").await.unwrap().status(), 415);
    let mut statuses = Vec::new();
    for key in ["1", "2", "3", "4"] {
        statuses.push(post(&sinks, Sink::Edi, "/messages", key).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [202, 503, 202, 503]);
    let counts: serde_json::Value =
        client().get(format!("{control}/counts")).send().await.unwrap().json().await.unwrap();
    assert_eq!(counts["edi"]["outcomes"], serde_json::json!({ "ok": 2, "fail": 2 }));
    assert_eq!(counts["edi"]["effects"], 2);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_and_counted() {
    let sinks = Sinks::start().await.unwrap();
    let url = format!("http://{}/messages", sinks.address(Sink::Edi));
    let answer = client().post(&url).body(vec![b'x'; BODY_LIMIT + 1]).send().await;
    // The sink may close before everything was sent.
    assert!(answer.is_err() || answer.unwrap().status() == 413);
    let fits = client().post(&url).body(vec![b'x'; BODY_LIMIT]).send().await.unwrap();
    assert_eq!(fits.status(), 202);
    let counts = &sinks.counts()[&Sink::Edi];
    assert_eq!((counts.calls, counts.effects, counts.outcomes["refused"]), (2, 1, 1));
}

/// Says `lines` one after another and returns all that was answered until `QUIT` or the end.
async fn mail(sinks: &Sinks, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(sinks.address(Sink::Smtp)).await.unwrap();
    for line in lines {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

const LETTER: [&str; 6] = [
    "EHLO odoo\r\n",
    "MAIL FROM:<shop@example.com>\r\n",
    "RCPT TO:<jane@customer.example>\r\n",
    "DATA\r\n",
    "Message-ID: <1@odoo>\r\nSubject: x\r\n\r\nhello\r\n.\r\n",
    "QUIT\r\n",
];

#[tokio::test]
async fn mail_is_counted_when_it_was_handed_over() {
    let sinks = Sinks::start().await.unwrap();
    let answer = mail(&sinks, &LETTER).await;
    let codes: Vec<&str> = answer.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "250", "250", "250", "354", "250", "221"]);
    let counts = &sinks.counts()[&Sink::Smtp];
    assert_eq!((counts.calls, counts.effects), (1, 1));
    assert_eq!(counts.lines[0].path, "customer.example");
    assert_eq!(counts.keys.get("<1@odoo>"), Some(&1));
    // Out of order, and cut off before the dot: no message.
    assert!(mail(&sinks, &["RCPT TO:<a@b>\r\n", "DATA\r\n", "QUIT\r\n"]).await.contains("503"));
    let mut cut = TcpStream::connect(sinks.address(Sink::Smtp)).await.unwrap();
    cut.write_all(LETTER[..4].concat().as_bytes()).await.unwrap();
    cut.write_all(b"hello\r\n").await.unwrap();
    drop(cut);
    assert_eq!(sinks.counts()[&Sink::Smtp].calls, 1);
}

#[tokio::test]
async fn mail_fails_throttles_and_loses_its_answer_when_asked() {
    let sinks = Sinks::start().await.unwrap();
    for (mode, code) in [("fail", "451"), ("throttle", "450")] {
        sinks.set(Sink::Smtp, mode.parse().unwrap());
        assert!(mail(&sinks, &LETTER).await.contains(code), "{mode}");
    }
    assert_eq!(sinks.counts()[&Sink::Smtp].effects, 0);
    sinks.set(Sink::Smtp, Mode::always(Behaviour::LoseAnswer));
    assert!(mail(&sinks, &LETTER).await.trim_end().ends_with("dot"), "closed after 354, without a 250");
    assert_eq!(sinks.counts()[&Sink::Smtp].effects, 1);
    // The rest of an over-long line is no final dot.
    sinks.set(Sink::Smtp, Mode::default());
    let long = format!("{}.\r\nstill the message\r\n.\r\n", "x".repeat(2048));
    let answer = mail(&sinks, &[LETTER[1], LETTER[2], LETTER[3], &long, LETTER[5]]).await;
    assert!(answer.contains("250 ok, counted") && !answer.contains("502"), "{answer}");
}

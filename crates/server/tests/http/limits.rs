//! Bodies, heads and rates beyond their bounds.

use std::time::{Duration, Instant};

use springtide_server::http::{App, Limits, listen, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{Rig, told, wide};

#[tokio::test]
async fn a_body_of_100_mb_is_refused_and_its_sender_reads_why() {
    let rig = Rig::new().await;
    let large = || vec![b' '; 100 << 20];
    let send = |body: Vec<u8>| rig.ask("POST", "/api/v1/hold").header("content-type", "application/json").body(body);
    let (status, body) = told(send(large())).await;
    assert_eq!((status, body["code"].as_str()), (413, Some("E0934")));
    // The same without saying its length beforehand.
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /api/v1/hold HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        rig.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..100 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Who may not come in at all is told that.
    let bare = rig.bare("POST", "/api/v1/hold").header("content-type", "application/json").body(large());
    assert_eq!(told(bare).await.0, 401);
    // Just below the bound it is read, and found to be no JSON.
    assert_eq!(told(send(vec![b' '; (1 << 20) - 1])).await.0, 400);
    assert!(rig.control.held().unwrap().is_none());
}

#[tokio::test]
async fn deep_and_broken_json_is_refused() {
    let rig = Rig::new().await;
    let send =
        |body: String| told(rig.ask("POST", "/api/v1/hold").header("content-type", "application/json").body(body));
    let deep = |levels: usize| format!("{{\"reason\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(send(deep(100_000)).await.0, 400);
    assert_eq!(send(deep(100)).await.0, 422, "not too deep, only no text");
    for broken in ["", "{", "{\"reason\":\"a\"} x", "\u{feff}{}", "{\"reason\":\"\\ud800\"}"] {
        assert_eq!(send(broken.to_owned()).await.0, 400, "{broken:?}");
    }
    for unfit in ["[]", "{}", "{\"reason\":1}", "{\"reason\":\"a\",\"more\":1}", "{\"reason\":\" \"}"] {
        assert_eq!(send(unfit.to_owned()).await.0, 422, "{unfit:?}");
    }
    let plain = rig.ask("POST", "/api/v1/hold").header("content-type", "text/plain").body("{\"reason\":\"a\"}");
    assert_eq!(told(plain).await.0, 415);
    assert!(rig.control.held().unwrap().is_none());
    assert_eq!(send("{\"reason\":\"a\"}".to_owned()).await.0, 200);
}

#[tokio::test]
async fn a_slow_head_is_cut_and_holds_up_nobody() {
    let within = Duration::from_millis(600);
    let rig = Rig::with(wide(), within).await;
    let began = Instant::now();
    let mut slow = TcpStream::connect(rig.address).await.unwrap();
    let cut = async {
        for byte in b"GET /api/v1/health HTTP/1.1\r\nhost: x\r\nx: ".iter().cycle() {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let others = async {
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(told(rig.ask("GET", "/api/v1/health")).await.0, 200);
            assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        }
    };
    tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(cut, others) }).await.expect("it is cut");
    assert!(began.elapsed() >= within, "{:?}", began.elapsed());
    // One that takes its time within the bound is answered.
    let mut calm = TcpStream::connect(rig.address).await.unwrap();
    calm.write_all(b"GET /api/v1/health HTTP/1.1\r\n").await.unwrap();
    tokio::time::sleep(within / 3).await;
    calm.write_all(b"host: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    calm.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_refused() {
    let limits = Limits { body_within: Duration::from_millis(300), ..wide() };
    let rig = Rig::with(limits, listen::HEAD_WITHIN).await;
    let head = format!(
        "POST /api/v1/hold HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 15\r\n\r\n",
        rig.token
    );
    let send = async |pause: Duration| {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(pause).await;
        let _ = stream.write_all(b"{\"reason\": \"a\"}").await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        String::from_utf8_lossy(&start).into_owned()
    };
    assert_eq!(send(Duration::from_millis(900)).await, "HTTP/1.1 408");
    assert!(rig.control.held().unwrap().is_none());
    assert_eq!(send(Duration::from_millis(50)).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn too_many_requests_of_one_token_do_not_hinder_another() {
    let limits = Limits { rate: (10, 1), rate_others: (3, 1), ..wide() };
    let rig = Rig::with(limits, listen::HEAD_WITHIN).await;
    let other = rig.token(springtide_api::Scope::Read);
    let mut seen = Vec::new();
    for _ in 0..15 {
        seen.push(told(rig.ask("GET", "/api/v1/hold")).await.0);
    }
    assert_eq!(seen.iter().filter(|status| **status == 200).count(), 10, "{seen:?}");
    let answer = rig.ask("GET", "/api/v1/hold").send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(told(rig.bare("GET", "/api/v1/hold").bearer_auth(other)).await.0, 200);
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(told(rig.ask("GET", "/api/v1/hold")).await.0, 200);
    // Guessing tokens is slower still.
    let mut guesses = Vec::new();
    for guess in 0..8 {
        guesses.push(told(rig.bare("GET", "/api/v1/hold").bearer_auth(format!("st_{guess}_x"))).await.0);
    }
    assert!(guesses.contains(&401) && guesses.contains(&429), "{guesses:?}");
}

#[tokio::test]
async fn whoever_shows_nothing_keeps_nobody_else_from_logging_in() {
    let rig = Rig::with(Limits { rate_others: (5, 1), ..wide() }, listen::HEAD_WITHIN).await;
    let form = |client: &reqwest::Client| {
        let post = client.post(rig.url("/login")).header("content-type", "application/x-www-form-urlencoded");
        post.body("code=none").send()
    };
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(form(&rig.client).await.unwrap().status().as_u16());
    }
    assert!(seen.contains(&429), "{seen:?}");
    let elsewhere = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    for _ in 0..4 {
        assert_eq!(form(&elsewhere).await.unwrap().status(), 401, "that code is unknown, but it was looked at");
    }
}

#[tokio::test]
async fn a_handler_that_panics_or_never_ends_is_answered_for() {
    let rig = Rig::new().await;
    let limits = Limits { within: Duration::from_millis(300), ..wide() };
    let app = App::new(std::sync::Arc::clone(&rig.control), std::sync::Arc::new(crate::rig::now), limits, None);
    let pages = axum::Router::new()
        .route(
            "/panics",
            axum::routing::get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/sleeps", axum::routing::get(|| tokio::time::sleep(Duration::from_secs(60))))
        .route("/answers", axum::routing::get(|| async { "{}" }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let never = std::future::pending::<()>();
    tokio::spawn(listen::listen(listener, router(app, pages), never, listen::HEAD_WITHIN));
    let ask = |path: &str| told(rig.client.get(format!("{base}{path}")).bearer_auth(&rig.token));
    for (path, status, code) in [("/panics", 500, Some("E0900")), ("/sleeps", 503, Some("E0938"))] {
        let (got, body) = ask(path).await;
        assert_eq!((got, body["code"].as_str()), (status, code), "{path}");
        assert!(!body.to_string().contains("on purpose"), "what a panic says stays inside");
    }
    assert_eq!(ask("/answers").await.0, 200, "and the server goes on");
}

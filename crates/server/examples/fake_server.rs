//! A server on the world in memory, for tests that need one from outside: it prints its address and a token,
//! one a line, and serves until its input ends. With `--broken` it makes a mistake that a fuzzer must find.

#![allow(clippy::print_stdout, missing_docs)]

use std::io::Read as _;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use springtide_api::Scope;
use springtide_driver::fake::FakeDriver;
use springtide_server::control::{Control, Settings};
use springtide_server::execute::Clock;
use springtide_server::fake::{self, FakeWorld};
use springtide_server::http::credentials::make_token;
use springtide_server::http::{Limits, site};
use springtide_server::serve::serve;

const ESTATE: &str =
    "estate: acme\nenvironments:\n  - { name: prod, stage: production, users: 60 }\n  - { name: dev }\n";

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("estate.yaml");
    std::fs::write(&file, ESTATE)?;
    let driver = Arc::new(FakeDriver::new());
    let estate = fake::estate(&folder.path().join("state"), driver, Arc::new(FakeWorld::default()))?;
    let clock: Clock = Arc::new(now);
    let control = Control::new(Arc::new(estate), Settings::new(file, clock.clone()));
    control.catch_up()?;
    control.refresh().await?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let token = make_token(&control.estate().store, "fuzz", Scope::Admin, 86_400, now())?;
    println!("http://{}\n{}", listener.local_addr()?, token.secret);
    let stop = async {
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = ended.await;
    };
    let limits = Limits { rate: (1_000_000, 1_000_000), rate_others: (1_000_000, 1_000_000), ..Limits::default() };
    let mut site = site(Arc::clone(&control), clock, limits);
    if std::env::args().any(|word| word == "--broken") {
        // A planted mistake: an answer that is not as described.
        site = site.layer(axum::middleware::from_fn(|request: Request, next: Next| async move {
            let of_hold = request.uri().path() == "/api/v1/hold";
            let answer = next.run(request).await;
            let broken = of_hold && answer.status().is_success();
            if broken { axum::Json(serde_json::json!({ "held": 1 })).into_response() } else { answer }
        }));
    }
    serve(control, site, listener, stop).await?;
    Ok(())
}

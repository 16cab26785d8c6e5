//! A server of its own for each test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use springtide_api::Scope;
use springtide_driver::fake::FakeDriver;
use springtide_server::control::{Control, Settings};
use springtide_server::fake::{self, FakeWorld};
use springtide_server::http::credentials::make_token;
use springtide_server::http::{Limits, listen, site};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub const ESTATE: &str =
    "estate: acme\nenvironments:\n  - { name: prod, stage: production, users: 60 }\n  - { name: dev }\n";

pub struct Rig {
    pub folder: TempDir,
    pub control: Arc<Control>,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    pub token: String,
    _stop: oneshot::Sender<()>,
}

pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Limits that no test comes near by accident.
pub fn wide() -> Limits {
    Limits { rate: (100_000, 100_000), rate_others: (100_000, 100_000), ..Limits::default() }
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(wide(), listen::HEAD_WITHIN).await
    }

    pub async fn with(limits: Limits, head_within: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("estate.yaml");
        std::fs::write(&file, ESTATE).unwrap();
        let state = folder.path().join("state");
        let estate = fake::estate(&state, Arc::new(FakeDriver::new()), Arc::new(FakeWorld::default())).unwrap();
        let clock: springtide_server::execute::Clock = Arc::new(now);
        let settings = Settings::new(file, clock.clone());
        let control = Control::new(Arc::new(estate), settings);
        control.catch_up().unwrap();
        control.refresh().await.unwrap();
        let keeper = Arc::clone(&control);
        tokio::spawn(async move { keeper.keep().await });
        let site = site(Arc::clone(&control), clock, limits);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = listen::listen(
            listener,
            site,
            async move {
                let _ = stopped.await;
            },
            head_within,
        );
        tokio::spawn(served);
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let token = make_token(&control.estate().store, "a test", Scope::Admin, 3600, now()).unwrap().secret;
        Self { folder, control, address, client, token, _stop: stop }
    }

    pub fn token(&self, scope: Scope) -> String {
        make_token(&self.control.estate().store, scope.as_str(), scope, 3600, now()).unwrap().secret
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with nothing shown.
    pub fn bare(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse::<Method>().unwrap(), self.url(path))
    }

    /// A request of an administrator.
    pub fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        told(self.ask("POST", path).json(body)).await
    }

    /// Approves what is planned now and waits for its end.
    pub async fn apply(&self) -> Vec<u64> {
        let plan = self.control.refresh().await.unwrap().plan.id.clone();
        let (status, approved) = self.post("/api/v1/plan/approve", &serde_json::json!({ "plan": plan })).await;
        assert_eq!(status, 202, "{approved}");
        let numbers: Vec<u64> = serde_json::from_value(approved["operations"].clone()).unwrap();
        for number in &numbers {
            self.ended(*number).await;
        }
        numbers
    }

    pub async fn ended(&self, number: u64) -> Value {
        for _ in 0..400 {
            let detail = self.get(&format!("/api/v1/operations/{number}")).await;
            if detail["operation"]["ended"].is_i64() {
                return detail;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("operation {number} does not end");
    }
}

/// Status and JSON of an answer.
pub async fn told(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
    let number = answer.headers().get("x-request-id").map(|it| it.to_str().unwrap().to_owned());
    let body: Value = answer.json().await.unwrap_or_default();
    if status >= 400 {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{body}");
        for field in ["type", "title", "detail", "code", "unchanged", "next"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {body}");
        }
        assert_eq!(body["status"], status);
        assert_eq!(body["request"].as_str(), number.as_deref());
        let code = body["code"].as_str().unwrap();
        assert!(
            springtide_core::plan::explanation(code).or(springtide_core::check::explanation(code)).is_some(),
            "{code}"
        );
    }
    (status, body)
}

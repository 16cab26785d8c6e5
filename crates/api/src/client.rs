//! The typed client: what a server is asked, as functions.
//!
//! A refusal comes back as the [`Problem`] that the server told. The stream of events goes on by itself where
//! it was cut, so that nothing is lost and nothing comes twice while the server is there.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::{
    ApproveRequest, Approved, EnvironmentView, EstateView, EventView, HoldRequest, HoldStatus, OperationDetail,
    OperationPage, PREFIX, PlanView, Problem, ServerHealth, SignalsView,
};

/// Longest wait for an answer; the server itself gives up a little earlier.
const WITHIN: Duration = Duration::from_secs(35);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Silence after which a stream is taken for dead: the server says every 15 s that it is there.
const SILENCE: Duration = Duration::from_secs(40);
/// Pauses between attempts to go on with a stream.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It does not answer.
    #[error("the server does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It refused, and says why.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// It answers something else.
    #[error("the server answers what is not its API: {0}")]
    Odd(String),
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        // Its text has the address and no more; credentials travel in a header.
        if error.is_decode() { Self::Odd(error.to_string()) } else { Self::Unreachable(error) }
    }
}

/// Asks one server. Has no `Debug`: it holds a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// For the server at `base`, such as `http://127.0.0.1:7979`.
    pub fn new(base: &str, token: &str) -> Result<Self, ClientError> {
        Self::build(base, token, reqwest::Client::builder())
    }

    /// For a server at an `https` address whose certificate the authority in `pem` has signed. Only that one is
    /// trusted.
    pub fn trusting(base: &str, token: &str, pem: &[u8]) -> Result<Self, ClientError> {
        let authority = reqwest::Certificate::from_pem(pem)?;
        Self::build(base, token, reqwest::Client::builder().tls_certs_only([authority]).https_only(true))
    }

    fn build(base: &str, token: &str, http: reqwest::ClientBuilder) -> Result<Self, ClientError> {
        // A server of one's own is never behind a proxy.
        let http = http.no_proxy().connect_timeout(CONNECT).build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: token.trim().to_owned() })
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{PREFIX}{path}", self.base)).bearer_auth(&self.token)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        told(self.ask(Method::GET, path).timeout(WITHIN)).await
    }

    /// How the server is.
    pub async fn health(&self) -> Result<ServerHealth, ClientError> {
        self.get("/health").await
    }

    /// The estate as it was last seen.
    pub async fn estate(&self) -> Result<EstateView, ClientError> {
        self.get("/estate").await
    }

    /// One environment in full.
    pub async fn environment(&self, name: &str) -> Result<EnvironmentView, ClientError> {
        self.get(&format!("/environments/{name}")).await
    }

    /// What the parts of an environment say of themselves now.
    pub async fn signals(&self, name: &str) -> Result<SignalsView, ClientError> {
        self.get(&format!("/environments/{name}/signals")).await
    }

    /// What is left to do, as it was last planned.
    pub async fn plan(&self) -> Result<PlanView, ClientError> {
        self.get("/plan").await
    }

    /// Looks at everything now and plans anew.
    pub async fn refresh(&self) -> Result<PlanView, ClientError> {
        told(self.ask(Method::POST, "/plan/refresh").timeout(WITHIN)).await
    }

    /// Approves a plan. `key` names the request, so that asking again does nothing twice.
    pub async fn approve(&self, asked: &ApproveRequest, key: &str) -> Result<Approved, ClientError> {
        let request = self.ask(Method::POST, "/plan/approve").header("idempotency-key", key);
        told(request.json(asked).timeout(WITHIN)).await
    }

    /// The newest operations.
    pub async fn operations(&self) -> Result<OperationPage, ClientError> {
        self.get("/operations").await
    }

    /// An operation with its steps.
    pub async fn operation(&self, id: u64) -> Result<OperationDetail, ClientError> {
        self.get(&format!("/operations/{id}")).await
    }

    /// Asks an operation to stop before its next step.
    pub async fn cancel(&self, id: u64) -> Result<OperationDetail, ClientError> {
        told(self.ask(Method::POST, &format!("/operations/{id}/cancel")).timeout(WITHIN)).await
    }

    /// Whether the estate is held.
    pub async fn held(&self) -> Result<HoldStatus, ClientError> {
        self.get("/hold").await
    }

    /// Holds the estate.
    pub async fn hold(&self, reason: &str) -> Result<HoldStatus, ClientError> {
        let asked = HoldRequest { reason: reason.to_owned() };
        told(self.ask(Method::POST, "/hold").json(&asked).timeout(WITHIN)).await
    }

    /// Releases the estate.
    pub async fn release(&self) -> Result<HoldStatus, ClientError> {
        told(self.ask(Method::DELETE, "/hold").timeout(WITHIN)).await
    }

    /// Events as they come, after number `after` or from now on.
    pub async fn events(&self, after: Option<u64>) -> Result<Events, ClientError> {
        let answer = self.stream(after).await?;
        Ok(Events { client: self.clone(), answer, lines: Lines::default(), last: after, ready: VecDeque::new() })
    }

    async fn stream(&self, after: Option<u64>) -> Result<Response, ClientError> {
        let mut request = self.ask(Method::GET, "/events").header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
    }
}

async fn told<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ClientError> {
    let answer = request.send().await?;
    if answer.status().is_success() { Ok(answer.json().await?) } else { Err(refused(answer).await) }
}

async fn refused(answer: Response) -> ClientError {
    let status: StatusCode = answer.status();
    match answer.json::<Problem>().await {
        Ok(problem) => ClientError::Refused(Box::new(problem)),
        Err(_) => ClientError::Odd(status.to_string()),
    }
}

/// Events as they come.
pub struct Events {
    client: Client,
    answer: Response,
    lines: Lines,
    last: Option<u64>,
    ready: VecDeque<EventView>,
}

impl Events {
    /// The next event. A stream that breaks is gone on with a few times before that is a failure. May be
    /// dropped while it waits; nothing is lost by that.
    pub async fn next(&mut self) -> Result<EventView, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last = Some(event.id);
                return Ok(event);
            }
            match tokio::time::timeout(SILENCE, self.answer.chunk()).await {
                Ok(Ok(Some(bytes))) => self.ready.extend(self.lines.take(&bytes)),
                // It ended, broke, or went silent.
                _ => self.again().await?,
            }
        }
    }

    async fn again(&mut self) -> Result<(), ClientError> {
        let mut failure = None;
        for pause in AGAIN {
            tokio::time::sleep(pause).await;
            match self.client.stream(self.last).await {
                Ok(answer) => {
                    self.answer = answer;
                    self.lines = Lines::default();
                    return Ok(());
                }
                Err(ClientError::Unreachable(error)) => failure = Some(ClientError::Unreachable(error)),
                Err(other) => return Err(other),
            }
        }
        Err(failure.unwrap_or_else(|| ClientError::Odd("the stream of events ends again and again".into())))
    }
}

/// Takes a stream apart: events end with an empty line.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<EventView> {
        self.0.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.0.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.0.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
            // What is no event of ours, such as the word that the reader lags, has other data.
            events.extend(serde_json::from_str::<EventView>(&data.join("\n")));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = ": alive\n\nid: 7\nevent: note\ndata: {\"id\":7,\"at\":1,\"kind\":\"note\",\"environment\":null,\
                    \"operation\":3,\"data\":{\"text\":\"für alle\"}}\n\nevent: lagged\ndata: {\"events\":9}\n\nid: 8\n";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let (first, second) = text.as_bytes().split_at(cut);
            let events: Vec<EventView> = lines.take(first).into_iter().chain(lines.take(second)).collect();
            assert_eq!(events.len(), 1, "cut at {cut}");
            assert_eq!((events[0].id, events[0].data["text"].as_str()), (7, Some("für alle")));
        }
    }
}

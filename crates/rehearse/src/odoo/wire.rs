//! One HTTP client of one virtual user, and the one place that judges what an answer means.
//!
//! Redirects are not followed: Odoo sends a browser away when its database is gone, and that is no answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::{CallError, Target};

/// Longest wait for an answer. Longer than Odoo lets a request run, so that it is Odoo that gives up first.
pub const ANSWER: Duration = Duration::from_secs(150);
/// Longest text of an error that is kept.
const MESSAGE: usize = 200;

tokio::task_local! {
    /// Id that the requests of a task carry in `X-Request-Id`; hexadecimal, so that Odoo's request log keeps it.
    pub static REQUEST_ID: String;
}

/// An HTTP client with its own connections and cookies. Clones share them.
#[derive(Debug, Clone)]
pub struct Wire {
    client: reqwest::Client,
    url: Arc<str>,
}

/// An answer that arrived whole.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    after: Option<u64>,
}

/// The client cannot be made: the target's certificate or address is not usable.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client for `{url}` can be made")]
pub struct WireError {
    url: String,
    #[source]
    cause: reqwest::Error,
}

impl Wire {
    /// A client of `target` with no cookies yet.
    pub fn new(target: &Target) -> Result<Self, WireError> {
        let failed = |cause| WireError { url: target.url.clone(), cause };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            // One connection for each act under way, as scanners and partners' programs have it: HTTP/2 would put all
            // on one.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .cookie_store(true)
            .connect_timeout(Duration::from_secs(10))
            .timeout(ANSWER);
        let host = target.url.parse::<reqwest::Url>().ok().and_then(|url| url.host_str().map(str::to_owned));
        if let Some(host) = host {
            builder = builder.resolve(&host, target.address);
        }
        if let Some(pem) = &target.authority_pem {
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).map_err(failed)?]);
        }
        Ok(Self { client: builder.build().map_err(failed)?, url: target.url.as_str().into() })
    }

    /// Gets a page.
    pub async fn get(&self, path: &str) -> Result<Answer, CallError> {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    /// Posts JSON; `bearer` goes into the header that proxies do not log.
    pub async fn post(&self, path: &str, body: &Value, bearer: Option<&str>) -> Result<Answer, CallError> {
        let mut request = self.client.post(format!("{}{path}", self.url)).json(body);
        if let Some(key) = bearer {
            request = request.bearer_auth(key);
        }
        self.send(request).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Answer, CallError> {
        if let Ok(id) = REQUEST_ID.try_with(Clone::clone) {
            request = request.header("x-request-id", id);
        }
        let response = request.send().await.map_err(|error| lost(&error))?;
        let (status, after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = response.bytes().await.map_err(|error| lost(&error))?.to_vec();
        Ok(Answer { status, body, after })
    }
}

impl Answer {
    /// The body as JSON if Odoo answered, whatever it says; an error if somebody else did.
    pub(crate) fn json(self) -> Result<(u16, Value), CallError> {
        if let Some(error) = turned_away(self.status, self.after) {
            return Err(error);
        }
        match serde_json::from_slice(&self.body) {
            Ok(value) => Ok((self.status, value)),
            Err(_) => Err(unreadable(self.status)),
        }
    }

    /// The page, if it is one.
    pub fn page(self) -> Result<Vec<u8>, CallError> {
        match self.status {
            200 => Ok(self.body),
            300..=399 => {
                let (name, message) = ("redirected".to_owned(), "sent elsewhere, such as to the login page".to_owned());
                Err(CallError::Refused { status: Some(self.status), name, message })
            }
            status => Err(turned_away(status, self.after).unwrap_or_else(|| unreadable(status))),
        }
    }
}

fn turned_away(status: u16, after: Option<u64>) -> Option<CallError> {
    match status {
        429 => Some(CallError::Overloaded { status, after }),
        // The entrance's page for everything between it and Odoo, also for a worker that died meanwhile.
        502..=504 => {
            Some(CallError::Unknown { status: Some(status), reason: format!("the entrance answers {status}") })
        }
        _ => None,
    }
}

fn unreadable(status: u16) -> CallError {
    let name = "http".to_owned();
    match status {
        // The address or the right to it is refused before any method is looked for.
        400..=499 => CallError::Refused { status: Some(status), name, message: format!("status {status}") },
        _ => CallError::Unknown { status: Some(status), reason: format!("status {status} without a readable answer") },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

fn lost(error: &reqwest::Error) -> CallError {
    // The address is not told: the reason is what differs, and causes are where it is.
    let mut reason = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(one) = cause {
        reason = short(&one.to_string());
        cause = one.source();
    }
    if error.is_timeout() && !error.is_connect() {
        reason = format!("nothing within {} s", ANSWER.as_secs());
    }
    if error.is_connect() || error.is_builder() {
        return CallError::NotSent { reason };
    }
    CallError::Unknown { status: None, reason }
}

/// The first line of a text, cut to a length that a report can hold.
pub(crate) fn short(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().chars().take(MESSAGE).collect()
}

//! The HTTP client of a store: one for `object_store` and for our own calls.
//!
//! The rule: no answer is waited for without end or read without end. Only an object's own bytes are streamed;
//! every other answer, and every error, is read whole up to a limit.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use reqwest::redirect;

use super::s3::outermost;
use super::{ObjectsError, S3Place};

/// Largest answer that is not an object, in bytes. A page of a list has 1,000 names of 1 KiB.
pub(super) const LARGEST_ANSWER: usize = 16 << 20;
/// Largest answer to what failed, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

/// How long a store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For the next bytes; also for a whole part to be sent, so a slow line needs it long.
    pub read: Duration,
    /// For one request and its whole answer.
    pub whole: Duration,
    /// How often a request is repeated after a failure that may pass.
    pub repeats: usize,
    /// For a request with all its repeats: none begins later.
    pub repeating: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            whole: Duration::from_secs(900),
            repeats: 6,
            repeating: Duration::from_secs(120),
        }
    }
}

impl Patience {
    pub(super) fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(10), ..BackoffConfig::default() };
        RetryConfig { backoff, max_retries: self.repeats, retry_timeout: self.repeating }
    }
}

/// A client that speaks to this place only: TLS with its authority, no redirect, no proxy.
pub(super) fn client(place: &S3Place, patience: &Patience) -> Result<reqwest::Client, ObjectsError> {
    let refuse = |why: String| ObjectsError::Client { place: place.to_string(), why };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("springtide/", env!("CARGO_PKG_VERSION")))
        .https_only(place.url()?.scheme() == "https")
        .redirect(redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .connect_timeout(patience.connect)
        .read_timeout(patience.read)
        .timeout(patience.whole);
    if let Some(pem) = &place.authority_pem {
        let authorities = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|_| refuse("the authority is not a PEM certificate".into()))?;
        if authorities.is_empty() {
            return Err(refuse("the authority holds no PEM certificate".into()));
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| refuse(error.without_url().to_string()))
}

/// Gives `object_store` our client.
#[derive(Debug)]
pub(super) struct Connector(pub reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Bounded(self.0.clone())))
    }
}

#[derive(Debug)]
struct Bounded(reqwest::Client);

#[derive(Debug, thiserror::Error)]
#[error("the answer is larger than {0} bytes")]
struct TooLarge(usize);

#[derive(Debug, thiserror::Error)]
#[error("this is no ListBucketResult")]
struct NoList;

#[async_trait]
impl HttpService for Bounded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Lists, uploads and the like have a query; an object is read without one.
        let query = request.uri().query().map(str::to_owned);
        let get = request.method().as_str() == "GET";
        let object = get && query.is_none();
        let list = get && query.is_some_and(|query| query.split('&').any(|one| one == "list-type=2"));
        let answer = self.0.call(request).await?;
        let limit = match answer.status().is_success() {
            true if object => return Ok(answer),
            true => LARGEST_ANSWER,
            false => LARGEST_ERROR,
        };
        let (parts, body) = answer.into_parts();
        let (mut stream, mut whole) = (body.bytes_stream(), Vec::new());
        while let Some(bytes) = stream.next().await {
            let bytes = bytes?;
            if whole.len() + bytes.len() > limit {
                return Err(HttpError::new(HttpErrorKind::Decode, TooLarge(limit)));
            }
            whole.extend_from_slice(&bytes);
        }
        // `object_store` reads any well-formed page as an empty list: a proxy's would say that everything is gone.
        if list && parts.status.is_success() && outermost(&whole).as_deref() != Some("ListBucketResult") {
            return Err(HttpError::new(HttpErrorKind::Decode, NoList));
        }
        Ok(HttpResponse::from_parts(parts, whole.into()))
    }
}

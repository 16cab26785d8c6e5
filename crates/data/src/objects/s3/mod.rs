//! The calls of S3 that `object_store` does not have: versions, Object Lock, retention and legal holds.
//!
//! [`S3`] signs and sends ([`sign`]), reads answers by a parser ([`xml`]) and types failures; [`calls`] is one
//! function per call. The rule: every answer is bounded in size and time, and only what a repeat cannot double is
//! repeated.

mod calls;
mod sign;
mod xml;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Url};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub(super) use self::xml::outermost;
use super::error::printable;
use super::http::{LARGEST_ANSWER, client};
use super::{ObjectsError, Patience, S3Place, Trouble};

/// Whether a bucket keeps the versions of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versioning {
    /// Never switched on: an overwrite loses what was there.
    Never,
    /// Every object keeps its versions.
    Enabled,
    /// Switched off again: older versions stay, new ones are not kept.
    Suspended,
}

/// The two modes of Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionMode {
    /// Who has the right may lift it.
    Governance,
    /// Nobody may lift it before its end.
    Compliance,
}

impl RetentionMode {
    fn parse(word: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.word() == word)
    }

    /// S3's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// How long and how firmly a version is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// Mode.
    pub mode: RetentionMode,
    /// End; S3 keeps whole seconds.
    pub until: Timestamp,
}

/// What a bucket locks by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DefaultRetention {
    /// Mode.
    pub mode: RetentionMode,
    /// Length in days; a year counts 365.
    pub days: u32,
}

/// Object Lock of a bucket that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectLock {
    /// What new objects get that name no retention of their own.
    pub default: Option<DefaultRetention>,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Whole name of the object, the place's prefix included.
    pub key: String,
    /// Identifier; `null` where versioning was off when it was written.
    pub version: String,
    /// Whether a plain read gives this one.
    pub latest: bool,
    /// Whether it only says that the object was deleted.
    pub marker: bool,
    /// When it was written, if the store says.
    pub modified: Option<Timestamp>,
    /// Size in bytes.
    pub bytes: u64,
}

/// A page of versions.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// In the store's order.
    pub versions: Vec<Version>,
    /// Where the next page begins, if there is one.
    pub next: Option<Marker>,
}

/// A place in a list of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    key: String,
    version: Option<String>,
}

/// What a bulk deletion did to one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkOutcome {
    /// Whole name.
    pub key: String,
    /// Version.
    pub version: String,
    /// Why it is not deleted; also if the answer does not name this version.
    pub refused: Option<BulkRefusal>,
}

/// Why a bulk deletion left a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkRefusal {
    /// What kind of failure it is.
    pub trouble: Trouble,
    /// The store's words.
    pub said: String,
}

/// A signing client of one bucket. Names are whole: the place's prefix is not added.
#[derive(Debug)]
pub struct S3 {
    place: S3Place,
    http: reqwest::Client,
    url: Url,
    patience: Patience,
}

/// A call, before it is signed.
struct Call<'a> {
    /// As a verb with its object, for people.
    action: String,
    method: Method,
    /// Name of the object; empty for the bucket.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(&'static str, String)>,
    body: &'a [u8],
    /// Largest answer, in bytes.
    limit: usize,
    /// Whether doing it twice differs from doing it once: then it is not repeated unless the store said no.
    doubles: bool,
}

/// An answer of success.
struct Reply {
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

/// A failed call: the error for people, and S3's code for us.
struct Fault {
    trouble: Trouble,
    code: String,
    error: ObjectsError,
}

impl From<Fault> for ObjectsError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

impl S3 {
    /// Prepares; nothing is asked of the store.
    ///
    /// # Errors
    /// [`ObjectsError::Place`] or [`ObjectsError::Client`].
    pub fn new(place: &S3Place, patience: Patience) -> Result<Self, ObjectsError> {
        place.check()?;
        Ok(Self { http: client(place, &patience)?, url: place.url()?, place: place.clone(), patience })
    }

    /// The bucket.
    pub fn place(&self) -> &S3Place {
        &self.place
    }

    /// The whole name of `name` below the place's prefix.
    pub fn key(&self, name: &str) -> String {
        match self.place.prefix.trim_matches('/') {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    fn call<'a>(&self, action: String, method: Method, key: &'a str) -> Call<'a> {
        Call { action, method, key, query: &[], headers: Vec::new(), body: &[], limit: LARGEST_ANSWER, doubles: false }
    }

    fn fault(&self, call: &Call<'_>, trouble: Trouble, code: &str, said: &str) -> Fault {
        let said = match code {
            "" => printable(said),
            code => printable(&format!("{code}: {said}")),
        };
        let error = ObjectsError::Store { action: call.action.clone(), place: self.place.to_string(), trouble, said };
        Fault { trouble, code: code.to_owned(), error }
    }

    /// Sends it, again after a failure that may pass.
    async fn send(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(200);
        let mut left = self.patience.repeats;
        loop {
            let may = left > 0 && began.elapsed() < self.patience.repeating;
            let fault = match self.send_once(call).await {
                Err(fault) if may && fault.trouble == Trouble::Failing => fault,
                Err(fault) if may && fault.trouble.passes() && !call.doubles => fault,
                done => return done,
            };
            tracing::debug!(place = %self.place, error = %fault.error, "a store's call is repeated");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
            left -= 1;
        }
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Reply, Fault> {
        let request = self.signed(call, Timestamp::now())?;
        let silent = |error: reqwest::Error| {
            let trouble = match () {
                () if error.is_timeout() => Trouble::Slow,
                () if error.is_decode() => Trouble::Garbled,
                () => Trouble::Unreachable,
            };
            self.fault(call, trouble, "", &deepest(&error.without_url()))
        };
        let mut answer = self.http.execute(request).await.map_err(silent)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(silent)? {
            if body.len() + bytes.len() > call.limit {
                return Err(self.fault(call, Trouble::Garbled, "", "the answer is too large"));
            }
            body.extend_from_slice(&bytes);
        }
        if (200..300).contains(&status) {
            return Ok(Reply { headers: answer.headers().clone(), body });
        }
        let said: xml::Refusal = xml::read("Error", &body).unwrap_or_default();
        let trouble = of_code(&said.code).unwrap_or(Trouble::of_status(status));
        let words = if said.message.is_empty() { format!("status {status}") } else { said.message };
        Err(self.fault(call, trouble, &said.code, &words))
    }

    fn signed(&self, call: &Call<'_>, at: Timestamp) -> Result<reqwest::Request, Fault> {
        let refuse = |why| self.fault(call, Trouble::Rejected, "", why);
        let mut path = format!("/{}", self.place.bucket);
        if !call.key.is_empty() {
            path = format!("{path}/{}", sign::encode(call.key));
        }
        let query = sign::query(call.query);
        let mut url = self.url.clone();
        url.set_path(&path);
        url.set_query((!query.is_empty()).then_some(&query));
        // A URL with `.` or `..` between slashes means another one.
        if url.path() != path || url.query().unwrap_or_default() != query {
            return Err(refuse("the name cannot be written in a URL"));
        }
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let body_hash = sign::hash(call.body);
        let mut headers: Vec<(String, String)> = vec![
            ("host".into(), host),
            ("x-amz-content-sha256".into(), body_hash.clone()),
            ("x-amz-date".into(), sign::stamp(at)),
        ];
        if !call.body.is_empty() {
            // Demanded where Object Lock is concerned.
            headers.push(("x-amz-sdk-checksum-algorithm".into(), "SHA256".into()));
            headers.push(("x-amz-checksum-sha256".into(), BASE64_STANDARD.encode(Sha256::digest(call.body))));
        }
        headers.extend(call.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        headers.sort();
        let S3Place { region, keys, .. } = &self.place;
        let signer = sign::Signer { access: &keys.access, secret: &keys.secret, region, service: "s3" };
        let method = call.method.as_str();
        let asked = sign::Asked { method, path: &path, query: &query, headers: &headers, body_hash: &body_hash, at };
        let authorization = signer.authorization(&asked);
        let mut request = self.http.request(call.method.clone(), url).header("authorization", authorization);
        // The client says the host itself, from the same URL.
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        request.body(call.body.to_vec()).build().map_err(|_| refuse("the request cannot be made"))
    }

    /// How far the store's clock is ahead of ours, by its answer to a call that needs no right.
    pub(super) async fn clock_ahead(&self) -> Option<SignedDuration> {
        let call = self.call("ask for the time".into(), Method::HEAD, "");
        let request = self.signed(&call, Timestamp::now()).ok()?;
        let answer = self.http.execute(request).await.ok()?;
        let date = answer.headers().get("date")?.to_str().ok()?;
        let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(date.duration_since(Timestamp::now()))
    }
}

/// The kind of a failure by S3's code, where that says more than the status.
fn of_code(code: &str) -> Option<Trouble> {
    match code {
        "SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout" => Some(Trouble::Failing),
        "NotImplemented" | "MethodNotAllowed" => Some(Trouble::Unsupported),
        "AccessDenied" => Some(Trouble::Refused),
        _ => None,
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(cause) = at.source() {
        at = cause;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::objects::Keys;

    fn store(endpoint: &str) -> S3 {
        let keys = Keys { access: "AKIA".into(), secret: SecretString::from("wJalr") };
        let place = S3Place {
            endpoint: endpoint.into(),
            region: "eu".into(),
            bucket: "far".into(),
            prefix: "/a/".into(),
            authority_pem: None,
            keys,
        };
        S3::new(&place, Patience::default()).unwrap()
    }

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let store = store("https://s3.example:9000");
        assert_eq!(store.key("x"), "a/x");
        let mut call = store.call("try".into(), Method::PUT, "a/ü b+%2E");
        call.query = &[("versionId", "a/b="), ("retention", "")];
        call.body = b"x";
        let request = store.signed(&call, Timestamp::UNIX_EPOCH).unwrap_or_else(|_| panic!("not signed"));
        assert_eq!(
            request.url().as_str(),
            "https://s3.example:9000/far/a/%C3%BC%20b%2B%252E?retention=&versionId=a%2Fb%3D"
        );
        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(authorization.contains(
            "SignedHeaders=host;x-amz-checksum-sha256;x-amz-content-sha256;x-amz-date;x-amz-sdk-checksum-algorithm,"
        ));
        assert!(!format!("{store:?} {request:?}").contains("wJalr"));
    }

    #[test]
    fn a_name_that_means_another_is_refused() {
        let store = store("https://s3.example");
        for key in ["a/../b", "..", "a/./b"] {
            let call = store.call("try".into(), Method::DELETE, key);
            assert!(store.signed(&call, Timestamp::UNIX_EPOCH).is_err(), "{key}");
        }
        for key in ["a/..b", "a//b", "...", "?x=1#y"] {
            let call = store.call("try".into(), Method::DELETE, key);
            assert!(store.signed(&call, Timestamp::UNIX_EPOCH).is_ok(), "{key}");
        }
    }
}

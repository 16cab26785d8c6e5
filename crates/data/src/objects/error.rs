//! What went wrong with a place, for programs and for people.

use std::error::Error as _;
use std::path::PathBuf;

use object_store::client::{HttpError, HttpErrorKind};

/// Longest part of a store's own words that is repeated, in characters.
const REPEATED: usize = 200;

/// Why a place did not do what was asked. No variant holds a key.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The place's words cannot be used; nothing was asked of it.
    #[error("{what}: {why}")]
    Place {
        /// The word.
        what: String,
        /// Why it cannot be used.
        why: &'static str,
    },
    /// The folder is missing, or cannot be used.
    #[error("cannot {verb} {path}", path = .path.display())]
    Folder {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The HTTP client cannot be made: most often the authority is not a PEM certificate.
    #[error("cannot prepare the connection to {place}: {why}")]
    Client {
        /// The place.
        place: String,
        /// Why.
        why: String,
    },
    /// A call to the store failed.
    #[error("cannot {action} in {place}: {trouble}{}", detail(.said))]
    Store {
        /// What was attempted, as a verb with its object.
        action: String,
        /// The place.
        place: String,
        /// What kind of failure it is.
        trouble: Trouble,
        /// The store's own words, shortened and made printable; may be empty.
        said: String,
    },
}

/// The kinds of failure of a store. They differ in what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody answered: connection, name, certificate.
    #[error("the store cannot be reached")]
    Unreachable,
    /// It took too long. Whether the call took effect is unknown.
    #[error("the store did not answer in time")]
    Slow,
    /// 401 or 403.
    #[error("the store refused the keys or the action")]
    Refused,
    /// 404: object, version or bucket.
    #[error("the store has no such object or bucket")]
    Missing,
    /// 409 or 412: something is there already, or is no longer what it was.
    #[error("the store has something else there")]
    Conflict,
    /// 429 or 5xx, after all retries.
    #[error("the store failed")]
    Failing,
    /// Any other refusal of the request.
    #[error("the store rejected the request")]
    Rejected,
    /// The store does not have this function.
    #[error("the store does not have this function")]
    Unsupported,
    /// The answer is not S3's, or is far too large.
    #[error("the store's answer cannot be understood")]
    Garbled,
}

impl Trouble {
    /// The kind of an HTTP status that is not a success.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Refused,
            404 => Self::Missing,
            409 | 412 => Self::Conflict,
            405 | 501 => Self::Unsupported,
            408 | 429 | 500.. => Self::Failing,
            400..=499 => Self::Rejected,
            _ => Self::Garbled,
        }
    }

    /// Whether asking again later may help without a change by anybody.
    pub fn passes(self) -> bool {
        matches!(self, Self::Unreachable | Self::Slow | Self::Failing)
    }
}

impl ObjectsError {
    /// The code that `springtide explain` knows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Place { .. } => "E1000",
            Self::Folder { .. } => "E1001",
            Self::Client { .. } => "E1002",
            Self::Store { trouble, .. } => match trouble {
                Trouble::Unreachable | Trouble::Slow => "E1003",
                Trouble::Refused => "E1004",
                Trouble::Missing => "E1005",
                Trouble::Failing => "E1006",
                Trouble::Garbled => "E1007",
                Trouble::Conflict | Trouble::Rejected | Trouble::Unsupported => "E1008",
            },
        }
    }

    /// What a person does next.
    pub fn next(&self) -> &'static str {
        match self {
            Self::Place { .. } => "correct the place in the estate file or its keys in the secrets",
            Self::Folder { .. } => "mount or create the folder and give it to the user that Springtide runs as",
            Self::Client { .. } => "give the store's authority as PEM certificates",
            Self::Store { trouble, .. } => match trouble {
                Trouble::Unreachable => "check the endpoint's name, port and certificate, and the network",
                Trouble::Slow | Trouble::Failing => "nothing; it is tried again, and an alert follows if it lasts",
                Trouble::Refused => "check the keys, their rights on the bucket, and this machine's clock",
                Trouble::Missing => "check the bucket's name; springtide backup list says what should be there",
                Trouble::Garbled => "check that the endpoint is an S3 store and not a proxy's page",
                Trouble::Conflict => "ask again; someone else wrote at the same time",
                Trouble::Rejected | Trouble::Unsupported => "check that the store has what is asked; see its words",
            },
        }
    }

    /// The kind of failure, where a store was asked.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Store { trouble, .. } => Some(*trouble),
            Self::Place { .. } | Self::Folder { .. } | Self::Client { .. } => None,
        }
    }

    /// The typed form of what `object_store` returned while `action` was attempted in `place`.
    pub fn of_store(action: impl Into<String>, place: &impl ToString, error: &object_store::Error) -> Self {
        let (trouble, said) = classify(error);
        Self::Store { action: action.into(), place: place.to_string(), trouble, said: printable(&said) }
    }
}

fn detail(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

fn classify(error: &object_store::Error) -> (Trouble, String) {
    use object_store::Error as E;
    let trouble = match error {
        E::NotFound { .. } => Some(Trouble::Missing),
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => Some(Trouble::Conflict),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Some(Trouble::Refused),
        E::NotSupported { .. } | E::NotImplemented { .. } => Some(Trouble::Unsupported),
        E::InvalidPath { .. } => Some(Trouble::Rejected),
        _ => None,
    };
    // The deepest cause says most. A status is known by its text only: the type that holds it is private.
    let (mut said, mut seen, mut cause) = (error.to_string(), None, error.source());
    while let Some(one) = cause {
        let text = one.to_string();
        if let Some(rest) = text.strip_prefix("Server returned non-2xx status code: ") {
            seen = rest.get(..3).and_then(|digits| digits.parse().ok()).map(Trouble::of_status).or(seen);
            said = rest.to_owned();
            break;
        }
        if let Some(http) = one.downcast_ref::<HttpError>() {
            seen = Some(match http.kind() {
                HttpErrorKind::Timeout => Trouble::Slow,
                HttpErrorKind::Decode => Trouble::Garbled,
                _ => Trouble::Unreachable,
            });
        }
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            seen = seen.or(Some(match io.kind() {
                std::io::ErrorKind::PermissionDenied => Trouble::Refused,
                std::io::ErrorKind::NotFound => Trouble::Missing,
                std::io::ErrorKind::TimedOut => Trouble::Slow,
                _ => Trouble::Failing,
            }));
        }
        said = text;
        cause = one.source();
    }
    (trouble.or(seen).unwrap_or(Trouble::Garbled), said)
}

/// A store's words for a person: one line, no control characters, not long.
pub(super) fn printable(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars().take(REPEATED) {
        kept.push(if c.is_control() { ' ' } else { c });
    }
    if text.chars().nth(REPEATED).is_some() {
        kept.push('…');
    }
    kept.trim().to_owned()
}

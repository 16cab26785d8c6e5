//! What all acts share: the key, the ledger, and what an error means for both.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::class::Class;
use crate::generator::{Arrival, Outcome};
use crate::ledger::{ActKind, Entry, Ledger, Phase};
use crate::odoo::CallError;

/// Why an act did not end well.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Odoo or the way to it.
    Call(CallError),
    /// The ledger could not be written, so nothing more was sent.
    Ledger,
}

impl From<CallError> for Stopped {
    fn from(error: CallError) -> Self {
        Stopped::Call(error)
    }
}

impl Stopped {
    /// For the report, where reasons are counted: names, not texts.
    pub(super) fn outcome(self) -> Outcome {
        let error = match self {
            Stopped::Call(error) => error,
            Stopped::Ledger => {
                return Outcome::Failed { status: None, reason: "the ledger cannot be written".to_owned() };
            }
        };
        let status = error.status();
        match error {
            CallError::Refused { name, .. } => Outcome::Refused { status, reason: name },
            CallError::Overloaded { .. } => Outcome::Failed { status, reason: "turned away".to_owned() },
            CallError::NotSent { reason } => Outcome::Failed { status, reason },
            CallError::Unknown { reason, .. } => Outcome::Unknown { reason },
        }
    }
}

/// The ledger and the name of the run.
pub(super) struct Book {
    ledger: Arc<Ledger>,
    prefix: String,
}

/// One act in the ledger, which was intended.
pub(super) struct Written<'a> {
    book: &'a Book,
    entry: Entry,
}

impl Book {
    pub(super) fn new(ledger: Arc<Ledger>, run: &str) -> Self {
        Self { ledger, prefix: super::prefix(run) }
    }

    /// The key of an arrival.
    pub(super) fn key(&self, arrival: &Arrival) -> String {
        format!("{}{}-{}", self.prefix, arrival.class, arrival.number)
    }

    /// Writes that something is about to be sent.
    pub(super) async fn intend(
        &self,
        class: Class,
        kind: ActKind,
        key: String,
        detail: Value,
    ) -> Result<Written<'_>, Stopped> {
        let entry = Entry { at: now(), class, key, kind, phase: Phase::Intended, detail };
        self.ledger.append(entry.clone()).await.map_err(|_| Stopped::Ledger)?;
        Ok(Written { book: self, entry })
    }
}

impl Written<'_> {
    /// Writes what became of it, and hands on the result.
    pub(super) async fn ended<T>(self, result: Result<T, CallError>) -> Result<T, Stopped> {
        let phase = match &result {
            Ok(_) => Phase::Acknowledged,
            Err(error) if error.may_have_happened() => Phase::Unknown,
            Err(_) => Phase::Refused,
        };
        let entry = Entry { at: now(), phase, ..self.entry };
        self.book.ledger.append(entry).await.map_err(|_| Stopped::Ledger)?;
        Ok(result?)
    }
}

/// Microseconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

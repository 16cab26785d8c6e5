//! Why a call gave no result, in the three kinds that a ledger must keep apart.
//!
//! The entrance shows the same 503 when Odoo was never asked and when a worker died in the middle of a
//! request. So a 503 is *unknown* and not *overloaded*, unless it is known that nothing was sent.

/// A call without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Odoo did not do it and said why; its transaction was rolled back.
    #[error("Odoo refuses: {name}: {message}")]
    Refused {
        /// HTTP status; Odoo's older protocol refuses with 200.
        status: Option<u16>,
        /// Odoo's own name of the error, such as `odoo.exceptions.UserError`.
        name: String,
        /// First line of what it says to people.
        message: String,
    },
    /// Turned away before Odoo was asked: it did not happen and may be tried again.
    #[error("turned away with {status}")]
    Overloaded {
        /// HTTP status.
        status: u16,
        /// Seconds after which it may be tried again, if it was said.
        after: Option<u64>,
    },
    /// There was no connection to send it on: it did not happen.
    #[error("not sent: {reason}")]
    NotSent {
        /// What failed.
        reason: String,
    },
    /// Sent, and no answer of Odoo came back: it may have happened or not.
    #[error("no answer: {reason}")]
    Unknown {
        /// HTTP status, if the entrance answered in Odoo's place.
        status: Option<u16>,
        /// What was seen instead.
        reason: String,
    },
}

impl CallError {
    /// Whether the call may have taken effect.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, CallError::Unknown { .. })
    }

    /// HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            CallError::Refused { status, .. } | CallError::Unknown { status, .. } => *status,
            CallError::Overloaded { status, .. } => Some(*status),
            CallError::NotSent { .. } => None,
        }
    }

    /// An answer that came, and is not what this call should give.
    pub(crate) fn unexpected(what: &str) -> Self {
        CallError::Unknown { status: Some(200), reason: format!("an answer of another shape than expected: {what}") }
    }
}

//! What a client writes down about an act of business.

use serde::{Deserialize, Serialize};

use crate::class::Class;

/// One line of the ledger: a client's knowledge of one act at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Who acted.
    pub class: Class,
    /// The business key, unique to the act, by which Odoo's rows are found (such as `client_order_ref`).
    pub key: String,
    /// What kind of act.
    pub kind: ActKind,
    /// What the client knows.
    pub phase: Phase,
    /// What is compared beyond the key. Understood of an order: `lines`, `quantity`; of a transfer:
    /// `product`, `quantity`; of an import: `stream`, `sequence`. Anything else is for people.
    #[serde(default)]
    pub detail: serde_json::Value,
}

/// Kinds of acts that Odoo's database must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActKind {
    /// An order that was confirmed.
    Order,
    /// A step of a transfer that was done.
    Transfer,
    /// A line of a batch that a job turns into a record.
    Import,
}

/// What the client knows of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// About to be sent. Written before the first byte.
    Intended,
    /// The answer was read: it happened. From here on the act counts.
    Acknowledged,
    /// The answer was read: it did not happen.
    Refused,
    /// No answer: it may have happened or not.
    Unknown,
}

//! The client's ledger: what was acknowledged, on disk before it counts.
//!
//! [`Ledger`] writes, [`read`](Ledger::read) reads, and [`compare()`] judges: it sees nothing but the
//! ledger and Odoo's rows ([`Facts`]).
//!
//! Rule: an entry is fsynced before `append` returns. Acts are written twice: as intended before the first
//! byte is sent, so that nothing can have happened that the ledger does not know of, and as acknowledged
//! after the answer was read. Only what is acknowledged counts.

use std::path::PathBuf;

mod compare;
mod entry;
mod facts;
mod file;
mod line;
mod state;
mod writer;

pub use compare::{Finding, Findings, Rules, compare};
pub use entry::{ActKind, Entry, Phase};
pub use facts::{Facts, ImportFact, OrderFact, StockFact, TransferFact};
pub use file::Reading;
pub use writer::Ledger;

/// What went wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be opened.
    #[error("the ledger {} cannot be opened: {reason}", path.display())]
    Open {
        /// Which ledger.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// Another run writes to it.
    #[error("the ledger {} is being written by another run", path.display())]
    Busy {
        /// Which ledger.
        path: PathBuf,
    },
    /// The disk is full. What was acknowledged before is on disk.
    #[error("the disk under the ledger {} is full; what it held before is whole, and nothing more is written", path.display())]
    Full {
        /// Which ledger.
        path: PathBuf,
    },
    /// It cannot be written. What was acknowledged before is on disk.
    #[error("the ledger {} cannot be written: {reason}; what it held before is whole, and nothing more is written", path.display())]
    Write {
        /// Which ledger.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// It is not a ledger, or was changed: more than its last line is damaged.
    #[error("the ledger {} is damaged at line {line}: {reason}", path.display())]
    Damaged {
        /// Which ledger.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

impl LedgerError {
    /// The problem's code, such as `E0962`.
    pub fn code(&self) -> &'static str {
        match self {
            LedgerError::Open { .. } | LedgerError::Busy { .. } => "E0962",
            LedgerError::Full { .. } | LedgerError::Write { .. } => "E0963",
            LedgerError::Damaged { .. } => "E0964",
        }
    }
}

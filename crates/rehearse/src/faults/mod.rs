//! Faults on demand: put in, timed, and taken out again whatever becomes of the rig.
//!
//! The [`catalogue`] names them. [`victim`] says who a process is, [`process`] kills, freezes and slows,
//! [`proxy`] breaks a connection between two ends, [`disk`] fills a file system of its own, [`clock`]
//! shifts the time that our own code reads. What has to be undone stands in the [`journal`] on disk
//! before it is done, and the [`watchdog`], a process of its own, undoes it when the rig dies or is late.
//!
//! Rule: journal first, fault second; undo first, journal line last. Undoing twice does no harm. A
//! process is only signalled if its start time and boot are those that were given.

pub mod catalogue;
pub mod clock;
pub mod disk;
pub mod journal;
pub mod process;
pub mod proxy;
pub mod takeover;
pub mod victim;
pub mod watchdog;

pub use catalogue::{CATALOGUE, FaultId};
pub use journal::{Active, Journal, Undo, Undone};
pub use victim::Victim;
pub use watchdog::Watchdog;

/// A fault could not be put in or taken out.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The process is not the one that was meant, or must not be touched.
    #[error("process {pid} is not touched: {why}; nothing was changed, look at what runs now and try again")]
    Victim {
        /// Its id.
        pid: i32,
        /// Why not.
        why: &'static str,
    },
    /// The fault cannot be put in here.
    #[error("cannot {what}: {why}; the fault is not in place")]
    Place {
        /// What was attempted.
        what: String,
        /// Why it does not go.
        why: String,
    },
    /// The fault is still there.
    #[error(
        "cannot undo: {what}: {why}; the fault may still be in place, its record is kept: mend the cause, then springtide rig undo"
    )]
    Undo {
        /// What was attempted.
        what: String,
        /// Why it did not go.
        why: String,
    },
}

impl FaultError {
    /// The code for `springtide explain`.
    pub const fn code(&self) -> &'static str {
        match self {
            FaultError::Victim { .. } => "E0970",
            FaultError::Place { .. } => "E0971",
            FaultError::Undo { .. } => "E0972",
        }
    }

    pub(crate) fn place(what: impl Into<String>, why: impl std::fmt::Display) -> FaultError {
        FaultError::Place { what: what.into(), why: why.to_string() }
    }

    pub(crate) fn undo(what: impl Into<String>, why: impl std::fmt::Display) -> FaultError {
        FaultError::Undo { what: what.into(), why: why.to_string() }
    }
}

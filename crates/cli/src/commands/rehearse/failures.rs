//! What can go wrong with a rehearsal, as failures for people.

use springtide_rehearse::distributor::{LoadError, scale::SizeError};
use springtide_rehearse::ledger::LedgerError;
use springtide_rehearse::odoo::CallError;
use springtide_rehearse::profile::ProfileError;
use springtide_rehearse::schedule::ScheduleError;
use springtide_rehearse::traffic::OpenError;
use springtide_server::execute::chain;

use crate::failure::{Failure, NOTHING, code};

/// The failure of [`ProfileError`].
pub fn profile(error: ProfileError) -> Failure {
    Failure::new(code::INVALID, error.code(), error.to_string(), NOTHING, "springtide rehearse")
}

/// The failure of [`ScheduleError`].
pub fn schedule(error: ScheduleError) -> Failure {
    Failure::new(code::INVALID, error.code(), error.to_string(), NOTHING, "springtide rehearse run --help")
}

/// The failure of [`SizeError`].
pub fn size(error: SizeError) -> Failure {
    Failure::new(code::INVALID, "E0911", error.to_string(), NOTHING, "springtide rehearse prepare --help")
}

/// The failure of [`LedgerError`].
pub fn ledger(error: LedgerError) -> Failure {
    let unchanged = "What was acknowledged before is in the ledger.";
    Failure::new(code::FAILED, error.code(), error.to_string(), unchanged, "make room or name another --state")
}

/// The failure of [`LoadError`].
pub fn load(error: LoadError) -> Failure {
    let (id, message) = (error.code(), chain(&error));
    match &error {
        LoadError::Odoo { cause, .. } => call(id, message, cause),
        LoadError::Wire(_) => Failure::new(code::FAILED, id, message, NOTHING, "springtide doctor"),
        LoadError::Other { .. } | LoadError::Parameter => {
            Failure::new(code::CONFLICT, id, message, NOTHING, "use what is there, or another environment")
        }
    }
}

/// The failure of [`OpenError`].
pub fn open(error: OpenError) -> Failure {
    let (id, message) = (error.code(), chain(&error));
    match &error {
        OpenError::Odoo { cause, .. } => call(id, message, cause),
        _ => Failure::new(code::FAILED, id, message, STAYS, "springtide rehearse prepare --env ENV"),
    }
}

/// Odoo did not answer, or said no.
fn call(id: &'static str, message: String, cause: &CallError) -> Failure {
    match cause {
        CallError::Refused { name, .. } if name.contains("AccessDenied") => {
            let next = "log in as admin with the first password of springtide open, or set it back to that";
            Failure::new(code::DENIED, id, message, STAYS, next)
        }
        CallError::Refused { .. } => Failure::new(code::FAILED, id, message, STAYS, "springtide logs ENV/web"),
        _ => Failure::new(code::UNREACHABLE, id, message, STAYS, "springtide status"),
    }
}

/// What is left behind.
const STAYS: &str = "What was made before stays; the same command goes on from there.";

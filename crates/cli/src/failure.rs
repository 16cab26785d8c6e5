//! Failures for people: what failed, what is unchanged, what to do next, with an exit code.
//!
//! Known troubles of the machine (no room, nobody answers, wrong permissions) are recognised
//! wherever they come from by [`trouble`], so that one cause has one code in every command.

use std::error::Error;
use std::process::ExitCode;

use springtide_data::backup::EngineError;
use springtide_data::secrets::SecretError;
use springtide_driver::DriverError;
use springtide_server::control::ControlError;
use springtide_server::routes::RouteError;
use springtide_server::store::{StoreError, StoreTrouble};

use crate::printer;

/// Exit codes of the contract.
pub mod code {
    /// Failed.
    pub const FAILED: u8 = 1;
    /// Changes are pending, or a condition is not met.
    pub const PENDING: u8 = 2;
    /// Invalid input.
    pub const INVALID: u8 = 3;
    /// Denied.
    pub const DENIED: u8 = 4;
    /// Stale plan or conflict.
    pub const CONFLICT: u8 = 5;
    /// Something that must answer does not.
    pub const UNREACHABLE: u8 = 6;
    /// Cancelled.
    pub const CANCELLED: u8 = 130;
}

/// What most failures leave behind.
pub const NOTHING: &str = "Nothing was changed.";

/// A failure of a command.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    id: &'static str,
    message: String,
    unchanged: &'static str,
    next: String,
    details: Option<serde_json::Value>,
}

impl Failure {
    /// A failure with its exit code, error code, message, what is unchanged, and the next command.
    pub fn new(
        code: u8,
        id: &'static str,
        message: impl Into<String>,
        unchanged: &'static str,
        next: impl Into<String>,
    ) -> Self {
        Self { code, id, message: message.into(), unchanged, next: next.into(), details: None }
    }

    /// With another word of what is unchanged.
    pub fn leaves(mut self, unchanged: &'static str) -> Self {
        self.unchanged = unchanged;
        self
    }

    /// With more for scripts: one command prints one JSON object, so details go into it.
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Whether it has this error code.
    pub fn is(&self, id: &str) -> bool {
        self.id == id
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prints it and gives the exit code.
    pub fn report(self, json: bool) -> ExitCode {
        let Self { code, id, message, unchanged, next, details } = self;
        if json {
            let error = serde_json::json!({ "code": id, "message": message, "unchanged": unchanged, "next": next, "details": details });
            printer::json(&serde_json::json!({ "version": 1, "error": error }));
        } else {
            let text = format!("error {id}: {message}\n  {unchanged}\n  next: {next}");
            let wrapped = printer::wrap(&text, printer::width(), 4);
            printer::talk(&printer::red("error"), wrapped.strip_prefix("error").unwrap_or(&wrapped));
        }
        ExitCode::from(code)
    }
}

/// A trouble of the machine behind an error: exit code, error code and what to do.
pub fn trouble(error: &(dyn Error + 'static)) -> Option<(u8, &'static str, String)> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(known) = known(one) {
            return Some(known);
        }
        cause = one.source();
    }
    None
}

fn known(one: &(dyn Error + 'static)) -> Option<(u8, &'static str, String)> {
    use std::io::ErrorKind as K;
    let unreachable = |next: &str| Some((code::UNREACHABLE, "E0910", next.to_owned()));
    if let Some(error) = one.downcast_ref::<std::io::Error>() {
        return match error.kind() {
            K::StorageFull | K::QuotaExceeded => Some(no_room()),
            K::ReadOnlyFilesystem => Some(read_only()),
            _ => None,
        };
    }
    match one.downcast_ref::<StoreError>() {
        Some(StoreError::Fenced { .. }) => {
            return Some((code::CONFLICT, "E0802", "springtide history, then springtide plan".into()));
        }
        Some(StoreError::Held(_)) => return Some((code::CONFLICT, "E0922", "springtide release".into())),
        Some(StoreError::Busy { .. }) => return Some((code::CONFLICT, "E0802", "springtide history".into())),
        _ => {}
    }
    if let Some(error) = one.downcast_ref::<StoreError>() {
        return match error.trouble()? {
            StoreTrouble::Full => Some(no_room()),
            StoreTrouble::ReadOnly => Some(read_only()),
            StoreTrouble::Newer => Some((code::INVALID, "E0914", "install the newer springtide".into())),
            StoreTrouble::Damaged => {
                let next = "springtide recover puts the newest copy back; workloads run on without it";
                Some((code::FAILED, "E0912", next.into()))
            }
        };
    }
    if let Some(error) = one.downcast_ref::<ControlError>() {
        return match error {
            ControlError::Fenced { .. } => Some((code::CONFLICT, "E0921", "springtide status".into())),
            ControlError::Held(_) => Some((code::CONFLICT, "E0922", "springtide release".into())),
            ControlError::Invalid(_) => Some((code::INVALID, "E0100", "springtide check".into())),
            _ => None,
        };
    }
    if let Some(error) = one.downcast_ref::<DriverError>() {
        return match error {
            DriverError::Supervisor(_) => unreachable("springtide doctor"),
            DriverError::Fenced { .. } => {
                Some((code::CONFLICT, "E0802", "springtide history, then springtide plan".into()))
            }
            _ => None,
        };
    }
    match one.downcast_ref::<EngineError>() {
        Some(EngineError::Driver(error)) => return known(error),
        Some(EngineError::Io { source, .. }) if known(source).is_some() => return known(source),
        Some(error) => {
            let next = format!("springtide explain {}; mend the cause, then springtide apply", error.code());
            return Some((code::FAILED, error.code(), next));
        }
        None => {}
    }
    if let Some(RouteError::Proxy(_)) = one.downcast_ref::<RouteError>() {
        return unreachable("springtide logs proxy");
    }
    match one.downcast_ref::<SecretError>()? {
        SecretError::TooOpen { path, expected, .. } => {
            let path = path.display();
            Some((code::DENIED, "E0905", format!("chown {expected} {path}; chmod go-rwx {path}")))
        }
        SecretError::StoreFile { .. } => {
            Some((code::DENIED, "E1049", "mend the file, then repeat the command; springtide explain E1049".into()))
        }
        SecretError::Identity(_) | SecretError::Damaged(_) => {
            Some((code::FAILED, "E0913", "put secrets/identity.txt back from its copy, then springtide doctor".into()))
        }
        _ => None,
    }
}

/// No room is left.
pub fn no_room() -> (u8, &'static str, String) {
    (code::FAILED, "E0906", "df -h; free some room, then repeat the command".into())
}

fn read_only() -> (u8, &'static str, String) {
    (code::FAILED, "E0909", "mount it writable or name another folder with --state".into())
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let message = springtide_server::execute::chain(&error);
        match trouble(&error) {
            Some((code, id, next)) => Failure::new(code, id, message, NOTHING, next),
            None => Failure::new(code::FAILED, "E0900", message, "Nothing further was changed.", "springtide doctor"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_core::backup::RepoKey;

    #[test]
    fn a_full_disk_has_one_code_wherever_it_comes_from() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let driver = DriverError::Io { verb: "write", object: "x".into(), source: full() };
        assert_eq!(trouble(&full()).map(|it| it.1), Some("E0906"));
        assert_eq!(trouble(&driver).map(|it| it.1), Some("E0906"));
        let away = DriverError::Supervisor("it goes away".into());
        assert_eq!(trouble(&away).map(|it| (it.0, it.1)), Some((6, "E0910")));
        assert!(trouble(&std::io::Error::from(std::io::ErrorKind::NotFound)).is_none());
        // What a backup engine says keeps its own code, but for what has one already.
        let engine = EngineError::Unreachable(RepoKey::Far, "no answer".into());
        assert_eq!(trouble(&engine).map(|it| it.1), Some("E1011"));
        let driver = EngineError::from(DriverError::Supervisor("it goes away".into()));
        assert_eq!(trouble(&driver).map(|it| it.1), Some("E0910"));
        let io = EngineError::Io { verb: "write", path: "/x".into(), source: full() };
        assert_eq!(trouble(&io).map(|it| it.1), Some("E0906"));
    }
}

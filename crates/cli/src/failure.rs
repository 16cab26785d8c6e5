//! Failures for people: what failed, what is unchanged, what to do next, with an exit code.

use std::process::ExitCode;

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
    /// Cancelled.
    pub const CANCELLED: u8 = 130;
}

/// A failure of a command.
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

    /// With more for scripts: one command prints one JSON object, so details go into it.
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Prints it and gives the exit code.
    pub fn report(self, json: bool) -> ExitCode {
        let Self { code, id, message, unchanged, next, details } = self;
        if json {
            let error = serde_json::json!({ "version": 1, "error": { "code": id, "message": message, "unchanged": unchanged, "next": next, "details": details } });
            printer::data(&format!("{error}\n"));
        } else {
            printer::talk(&printer::red("error"), &format!(" {id}: {message}\n  {unchanged}\n  next: {next}"));
        }
        ExitCode::from(code)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(
            code::FAILED,
            "E0900",
            springtide_server::execute::chain(&error),
            "Nothing further was changed.",
            "springtide status",
        )
    }
}

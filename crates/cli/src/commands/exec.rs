//! `springtide exec`: a person's command inside a running workload.

use std::os::fd::OwnedFd;

use serde_json::json;
use springtide_core::workload::WorkloadId;
use springtide_driver::DriverError;

use crate::args::Cli;
use crate::context::{need_root, now, open, state};
use crate::failure::{Failure, code};
use crate::printer;

/// `springtide exec`
pub async fn exec(cli: &Cli, workload: &WorkloadId, command: &[String], dry_run: bool) -> Result<u8, Failure> {
    let none = || refused(workload, DriverError::NotFound(workload.clone()));
    need_root()?;
    if !state(cli)?.exists() {
        return Err(none());
    }
    let estate = open(cli)?;
    if dry_run {
        let seen = estate.driver.observe().await?;
        let found = seen.workloads.get(workload).ok_or_else(none)?;
        if found.pid.is_none() {
            return Err(refused(workload, DriverError::NotRunning { id: workload.clone(), state: found.state }));
        }
        if cli.json {
            printer::json(&json!({ "version": 1, "workload": workload, "exit_code": null }));
        } else {
            let what = if command.is_empty() { "its shell".to_owned() } else { command.join(" ") };
            printer::data(&format!("would run {what} in {workload}\n"));
        }
        return Ok(0);
    }
    // Recorded without its arguments: they may hold secrets.
    let operation = estate.store.begin_command(&format!("exec {workload}"), "springtide exec", now())?;
    let aside = if cli.json { Some(Aside::begin()?) } else { None };
    let ran = estate.driver.exec(workload, command).await;
    if let Some(aside) = aside {
        aside.end()?;
    }
    let outcome = ran.as_ref().map_or_else(|_| "failed".to_owned(), |exit| format!("exit code {exit}"));
    estate.store.end_command(operation, &outcome, now())?;
    let exit = ran.map_err(|error| refused(workload, error))?;
    if cli.json {
        printer::json(&json!({ "version": 1, "workload": workload, "exit_code": exit }));
    }
    Ok(u8::try_from(exit).unwrap_or(code::FAILED))
}

fn refused(workload: &WorkloadId, error: DriverError) -> Failure {
    let next = match error {
        DriverError::NotFound(_) => {
            let message = format!("{workload} does not exist here");
            return Failure::new(code::INVALID, "E0904", message, "Nothing was run.", "springtide status");
        }
        DriverError::NotRunning { .. } => "springtide status says why; springtide apply starts it",
        DriverError::Missing { .. } => "name a program that the workload has",
        other => return other.into(),
    };
    let (code, id) = match error {
        DriverError::Missing { .. } => (code::INVALID, "E0915"),
        _ => (code::FAILED, "E0907"),
    };
    Failure::new(code, id, error.to_string(), "Nothing was run.", next)
}

/// While it lasts, what is written to standard output goes to standard error: with `--json` only
/// the answer is data.
struct Aside {
    stdout: OwnedFd,
}

impl Aside {
    fn begin() -> std::io::Result<Self> {
        // A copy that children do not inherit.
        let stdout = std::io::stdout();
        let copy = nix::fcntl::fcntl(&stdout, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
        // SAFETY: the kernel has just given us this descriptor and nobody else holds it.
        #[allow(unsafe_code)]
        let stdout = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(copy) };
        nix::unistd::dup2_stdout(std::io::stderr())?;
        Ok(Self { stdout })
    }

    fn end(self) -> std::io::Result<()> {
        Ok(nix::unistd::dup2_stdout(self.stdout)?)
    }
}

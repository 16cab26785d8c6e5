//! Commands inside workloads, from the caller's side: spawn [`super::enter`] with the caller's own
//! streams, wait, and tell the exit code as a shell would.
//!
//! A pipe that exec closes tells both apart: what could not be run is an error of ours, what ran
//! and failed is an exit code.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::process::ExitStatusExt as _;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::pipe2;
use springtide_core::workload::WorkloadId;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};

use super::paths::{Paths, io};
use super::wire::Refusal;
use crate::DriverError;

/// Runs a command in a workload that was just seen running.
pub(crate) async fn run(paths: &Paths, id: &WorkloadId, command: &[String]) -> Result<i32, DriverError> {
    // The terminal sends its signals to the command as well, and the command decides, as with
    // system(3). The handlers stay for the rest of this process.
    let _waiting = [SignalKind::interrupt(), SignalKind::quit()].map(signal);
    let pipe = |error: nix::errno::Errno| io("make", "a pipe".as_ref())(error.into());
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(pipe)?;
    let number = write.as_raw_fd();
    let mut enter = tokio::process::Command::new(&paths.binary);
    enter
        .arg("enter")
        .args(paths.arguments())
        .args(["--workload", &id.to_string(), "--caller", &std::process::id().to_string()])
        .args(["--errors", &number.to_string(), "--"])
        .args(command)
        .env_clear()
        .kill_on_drop(true);
    if let Some(term) = std::env::var_os("TERM") {
        enter.env("TERM", term);
    }
    // SAFETY: one system call, on a descriptor that stays open until the child is there.
    #[allow(unsafe_code)]
    unsafe {
        enter.pre_exec(move || {
            fcntl(BorrowedFd::borrow_raw(number), FcntlArg::F_SETFD(FdFlag::empty()))?;
            Ok(())
        });
    }
    let mut child = enter.spawn().map_err(io("run", &paths.binary))?;
    drop(write);
    let mut said = Vec::new();
    let told = async { Receiver::from_owned_fd(read)?.read_to_end(&mut said).await };
    told.await.map_err(io("read", "what the command's start said".as_ref()))?;
    let status = child.wait().await.map_err(io("wait for", "the command".as_ref()))?;
    if !said.is_empty() {
        let nonsense = |_| DriverError::Supervisor(format!("the command for {id} did not start, and not said why"));
        return Err(serde_json::from_slice::<Refusal>(&said).map_err(nonsense)?.into());
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

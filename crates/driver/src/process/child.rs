//! From prepared facts to a running program: fork, record, let go.
//!
//! The child builds its view and then waits for one byte; the keeper sends it only after the
//! child's identity is recorded. If the keeper dies in between, the child reads the end of the pipe
//! and exits, so no program ever runs unrecorded.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{ForkResult, Pid, execve, fork, getpid, getppid, pipe2, setsid};

use super::network;
use super::privileges::Identity;
use super::sandbox::{self, View};
use crate::Network;

/// All a child needs; made by the keeper before it forks.
pub(crate) struct Prepared {
    /// Program as the child will see it.
    pub program: PathBuf,
    /// Its arguments, with its name.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// What it sees.
    pub view: View,
    /// What it can reach.
    pub network: Network,
    /// Who it becomes.
    pub identity: Identity,
    /// Where its output goes.
    pub log: File,
    /// Whether it is killed when the keeper dies (tasks).
    pub dies_with_keeper: bool,
}

/// Forks, calls `record` with the child's pid, and lets the child go. An error means that no
/// program runs.
pub(crate) fn start(prepared: &Prepared, record: impl FnOnce(i32) -> Result<(), String>) -> Result<Pid, String> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|error| format!("make a pipe: {error}"));
    let (go_read, go_write) = pipe()?;
    let (error_read, error_write) = pipe()?;
    let keeper = getpid();
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|e| format!("open /dev/null: {e}"))?;
    // SAFETY: hidden commands run before any thread exists, so the child may do what it likes.
    #[allow(unsafe_code)]
    match unsafe { fork() }.map_err(|error| format!("fork: {error}"))? {
        ForkResult::Child => {
            drop((go_write, error_read));
            let text = match become_program(prepared, keeper, go_read, &null) {
                Ok(never) => match never {},
                Err(text) => text,
            };
            let _ = File::from(error_write).write_all(text.as_bytes());
            // SAFETY: ends the child at once, without the keeper's clean-up handlers.
            #[allow(unsafe_code)]
            unsafe {
                libc::_exit(127)
            }
        }
        ForkResult::Parent { child } => {
            drop((go_read, error_write));
            if let Err(text) = record(child.as_raw()) {
                drop(go_write);
                let _ = nix::sys::wait::waitpid(child, None);
                return Err(text);
            }
            // The child may have failed already; then its text says more than our broken pipe.
            let _ = File::from(go_write).write_all(b"!");
            let mut text = String::new();
            let _ = File::from(error_read).read_to_string(&mut text);
            if text.is_empty() {
                return Ok(child);
            }
            let _ = nix::sys::wait::waitpid(child, None);
            Err(text)
        }
    }
}

fn become_program(
    prepared: &Prepared,
    keeper: Pid,
    go: OwnedFd,
    null: &File,
) -> Result<std::convert::Infallible, String> {
    let step = |what: &'static str| move |error: nix::errno::Errno| format!("{what}: {error}");
    // A session of its own: the keeper is in another one, and the whole session can be found.
    setsid().map_err(step("make a session"))?;
    network::enter(prepared.network)?;
    sandbox::enter(&prepared.view)?;
    let mut byte = [0];
    if File::from(go).read(&mut byte).unwrap_or(0) != 1 {
        return Err("the keeper went away".to_owned());
    }
    reset_signals()?;
    close_others();
    raise_file_limit();
    nix::unistd::dup2_stdin(null.as_fd()).map_err(step("set standard input"))?;
    nix::unistd::dup2_stdout(prepared.log.as_fd()).map_err(step("set standard output"))?;
    nix::unistd::dup2_stderr(prepared.log.as_fd()).map_err(step("set standard error"))?;
    prepared.identity.assume()?;
    if prepared.dies_with_keeper {
        // After setuid, which clears it.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(step("tie to the keeper"))?;
        // It may have died before the tie held.
        if getppid() != keeper {
            return Err("the keeper went away".to_owned());
        }
    }
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| "an argument or variable has a zero byte".to_owned());
    let program = text(prepared.program.as_os_str().as_bytes())?;
    let arguments = prepared.arguments.iter().map(|a| text(a.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let env = prepared
        .env
        .iter()
        .map(|(name, value)| text(format!("{name}={value}").as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    execve(&program, &arguments, &env).map_err(|error| format!("execute {}: {error}", prepared.program.display()))
}

/// Ignored signals and masks survive exec; the supervisor ignores some, its workloads must not.
pub(crate) fn reset_signals() -> Result<(), String> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default action runs no code of ours.
            #[allow(unsafe_code)]
            unsafe { sigaction(signal, &default) }.map_err(|error| format!("reset {signal}: {error}"))?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(|e| format!("reset signal mask: {e}"))
}

/// Marks every inherited descriptor but the first three to be closed by exec. Callers may have
/// been given some that are not ours to hand on.
pub(crate) fn close_others() {
    // SAFETY: only sets a flag on descriptors; none is closed or used here.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Servers open many sockets; the soft limit of a login shell is too low for them.
pub(crate) fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard);
    }
}

/// Whether something can be read from a descriptor, or its other end is gone, within `ms`.
pub(crate) fn readable(handle: &impl std::os::fd::AsFd, ms: u16) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut set = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    debug_assert!(handle.as_fd().as_raw_fd() >= 0);
    matches!(poll(&mut set, PollTimeout::from(ms)), Ok(n) if n > 0)
}

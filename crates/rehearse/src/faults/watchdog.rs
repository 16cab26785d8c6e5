//! The process that undoes faults when the rig cannot: it was killed, it hangs, or it is late.
//!
//! [`Watchdog::start`] runs a command that calls [`watch`] in a session of its own, so that Ctrl-C and the
//! end of a terminal do not reach it, and waits until it says that it watches. It ends when the rig has
//! ended and nothing of its faults is left; it tries again, for [`TRIES`], what cannot be undone at once.
//!
//! Rule: no fault is put in before the watchdog watches.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::victim::{pidfd, uptime_ms};
use super::{FaultError, Journal, Victim};

/// How often the watchdog tries what cannot be undone after the rig has died, once a second.
pub const TRIES: u32 = 60;
/// Faults are given this long beyond their time before the watchdog acts, in milliseconds: the rig first.
const GRACE_MS: u64 = 300;
/// Longest pause between two looks, in milliseconds.
const PAUSE_MS: u16 = 250;
const READY: &[u8] = b"watching\n";

/// A watchdog that runs. It outlives this value on purpose: it ends with the rig.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts `command`, to which the journal's folder, this process' id and start time are added as arguments, and
    /// which calls [`watch`] with them.
    ///
    /// # Errors
    /// It does not start, or does not say within 5 s that it watches.
    pub fn start(journal: &Journal, command: Command) -> Result<Watchdog, FaultError> {
        Watchdog::start_for(journal, command, &Victim::me())
    }

    /// The same for a rig that is another process.
    ///
    /// # Errors
    /// As [`Watchdog::start`].
    pub(crate) fn start_for(journal: &Journal, mut command: Command, rig: &Victim) -> Result<Watchdog, FaultError> {
        let refuse = |why: String| FaultError::place("start the watchdog", why);
        command.arg(journal.folder()).arg(rig.pid.to_string()).arg(rig.start_time.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: setsid is async-signal-safe and touches nothing of this process.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into));
        }
        let mut child = command.spawn().map_err(|why| refuse(why.to_string()))?;
        let said = child.stdout.take().is_some_and(|mut out| {
            let wait = PollTimeout::from(5000_u16);
            let ready = poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], wait).is_ok_and(|count| count > 0);
            let mut word = vec![0; READY.len()];
            ready && out.read_exact(&mut word).is_ok() && word == READY
        });
        if !said {
            let _ = child.kill();
            let _ = child.wait();
            return Err(refuse("it does not say that it watches".into()));
        }
        Ok(Watchdog { child })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Watches a rig: undoes its faults that are late, and all of them when it has ended. Returns when
/// nothing is left to do.
///
/// # Errors
/// A journal that cannot be opened, or, after [`TRIES`], a fault that cannot be undone.
pub fn watch(folder: &Path, rig_pid: i32, rig_start: u64, mut ready: impl std::io::Write) -> Result<(), FaultError> {
    let journal = Journal::open(folder)?;
    let rig = Victim { pid: rig_pid, start_time: rig_start, boot_id: super::victim::boot_id().to_owned() };
    let handle = pidfd(rig.pid).ok();
    // If nobody reads this any more the rig is gone, which the loop sees.
    let _ = ready.write_all(READY).and_then(|()| ready.flush());
    drop(ready);
    let ours = |record: &super::journal::Record| record.rig == rig;
    while rig.alive() {
        let now = uptime_ms();
        journal.undo_where(|record| ours(record) && record.due(now.saturating_sub(GRACE_MS)));
        match &handle {
            // Readable when the rig ends.
            Some(handle) => {
                let _ = poll(&mut [PollFd::new(handle.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PAUSE_MS));
            }
            None => std::thread::sleep(Duration::from_millis(PAUSE_MS.into())),
        }
    }
    for left in (0..TRIES).rev() {
        let undone = journal.undo_where(ours);
        match undone.failed.into_iter().next() {
            None => break,
            Some(error) if left == 0 => return Err(error),
            Some(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
    Ok(())
}

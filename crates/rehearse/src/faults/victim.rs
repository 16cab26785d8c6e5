//! Who a process is: pid, start time and boot, as the driver's state tells them.
//!
//! Rule: only that triple is signalled, through a descriptor of the process (pidfd) that was opened
//! before the start time was compared, so a pid that was given out again is never hit.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use procfs::process::{Process, Stat};
use serde::{Deserialize, Serialize};

use super::FaultError;

/// The word with which Odoo's master starts its event server.
const EVENT_SERVER: &str = "gevent";

/// A process that cannot be taken for another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Victim {
    /// Process id.
    pub pid: i32,
    /// Clock ticks between boot and its start, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// The kernel's random id of the boot.
    pub boot_id: String,
}

/// Id of the running boot.
pub(crate) fn boot_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    });
    &ID
}

/// Milliseconds since boot, which no change of the clock moves.
pub(crate) fn uptime_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
    (seconds * 1000.0) as u64
}

fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).ok()?.stat().ok()
}

impl Victim {
    /// The process with this pid and start time.
    ///
    /// # Errors
    /// There is none, another process has its pid now, or it must not be touched: pid 1, this process
    /// and those above it.
    pub fn believe(pid: i32, start_time: u64) -> Result<Victim, FaultError> {
        let refuse = |why| Err(FaultError::Victim { pid, why });
        if pid <= 1 {
            return refuse("this is no pid of a workload");
        }
        let Some(found) = stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X' | 'x')) else {
            return refuse("it does not run");
        };
        if found.starttime != start_time {
            return refuse("another process has its pid now");
        }
        if above().contains(&pid) {
            return refuse("it is the rig itself, or started the rig");
        }
        Ok(Victim { pid, start_time, boot_id: boot_id().to_owned() })
    }

    /// The process that has this pid now; for processes that the caller started and has not yet waited for.
    ///
    /// # Errors
    /// As [`Victim::believe`].
    pub fn of(pid: i32) -> Result<Victim, FaultError> {
        let found = stat(pid).ok_or(FaultError::Victim { pid, why: "it does not run" })?;
        Victim::believe(pid, found.starttime)
    }

    /// This process itself, to be watched and not to be hurt.
    pub(crate) fn me() -> Victim {
        let pid = std::process::id() as i32;
        // A process that cannot read itself is watched by a start time that nobody has, so it counts as dead.
        let start_time = stat(pid).map_or(u64::MAX, |stat| stat.starttime);
        Victim { pid, start_time, boot_id: boot_id().to_owned() }
    }

    fn stat(&self) -> Option<Stat> {
        if self.boot_id != boot_id() {
            return None;
        }
        stat(self.pid).filter(|stat| stat.starttime == self.start_time)
    }

    /// Whether it still runs; a zombie does not.
    pub fn alive(&self) -> bool {
        self.stat().is_some_and(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))
    }

    /// Whether it is stopped.
    pub fn frozen(&self) -> bool {
        self.stat().is_some_and(|stat| matches!(stat.state, 'T' | 't'))
    }

    /// Sends a signal to exactly this process; whether it was there to take it.
    ///
    /// # Errors
    /// The kernel refused: no permission, or no descriptor left.
    pub fn signal(&self, signal: Signal) -> Result<bool, Errno> {
        let handle = match pidfd(self.pid) {
            Ok(handle) => handle,
            Err(Errno::ESRCH) => return Ok(false),
            Err(other) => return Err(other),
        };
        if !self.alive() {
            return Ok(false);
        }
        match pidfd_signal(&handle, signal) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The processes that do the work of a role whose main process this is: those right below it, or it itself if
    /// there are none. Odoo's event server, which every master starts beside its workers, is none of them where
    /// there are workers.
    pub fn workers(&self) -> Vec<Victim> {
        if !self.alive() {
            return Vec::new();
        }
        let below = |stat: &Stat| stat.ppid == self.pid && !matches!(stat.state, 'Z' | 'X' | 'x');
        let everybody = procfs::process::all_processes().into_iter().flatten().flatten();
        let found = everybody.filter_map(|process| {
            let stat = process.stat().ok().filter(below)?;
            let words = process.cmdline().unwrap_or_default();
            (!words.iter().any(|word| word == EVENT_SERVER)).then(|| Victim {
                pid: stat.pid,
                start_time: stat.starttime,
                boot_id: self.boot_id.clone(),
            })
        });
        let found: Vec<Victim> = found.collect();
        if found.is_empty() { vec![self.clone()] } else { found }
    }

    /// It and all below it, itself first.
    pub fn tree(&self) -> Vec<Victim> {
        let mut found = if self.alive() { vec![self.clone()] } else { Vec::new() };
        let everybody: Vec<Stat> = match procfs::process::all_processes() {
            Ok(all) => all.flatten().filter_map(|process| process.stat().ok()).collect(),
            Err(_) => return found,
        };
        let mut next = 0;
        while let Some(parent) = found.get(next).map(|victim| victim.pid) {
            let below = everybody.iter().filter(|stat| stat.ppid == parent && stat.state != 'Z');
            let below =
                below.map(|stat| Victim { pid: stat.pid, start_time: stat.starttime, boot_id: self.boot_id.clone() });
            found.extend(below);
            next += 1;
        }
        found
    }
}

/// This process and those above it.
fn above() -> Vec<i32> {
    let mut found = vec![std::process::id() as i32];
    while let Some(stat) = found.last().and_then(|pid| stat(*pid)) {
        if stat.ppid <= 1 || found.contains(&stat.ppid) {
            break;
        }
        found.push(stat.ppid);
    }
    found
}

/// A descriptor of the process, which can be polled: it is readable when the process ends.
pub(crate) fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    #[allow(unsafe_code)]
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just given us this descriptor and nobody else holds it.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(raw as i32) })
}

fn pidfd_signal(handle: &OwnedFd, signal: Signal) -> Result<(), Errno> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open for the call, and a null siginfo means "as kill(2) does".
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), signal as i32, info, 0) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_touched_is_refused() {
        let me = Victim::me();
        assert!(me.alive());
        for (pid, start) in [(1, 0), (0, 0), (-1, 0), (me.pid, me.start_time)] {
            assert_eq!(Victim::believe(pid, start).unwrap_err().code(), "E0970", "{pid}");
        }
        let other = Victim { start_time: me.start_time + 1, ..me.clone() };
        assert_eq!(other.signal(Signal::SIGKILL), Ok(false));
        let before = Victim { boot_id: "another boot".into(), ..me };
        assert_eq!(before.signal(Signal::SIGKILL), Ok(false));
        assert!(before.tree().is_empty());
    }
}

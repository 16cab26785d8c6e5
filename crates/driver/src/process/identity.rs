//! Who a process is. A pid alone is reused by the kernel; pid, start time and boot together are
//! not, and only that triple ([`Birth`]) is ever signalled or believed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use procfs::process::{Process, Stat};
use serde::{Deserialize, Serialize};

/// A process that cannot be taken for another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// Process id.
    pub pid: i32,
    /// Clock ticks between boot and its start.
    pub start_time: u64,
    /// The kernel's random id of this boot.
    pub boot_id: String,
}

/// Id of the running boot.
pub(crate) fn boot_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    });
    &ID
}

/// `/proc/<pid>/stat`, if the process is there.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    Process::new(pid).ok()?.stat().ok()
}

impl Birth {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start_time: stat(pid)?.starttime, boot_id: boot_id().to_owned() })
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

    /// Whether somebody stopped it (SIGSTOP, a debugger).
    pub fn frozen(&self) -> bool {
        self.stat().is_some_and(|stat| matches!(stat.state, 'T' | 't'))
    }

    /// Seconds it has run.
    pub fn up_s(&self) -> Option<u64> {
        let start = self.stat()?.starttime;
        let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
        let ticks = procfs::ticks_per_second().max(1);
        Some((uptime as u64).saturating_sub(start / ticks))
    }

    /// Sends a signal to exactly this process; whether it was there to take it.
    pub fn signal(&self, signal: Signal) -> bool {
        // A pidfd first, identity second, signal through the pidfd last: the pid cannot be reused
        // between the check and the signal.
        let Ok(handle) = pidfd(self.pid) else { return false };
        self.alive() && pidfd_signal(&handle, signal).is_ok()
    }

    /// Processes of the session this process leads or led, itself included.
    ///
    /// A session id is not given out again while members live, so if another process has the pid
    /// now, none of ours is left.
    pub fn session(&self) -> BTreeSet<i32> {
        if self.boot_id != boot_id() || stat(self.pid).is_some_and(|stat| stat.starttime != self.start_time) {
            return BTreeSet::new();
        }
        let Ok(all) = procfs::process::all_processes() else { return BTreeSet::new() };
        all.flatten()
            .filter_map(|process| process.stat().ok())
            .filter(|stat| stat.session == self.pid && stat.starttime >= self.start_time && stat.state != 'Z')
            .map(|stat| stat.pid)
            .collect()
    }
}

fn pidfd(pid: i32) -> Result<std::os::fd::OwnedFd, Errno> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    #[allow(unsafe_code)]
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just given us this descriptor and nobody else holds it.
    #[allow(unsafe_code)]
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(raw as i32) })
}

fn pidfd_signal(handle: &std::os::fd::OwnedFd, signal: Signal) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open for the call, and a null siginfo means "as kill(2) does".
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), signal as i32, info, 0) };
    Errno::result(result).map(drop)
}

/// Resident bytes of these processes; pages they have in common count once.
pub(crate) fn resident_bytes(pids: &BTreeSet<i32>) -> u64 {
    pids.iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("Pss:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum::<u64>()
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_pid_is_not_believed() {
        let me = Birth::of(std::process::id() as i32).expect("we exist");
        assert!(me.alive());
        let other = Birth { start_time: me.start_time + 1, ..me.clone() };
        assert!(!other.alive());
        assert!(!other.signal(Signal::SIGKILL));
        assert!(other.session().is_empty());
        let before = Birth { boot_id: "another boot".into(), ..me };
        assert!(!before.alive());
    }
}

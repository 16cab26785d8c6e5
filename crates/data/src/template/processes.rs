//! Finds the PostgreSQL processes of a data directory by where they stand, which also works across
//! pid namespaces: every one has the data directory as its working directory.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Pids of the `postgres` processes that work in `data`, the postmaster first.
pub(crate) fn of(data: &Path) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(data).map(|meta| (meta.dev(), meta.ino())) else { return Vec::new() };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<(i32, i32)> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let here = fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted);
            here && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("postgres"))
        })
        .map(|pid| (pid, parent(pid).unwrap_or(0)))
        .collect();
    let all: Vec<i32> = found.iter().map(|(pid, _)| *pid).collect();
    found.sort_by_key(|(pid, parent)| (all.contains(parent), *pid));
    found.into_iter().map(|(pid, _)| Pid::from_raw(pid)).collect()
}

/// Parent of a process, from `/proc/<pid>/stat` (the name in it may hold spaces and brackets).
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal to the postmaster of `data`, if there is one.
pub(crate) fn signal(data: &Path, signal: Signal) {
    if let Some(postmaster) = of(data).first() {
        // Gone in between is what we want.
        let _ = kill(*postmaster, signal);
    }
}

/// Ends every process of `data`: at once, because what it was building is thrown away.
pub(crate) async fn end(data: &Path) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        let pids = of(data);
        if pids.is_empty() {
            return;
        }
        // SIGQUIT lets the postmaster end its children; after three seconds each is killed.
        if started.elapsed() < Duration::from_secs(3) {
            let _ = kill(pids[0], Signal::SIGQUIT);
        } else {
            for pid in pids {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

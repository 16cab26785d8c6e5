//! Processor time of trees of processes, from `/proc`.
//!
//! Rule: what a process has used counts also after it ended: its parent carries the time of children it
//! waited for. A root that is another process than before is an error, not a small number.

use procfs::process::{Process, Stat};

use super::CalibrateError;
use crate::faults::Victim;

/// Processor time of these processes and all below them, user and system, in seconds.
///
/// # Errors
/// No roots, or one that does not run any more.
pub fn seconds(roots: &[Victim]) -> Result<f64, CalibrateError> {
    if roots.is_empty() {
        return Err(CalibrateError::Measure("no process to measure was named".into()));
    }
    let mut ticks = 0_u64;
    let mut counted = std::collections::BTreeSet::new();
    for root in roots {
        if !root.alive() {
            return Err(CalibrateError::Measure(format!("process {} ended while it was measured", root.pid)));
        }
        for member in root.tree() {
            // Roots may lie below each other, and a member may have ended since it was listed; then its time
            // is with its parent.
            let stat = Process::new(member.pid).and_then(|process| process.stat());
            if let Ok(stat) = stat
                && stat.starttime == member.start_time
                && counted.insert(member.pid)
            {
                ticks += used(&stat);
            }
        }
    }
    Ok(ticks as f64 / procfs::ticks_per_second().max(1) as f64)
}

fn used(stat: &Stat) -> u64 {
    let children = u64::try_from(stat.cutime.saturating_add(stat.cstime)).unwrap_or(0);
    stat.utime + stat.stime + children
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn time_of_children_counts_while_they_run_and_after_they_ended() {
        // Half a second or so of counting in a child of the shell, then the shell waits.
        let script = "(i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done); read line";
        let mut shell = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let root = Victim::of(shell.id() as i32).unwrap();
        let mut before = 0.0;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        // It never goes back, not when the child ends either.
        while std::time::Instant::now() < end {
            let now = seconds(std::slice::from_ref(&root)).unwrap();
            assert!(now >= before - 1e-9, "{now} {before}");
            before = now;
            if root.tree().len() == 1 && now > 0.03 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(before > 0.03, "{before}");
        let twice = seconds(&[root.clone(), root.clone()]).unwrap();
        assert!((twice - before).abs() < 0.02, "counted once");
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(seconds(&[root]).unwrap_err().code(), "E0974");
        assert!(seconds(&[]).is_err());
    }
}

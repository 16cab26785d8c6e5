//! Processes that run as users of Springtide's range and that it did not start: somebody's by hand, or one
//! that outlived the one who watched it.
//!
//! The rule that keeps it right: a process is known if its workload, a task under way or a process of
//! Springtide itself (a keeper, a command of `springtide exec`) is above it, or if it is in the control group
//! or session of one. Only what runs in our own network counts: the same Unix ids may be those of another
//! estate in another one. Looks only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use procfs::process::Stat;
use springtide_core::layout::Slot;
use springtide_core::observe::Stranger;

use super::cgroup::{self, Group};
use super::identity::stat;
use super::leftovers::{TASK, free};
use super::paths::Paths;

/// Seconds a process must have run: what ends at once is nobody's news, and what was just forked may be
/// between two parents.
const OLD_S: u64 = 5;

/// Strangers in the order of their pids. `ours` are folders of workloads with their main processes.
pub(crate) fn find(paths: &Paths, ours: &BTreeMap<String, Option<i32>>) -> Vec<Stranger> {
    let candidates: Vec<(Stat, Slot)> = pids().filter_map(candidate).collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeSet<i32> = ours.values().flatten().copied().collect();
    let sessions = known.clone();
    for name in cgroup::names(&paths.state) {
        let ours = match name.strip_prefix(TASK) {
            Some(task) => !free(paths, task),
            None => ours.contains_key(&name),
        };
        if ours {
            known.extend(Group::new(&paths.state, &name).members());
        }
    }
    let mut all: Vec<Stranger> = candidates
        .into_iter()
        .filter(|(stat, _)| !sessions.contains(&stat.session) && !below(paths, &known, stat))
        .filter(|(stat, _)| here(stat.pid) && old(stat))
        .map(|(stat, slot)| Stranger { pid: stat.pid, slot, program: stat.comm.replace(char::is_control, "\u{fffd}") })
        .collect();
    all.sort_by_key(|it| it.pid);
    all
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A process with a Unix id of ours that is not a zombie.
fn candidate(pid: i32) -> Option<(Stat, Slot)> {
    let slot = Slot::of_id(fs::metadata(format!("/proc/{pid}")).ok()?.uid())?;
    let stat = stat(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))?;
    Some((stat, slot))
}

/// Whether it, or one above it, is known or is Springtide itself.
fn below(paths: &Paths, known: &BTreeSet<i32>, of: &Stat) -> bool {
    let mut at = Some(of.clone());
    while let Some(one) = at {
        if known.contains(&one.pid) || is_springtide(paths, one.pid) {
            return true;
        }
        at = if one.ppid > 1 { stat(one.ppid) } else { None };
    }
    false
}

/// Whether a process is this program, also one that was replaced on disk since. Only root's count: whoever
/// may start anything as a user of ours could name it so.
fn is_springtide(paths: &Paths, pid: i32) -> bool {
    let process = format!("/proc/{pid}");
    let Ok(program) = fs::read_link(format!("{process}/exe")) else { return false };
    let program = program.to_string_lossy();
    let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
    Path::new(program).file_name() == paths.binary.file_name() && fs::metadata(process).is_ok_and(|it| it.uid() == 0)
}

/// Whether it is in our network.
fn here(pid: i32) -> bool {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    network(&pid.to_string()).is_some_and(|it| Some(it) == network("self"))
}

fn old(stat: &Stat) -> bool {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let Some(up) = text.split_whitespace().next().and_then(|it| it.parse::<f64>().ok()) else { return false };
    (up as u64).saturating_sub(stat.starttime / procfs::ticks_per_second().max(1)) >= OLD_S
}

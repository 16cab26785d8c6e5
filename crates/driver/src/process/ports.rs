//! Who listens on a port: `/proc/net/tcp` names the socket, the descriptors of processes name its
//! holder. A holder is ours if it is in a control group of this state folder or in a session that
//! one of our main processes leads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use procfs::net::TcpState;
use procfs::process::FDTarget;

use super::cgroup::state_mark;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Process id; `None` if it cannot be seen (another pid namespace).
    pub pid: Option<i32>,
    /// Its name.
    pub name: String,
    /// Group it is in, as `folder` of ours.
    pub ours: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{} (pid {pid})", self.name),
            None => f.write_str("a process that cannot be seen from here"),
        }
    }
}

/// Listeners on the ports that `wanted` accepts. `sessions` maps pids of our main processes to
/// their workloads' folder names.
pub(crate) fn holders(
    state: &Path,
    sessions: &BTreeMap<i32, String>,
    wanted: impl Fn(u16) -> bool,
) -> BTreeMap<u16, Holder> {
    let inodes = listening(&wanted);
    let mut found = BTreeMap::new();
    if inodes.is_empty() {
        return found;
    }
    for process in procfs::process::all_processes().into_iter().flatten().flatten() {
        let Ok(fds) = process.fd() else { continue };
        let held: BTreeSet<u16> = fds
            .flatten()
            .filter_map(|fd| match fd.target {
                FDTarget::Socket(inode) => inodes.get(&inode).copied(),
                _ => None,
            })
            .collect();
        if held.is_empty() {
            continue;
        }
        let Ok(stat) = process.stat() else { continue };
        let holder = Holder {
            pid: Some(process.pid),
            name: stat.comm,
            ours: folder_of(state, process.pid).or_else(|| sessions.get(&stat.session).cloned()),
        };
        for port in held {
            // A listener that several processes hold is ours if one of them is.
            let known = found.entry(port).or_insert_with(|| holder.clone());
            if known.ours.is_none() && holder.ours.is_some() {
                *known = holder.clone();
            }
        }
    }
    if inodes.values().all(|port| found.contains_key(port)) {
        return found;
    }
    // Whoever was not found may have gone meanwhile, and the listener with it.
    let still = listening(&wanted);
    for port in inodes.into_iter().filter(|(inode, _)| still.contains_key(inode)).map(|(_, port)| port) {
        found.entry(port).or_insert_with(|| Holder { pid: None, name: String::new(), ours: None });
    }
    found
}

/// Sockets (by inode) that listen on ports which `wanted` accepts.
fn listening(wanted: &impl Fn(u16) -> bool) -> BTreeMap<u64, u16> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()];
    let entries = tables.into_iter().flatten().flatten().filter(|entry| entry.state == TcpState::Listen);
    entries.map(|entry| (entry.inode, entry.local_address.port())).filter(|(_, port)| wanted(*port)).collect()
}

/// Name of our control group that a process is in.
fn folder_of(state: &Path, pid: i32) -> Option<String> {
    let mark = format!("/{}/", state_mark(state));
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let line = text.lines().find_map(|line| line.split_once(&mark))?;
    Some(line.1.split('/').next()?.to_owned())
}

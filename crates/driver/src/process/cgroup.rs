//! Control groups: limits where the machine has them, and the only sure list of a workload's
//! children. Without them everything still works; the children are then found by session.
//!
//! One group per workload or task below `springtide/<state>`, in each of the v1 hierarchies cpu,
//! memory and pids, or in the one v2 hierarchy. The keeper is never a member, so killing a group
//! never kills the one who writes down how it ended.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use springtide_core::digest::Digest;
use springtide_core::workload::Limits;

const MOUNT: &str = "/sys/fs/cgroup";

/// One control group, which may exist in several hierarchies.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Whether the machine has the one v2 hierarchy.
    unified: bool,
    /// Hierarchy (`cpu`, `memory`, `pids`, or empty for v2) and folder.
    folders: Vec<(&'static str, PathBuf)>,
}

/// Part of every group path of this state folder.
pub(crate) fn state_mark(state: &Path) -> String {
    format!("springtide/{}", Digest::of_bytes(state.as_os_str().as_encoded_bytes()).short())
}

impl Group {
    /// The group called `name` of a state folder; nothing is made yet.
    pub fn new(state: &Path, name: &str) -> Self {
        let below = Path::new(&state_mark(state)).join(name);
        let mount = Path::new(MOUNT);
        if mount.join("cgroup.controllers").exists() {
            return Self { unified: true, folders: vec![("", mount.join(below))] };
        }
        let folders = ["pids", "memory", "cpu"]
            .into_iter()
            .filter(|hierarchy| mount.join(hierarchy).join("cgroup.procs").exists())
            .map(|hierarchy| (hierarchy, mount.join(hierarchy).join(&below)))
            .collect();
        Self { unified: false, folders }
    }

    /// Makes the group and sets limits; what could not be done, in words.
    pub fn create(&self, limits: &Limits) -> Vec<String> {
        let mut notes = Vec::new();
        if self.folders.is_empty() {
            notes.push("no control groups on this machine: limits are not enforced".to_owned());
        }
        for (_, folder) in &self.folders {
            if let Err(error) = fs::create_dir_all(folder) {
                notes.push(format!("control group {}: {error}", folder.display()));
            } else if self.unified {
                self.delegate(folder);
            }
        }
        let mut set = |hierarchy: &str, file: &str, value: Option<String>| {
            let Some(value) = value else { return };
            let found = self.folders.iter().find(|(name, _)| self.unified || *name == hierarchy);
            let result = match found {
                Some((_, folder)) => write_control(&folder.join(file), &value),
                None => Err(io::Error::other("the hierarchy is not mounted")),
            };
            if let Err(error) = result {
                notes.push(format!("{hierarchy} limit is not enforced: {error}"));
            }
        };
        if self.unified {
            set(
                "cpu",
                "cpu.max",
                Some(limits.cpu_milli.map_or("max 100000".into(), |m| format!("{} 100000", m * 100))),
            );
            set("memory", "memory.max", Some(limits.memory_bytes.map_or("max".into(), |b| b.to_string())));
        } else {
            set(
                "cpu",
                "cpu.cfs_quota_us",
                Some(limits.cpu_milli.map_or("-1".into(), |m| (u64::from(m) * 100).max(1000).to_string())),
            );
            set("memory", "memory.limit_in_bytes", Some(limits.memory_bytes.map_or("-1".into(), |b| b.to_string())));
        }
        notes
    }

    /// v2 gives a child a controller only if every folder above it hands it down.
    fn delegate(&self, folder: &Path) {
        let mut above: Vec<_> = folder.ancestors().skip(1).take_while(|path| path.starts_with(MOUNT)).collect();
        above.reverse();
        for path in above {
            for controller in ["+cpu", "+memory", "+pids"] {
                let _ = write_control(&path.join("cgroup.subtree_control"), controller);
            }
        }
    }

    /// Puts a process into the group; what could not be done, in words.
    pub fn join(&self, pid: i32) -> Vec<String> {
        self.folders
            .iter()
            .filter_map(|(_, folder)| {
                let error = write_control(&folder.join("cgroup.procs"), &pid.to_string()).err()?;
                Some(format!("could not enter {}: {error}", folder.display()))
            })
            .collect()
    }

    /// Processes in the group.
    pub fn members(&self) -> BTreeSet<i32> {
        self.folders
            .iter()
            .filter_map(|(_, folder)| fs::read_to_string(folder.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Kills every member, also those forked meanwhile; whether the group is empty now.
    pub fn kill(&self) -> bool {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let members = self.members();
            if members.is_empty() {
                return true;
            }
            for pid in members {
                // Membership was read a moment ago; a pid cannot be reused that fast, as the kernel
                // gives them out in turn.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Removes the empty group. Absent is success. Whose members have just been killed counts as
    /// busy for a moment.
    pub fn remove(&self) {
        let end = Instant::now() + Duration::from_secs(1);
        for (_, folder) in &self.folders {
            while fs::remove_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
                && Instant::now() < end
            {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// How often the kernel has killed a member for want of memory.
    pub fn memory_kills(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        let folder = self.folders.iter().find(|(name, _)| self.unified || *name == "memory");
        let text = folder.and_then(|(_, folder)| fs::read_to_string(folder.join(file)).ok()).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse().ok());
        count.unwrap_or(0)
    }
}

/// Names of all groups of a state folder.
pub(crate) fn names(state: &Path) -> BTreeSet<String> {
    let tops = Group::new(state, "").folders;
    let entries = tops.into_iter().flat_map(|(_, top)| fs::read_dir(top).into_iter().flatten().flatten());
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Removes all empty groups of a state folder, and its own.
pub(crate) fn remove_all(state: &Path) {
    for (_, top) in Group::new(state, "").folders {
        for entry in fs::read_dir(&top).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&top);
    }
}

fn write_control(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

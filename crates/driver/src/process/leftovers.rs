//! What is left of calls that were cut off, and putting it away.
//!
//! A caller that is killed leaves nothing: the supervisor goes on with a workload, and a task is
//! killed by its keeper. Only when keeper or supervisor are killed too can something remain: a task's
//! processes and its folder with secrets, a workload's folder without a spec, a control group, half a
//! file. Every call that acts puts it away before it does anything else.
//!
//! The rule that keeps it right: something is left over only if the one who would use it cannot
//! exist. A task is somebody's while its lock is held, a workload's folder and group while the
//! supervisor knows its name, a temporary file while the process in its name lives.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::cgroup::{self, Group};
use super::identity::{Birth, stat};
use super::paths::{Paths, open_lock, read_json};

/// Something nobody declared and nobody uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// Its name: of the task, of the workload's folder, of the group, or the path of the file.
    pub name: String,
    /// Processes that run in it.
    pub processes: BTreeSet<i32>,
}

/// Kinds of [`Leftover`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftoverKind {
    /// A task whose keeper was killed.
    Task,
    /// A workload's folder without a spec: it was begun or removed half.
    Folder,
    /// A control group of a workload that is gone.
    Group,
    /// A file that was being written.
    File,
}

/// Name of a task's control group.
pub(crate) fn task_group(paths: &Paths, name: &str) -> Group {
    Group::new(&paths.state, &format!("{TASK}{name}"))
}

/// What comes before a task's name in the name of its group; no workload's folder begins so.
pub(super) const TASK: &str = "task.";

/// Opens a task's lock; it is held by the task's keeper.
pub(crate) fn task_lock(paths: &Paths, name: &str) -> std::io::Result<File> {
    open_lock(&paths.tasks().join(format!("{name}.lock")))
}

/// Kills what an earlier task of this name left, and forgets it. The caller holds the task's lock.
/// Whether nothing of it runs any more.
pub(crate) fn end_task(paths: &Paths, name: &str) -> bool {
    let folder = paths.task(name);
    let group = task_group(paths, name);
    let session = read_json::<Birth>(&folder.join(Paths::TASK_MAIN)).map(|main| main.session()).unwrap_or_default();
    super::kill_all(&group, &session);
    if !group.members().is_empty() {
        return false;
    }
    group.remove();
    // Its configuration may hold secrets and is of no use any more.
    let _ = fs::remove_dir_all(folder);
    true
}

/// What is left over, seen and not touched. `watched` are folders of workloads that a supervisor
/// knows; `None` without one, when nobody can be at work on a folder.
pub(crate) fn find(paths: &Paths, watched: Option<&BTreeSet<String>>) -> Vec<Leftover> {
    // Groups before folders: a folder is made before its group, so one that is missing now was
    // missing when the group was seen.
    let groups = cgroup::names(&paths.state);
    let mut found = Vec::new();
    let mut add = |kind, name: &str, processes| found.push(Leftover { kind, name: name.to_owned(), processes });
    for name in tasks(paths, &groups) {
        if free(paths, &name) {
            add(LeftoverKind::Task, &name, task_group(paths, &name).members());
        }
    }
    for name in groups.iter().filter(|name| !name.starts_with(TASK)) {
        let known = watched.is_some_and(|watched| watched.contains(name));
        if !known && !paths.workloads().join(name).exists() {
            add(LeftoverKind::Group, name, Group::new(&paths.state, name).members());
        }
    }
    if watched.is_none() {
        for folder in paths.all().into_iter().filter(|folder| !folder.spec().exists()) {
            add(LeftoverKind::Folder, &folder.name(), Group::new(&paths.state, &folder.name()).members());
        }
    }
    for file in temporary(paths) {
        add(LeftoverKind::File, &file.display().to_string(), BTreeSet::new());
    }
    found
}

/// Puts away what is left over, but for workloads' folders: those the supervisor sees at its start.
/// Nobody may begin a workload that is not in `watched` meanwhile.
pub(crate) fn clear(paths: &Paths, watched: &BTreeSet<String>) {
    for left in find(paths, Some(watched)) {
        match left.kind {
            LeftoverKind::Task => {
                // Held while it is put away: a keeper that comes now waits for it.
                let lock = task_lock(paths, &left.name).map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock));
                if let Ok(Ok(_held)) = lock {
                    end_task(paths, &left.name);
                }
            }
            LeftoverKind::Group => {
                let group = Group::new(&paths.state, &left.name);
                group.kill();
                group.remove();
            }
            LeftoverKind::File => drop(fs::remove_file(&left.name)),
            LeftoverKind::Folder => {}
        }
    }
}

/// Names of tasks that have a folder or a group.
fn tasks(paths: &Paths, groups: &BTreeSet<String>) -> BTreeSet<String> {
    let entries = fs::read_dir(paths.tasks()).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let named = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    named.chain(groups.iter().filter_map(|name| name.strip_prefix(TASK)).map(str::to_owned)).collect()
}

/// Whether no keeper holds the task's lock.
pub(super) fn free(paths: &Paths, name: &str) -> bool {
    match File::options().write(true).open(paths.tasks().join(format!("{name}.lock"))) {
        Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok(),
        Err(_) => true,
    }
}

/// Temporary files whose writers are gone.
fn temporary(paths: &Paths) -> Vec<PathBuf> {
    let workloads = paths.all().into_iter().flat_map(|folder| [folder.config(), folder.0]);
    let folders = [paths.state.clone(), paths.tasks()].into_iter().chain(workloads);
    let files = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    files
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && writer(path).is_some_and(|pid| stat(pid).is_none()))
        .collect()
}

/// Process id in the name of a temporary file.
fn writer(path: &Path) -> Option<i32> {
    path.extension()?.to_str()?.strip_prefix(Paths::TEMPORARY)?.parse().ok()
}

//! The hidden commands `launch` and `launch-task`: the keeper, parent of one workload or task.
//!
//! It waits for its child and writes down how it ended. It outlives the supervisor, because Odoo's
//! event server ends itself when its parent changes. While a keeper lives it holds the workload's
//! `keeper.lock`, so that there is never a second one.

use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::setsid;
use serde::{Deserialize, Serialize};
use springtide_core::workload::{Limits, WorkloadId};

use super::cgroup::Group;
use super::identity::Birth;
use super::leftovers::{end_task, task_group, task_lock};
use super::paths::{Folder, Paths, now, open_lock, read_json, write_json};
use super::records::{Exit, Run, Status, Wanted};
use super::{child, logs, prepare};
use crate::{ResolvedWorkload, Task};

/// The keeper ends when its child ends and not before.
fn ignore_signals() {
    for each in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        // SAFETY: ignoring a signal runs no code of ours.
        #[allow(unsafe_code)]
        let _ = unsafe { signal(each, SigHandler::SigIgn) };
    }
}

/// Says one line to whoever started us; nobody may be left to hear it.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Starts a workload and stays until it ends. Says `started PID` or `failed WHY`.
pub(crate) fn launch(paths: &Paths, id: &WorkloadId) -> i32 {
    ignore_signals();
    // The supervisor may have spawned us as a group leader; then a session of its own is not
    // needed to get away from terminals, as the supervisor has none.
    let _ = setsid();
    let folder = paths.workload(id);
    match begin(paths, &folder) {
        Err(error) => {
            let exit = Exit { pid: None, code: None, signal: None, error: Some(error.clone()), at: now() };
            let _ = write_json(&folder.exit(), &exit);
            say(&format!("failed {}", error.replace('\n', " ")));
            1
        }
        Ok((pid, _lock)) => {
            say(&format!("started {pid}"));
            if let Ok(null) = File::options().write(true).open("/dev/null") {
                let _ = nix::unistd::dup2_stdout(&null);
            }
            let status = loop {
                match waitpid(pid, None) {
                    Err(nix::errno::Errno::EINTR) => {}
                    Ok(WaitStatus::Exited(_, code)) => break (Some(code), None),
                    Ok(WaitStatus::Signaled(_, signal, _)) => break (None, Some(signal.as_str().to_owned())),
                    Ok(_) => {}
                    Err(_) => break (None, None),
                }
            };
            let exit = Exit { pid: Some(pid.as_raw()), code: status.0, signal: status.1, error: None, at: now() };
            let _ = write_json(&folder.exit(), &exit);
            0
        }
    }
}

fn begin(paths: &Paths, folder: &Folder) -> Result<(nix::unistd::Pid, Flock<File>), String> {
    let lock = open_lock(&folder.keeper_lock()).map_err(|e| format!("open the keeper's lock: {e}"))?;
    let lock =
        Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| "another keeper is at work".to_owned())?;
    if read_json::<Run>(&folder.run()).is_some_and(|run| run.main.alive()) {
        return Err("it runs already".to_owned());
    }
    // Asked under the lock: a supervisor that died may have sent us before the next one was told to
    // stop it.
    if read_json::<Status>(&folder.status()).is_none_or(|status| status.wanted != Wanted::Running) {
        return Err("it is not wanted any more".to_owned());
    }
    let workload: ResolvedWorkload = read_json(&folder.spec()).ok_or("its spec cannot be read")?;
    let group = Group::new(&paths.state, &folder.name());
    if !group.kill() {
        return Err("processes of an earlier run cannot be killed".to_owned());
    }
    let notes = group.create(&workload.spec.limits);
    match run(paths, folder, &workload, &group, notes) {
        Ok(pid) => Ok((pid, lock)),
        Err(error) => {
            group.remove();
            Err(error)
        }
    }
}

fn run(
    paths: &Paths,
    folder: &Folder,
    workload: &ResolvedWorkload,
    group: &Group,
    mut notes: Vec<String>,
) -> Result<nix::unistd::Pid, String> {
    let prepared = prepare::workload(paths, workload)?;
    let _ = std::fs::remove_file(folder.exit());
    child::start(&prepared, |pid| {
        notes.extend(group.join(pid));
        let me = Birth::of(std::process::id() as i32).ok_or("the keeper cannot see itself in /proc")?;
        let main = Birth::of(pid).ok_or("the process ended before it was recorded")?;
        let run =
            Run { main, keeper_pid: me.pid, keeper_start: me.start_time, digest: workload.digest, at: now(), notes };
        write_json(&folder.run(), &run).map_err(|e| format!("record the process: {e}"))
    })
}

/// What `launch-task` says at the end.
#[derive(Serialize, Deserialize)]
pub(crate) struct TaskEnd {
    /// Exit code, if it had one.
    pub code: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
    /// A line for the log's reader: what ended it.
    pub note: Option<String>,
}

/// Runs the task whose JSON is the first line of standard input. The rest of standard input is the
/// caller's breath: when it ends, the caller is gone and the task is killed.
pub(crate) fn launch_task(paths: &Paths) -> i32 {
    ignore_signals();
    let _ = setsid();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let end = match (read, serde_json::from_str::<Task>(&line)) {
        // The error text of a parser could quote secrets: it is not passed on.
        (Err(_), _) | (_, Err(_)) => Err("the task could not be read".to_owned()),
        (Ok(_), Ok(task)) => run_task(paths, &task),
    };
    let end = end.unwrap_or_else(|error| TaskEnd { code: None, error: Some(error), note: None });
    say(&serde_json::to_string(&end).unwrap_or_default());
    0
}

fn run_task(paths: &Paths, task: &Task) -> Result<TaskEnd, String> {
    super::paths::make_folder(&paths.tasks()).map_err(|e| format!("make the folder of tasks: {e}"))?;
    let lock = task_lock(paths, &task.name).map_err(|e| format!("open the task's lock: {e}"))?;
    let group = task_group(paths, &task.name);
    // An earlier task of this name whose caller died is being killed by its keeper now; if even
    // that keeper died, the group is all that is left.
    let patience = Instant::now() + Duration::from_secs(5);
    let mut lock = Some(lock);
    let _held = loop {
        let Some(file) = lock.take() else { return Err("the task's lock was lost".to_owned()) };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => break held,
            Err((file, _)) if Instant::now() < patience => {
                lock = Some(file);
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(_) => return Err("a task of this name runs already".to_owned()),
        }
    };
    if !end_task(paths, &task.name) {
        return Err("processes of an earlier task of this name cannot be killed".to_owned());
    }
    group.create(&Limits::default());
    let log = logs::open(&paths.tasks().join(format!("{}.log", task.name)), true)
        .map_err(|e| format!("open the log: {e}"))?;
    let prepared = prepare::task(paths, task, log)?;
    let deadline = Instant::now() + Duration::from_secs(u64::from(task.deadline_s));
    let pid = child::start(&prepared, |pid| {
        group.join(pid);
        let main = Birth::of(pid).ok_or("the process ended before it was recorded")?;
        write_json(&paths.task(&task.name).join(Paths::TASK_MAIN), &main)
            .map_err(|e| format!("record the process: {e}"))
    })?;
    let stdin = std::io::stdin();
    let (code, note) = loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => break (Some(code), None),
            Ok(WaitStatus::Signaled(_, signal, _)) => break (None, Some(format!("ended by {signal}"))),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => break (None, Some(format!("was lost: {error}"))),
        }
        if Instant::now() >= deadline {
            break (None, Some(format!("killed after {} s", task.deadline_s)));
        }
        // Short tasks are common; the first look at the caller is soon, so that they end soon.
        if child::readable(&stdin, 20) {
            break (None, Some("its caller went away".to_owned()));
        }
    };
    end_task(paths, &task.name);
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    Ok(TaskEnd { code, error: None, note })
}

//! The hidden subcommands. They run before any thread exists, because fork and unshare want a
//! process of one thread; only `supervise` starts a runtime, and only after it has detached.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{ForkResult, chdir, fork, setsid};

use super::paths::Paths;
use super::{child, enter, keeper, logs, supervisor};

/// Runs a hidden subcommand (`supervise`, `launch`, `launch-task`, `enter`) to its end and returns its exit
/// code; `None` if `args` (without the program's name) is none of them. Call it first in `main`,
/// before any thread or runtime exists.
pub fn hidden_command(args: &[String]) -> Option<i32> {
    let (command, rest) = args.split_first()?;
    if !matches!(command.as_str(), "supervise" | "launch" | "launch-task" | "enter") {
        return None;
    }
    // What follows `--` is somebody else's command line.
    let (rest, given) = match rest.iter().position(|arg| arg == "--") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &rest[..0]),
    };
    let value = |name: &str| rest.iter().position(|arg| arg == name).and_then(|at| rest.get(at + 1));
    let Some(state) = value("--state").map(PathBuf::from) else { return Some(2) };
    let cache = value("--cache").map_or_else(|| PathBuf::from("/var/cache/springtide"), PathBuf::from);
    let binary = value("--binary").map(PathBuf::from).or_else(|| std::env::current_exe().ok()).unwrap_or_default();
    let paths = Paths { state, cache, binary };
    Some(match command.as_str() {
        "launch" => match value("--workload").and_then(|id| id.parse().ok()) {
            Some(id) => keeper::launch(&paths, &id),
            None => 2,
        },
        "launch-task" => keeper::launch_task(&paths),
        "enter" => {
            let number = |name: &str| value(name).and_then(|text| text.parse().ok());
            match (value("--workload").and_then(|id| id.parse().ok()), number("--caller"), number("--errors")) {
                (Some(id), Some(caller), Some(errors)) => {
                    enter::run(&paths, &enter::Entry { id: &id, command: given, caller, errors })
                }
                _ => 2,
            }
        }
        _ if rest.iter().any(|arg| arg == "--detach") => match detach(&paths.state, &paths.supervisor_log()) {
            Ok(Side::Caller) => 0,
            Ok(Side::Detached) => supervisor::run(paths),
            Err(_) => 1,
        },
        _ => supervisor::run(paths),
    })
}

enum Side {
    Caller,
    Detached,
}

/// Forks a process that has no terminal, no inherited descriptors and no parent that matters.
fn detach(state: &Path, log: &Path) -> std::io::Result<Side> {
    super::paths::make_folder(state)?;
    let null = File::open("/dev/null")?;
    let log = logs::open(log, false)?;
    // SAFETY: no thread exists yet; the child goes on as an ordinary process.
    #[allow(unsafe_code)]
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        return Ok(Side::Caller);
    }
    setsid()?;
    chdir("/")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&log)?;
    nix::unistd::dup2_stderr(&log)?;
    // Descriptors a caller leaked (a test harness's pipe, a lock) would be held for ever.
    drop((null, log));
    // SAFETY: no object of ours holds a descriptor above 2 here.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0);
    }
    child::close_others();
    Ok(Side::Detached)
}

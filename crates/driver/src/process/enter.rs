//! The hidden command `enter`: becomes a command inside a running workload.
//!
//! What the workload's program was given, the command gets: mounts, root and network, control group, user and groups, umask, environment, no new privileges. It is not the program's child and
//! has the caller's streams and terminal; it dies with the caller.
//!
//! The rule that keeps it right: doors are opened first and the process is looked at afterwards. If
//! it still has the recorded start time then, the doors lead into it and into no other process that
//! got its pid.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, execve, fchdir, getppid};
use springtide_core::observe::WorkloadState;
use springtide_core::workload::WorkloadId;

use super::cgroup::Group;
use super::identity::Birth;
use super::paths::{Paths, read_json};
use super::records::Run;
use super::wire::Refusal;
use super::{child, prepare, programs};
use crate::{ResolvedWorkload, shell};

/// What the caller tells.
pub(crate) struct Entry<'a> {
    /// Which workload.
    pub id: &'a WorkloadId,
    /// What to run in it; empty for its shell.
    pub command: &'a [String],
    /// Process id of the caller.
    pub caller: i32,
    /// Descriptor on which a failure is told; exec closes it.
    pub errors: RawFd,
}

/// Becomes the command. Returns only when that failed.
pub(crate) fn run(paths: &Paths, entry: &Entry<'_>) -> i32 {
    // SAFETY: the caller opened it for us and says its number; nobody else here uses it.
    #[allow(unsafe_code)]
    let mut errors = File::from(unsafe { OwnedFd::from_raw_fd(entry.errors) });
    let refusal = match become_command(paths, entry) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    };
    let _ = errors.write_all(&serde_json::to_vec(&refusal).unwrap_or_default());
    1
}

fn other(text: impl Into<String>) -> Refusal {
    Refusal::Other { text: text.into() }
}

fn step(what: &'static str) -> impl Fn(Errno) -> Refusal {
    move |error| other(format!("{what}: {error}"))
}

fn become_command(paths: &Paths, entry: &Entry<'_>) -> Result<Infallible, Refusal> {
    let id = entry.id;
    let gone = || Refusal::NotRunning { id: id.clone(), state: WorkloadState::Backoff };
    let folder = paths.workload(id);
    let workload: ResolvedWorkload = read_json(&folder.spec()).ok_or_else(|| Refusal::NotFound { id: id.clone() })?;
    let main: Birth = read_json::<Run>(&folder.run()).ok_or_else(gone)?.main;

    let door = |name: &str, flags: OFlag| {
        open(&PathBuf::from(format!("/proc/{}/{name}", main.pid)), flags | OFlag::O_CLOEXEC, Mode::empty())
    };
    let mounts = door("ns/mnt", OFlag::O_RDONLY).map_err(|_| gone())?;
    let network = door("ns/net", OFlag::O_RDONLY).map_err(|_| gone())?;
    let root = door("root", OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(|_| gone())?;
    let group = Group::new(&paths.state, &folder.name());
    let grouped = group.members().contains(&main.pid);
    if !main.alive() {
        return Err(gone());
    }

    // Found before the root changes: the machine's folders say where the workload's programs are.
    let first = workload.spec.command.first().map_or("", String::as_str);
    let own = programs::resolve(paths, &workload.spec.root, first).ok();
    let beside = own.and_then(|program| program.path.parent().map(Path::to_owned));
    let env = environment(&workload);
    let command = match entry.command {
        [] => shell::command(&workload.spec),
        given => given.to_vec(),
    };

    if grouped {
        let refused = group.join(std::process::id() as i32);
        if let Some(why) = refused.first() {
            return Err(other(format!("{id} has limits and the command cannot be put under them: {why}")));
        }
    }
    setns(&network, CloneFlags::CLONE_NEWNET).map_err(step("enter its network"))?;
    setns(&mounts, CloneFlags::CLONE_NEWNS).map_err(step("enter its mounts"))?;
    // Entering a namespace gives its root; the workload's own may be below it.
    fchdir(&root).map_err(step("enter its root"))?;
    chroot(".").map_err(step("change into its root"))?;
    chdir("/").map_err(step("enter /"))?;
    child::reset_signals().map_err(other)?;
    child::close_others();
    child::raise_file_limit();
    prepare::identity(&workload.spec).assume().map_err(other)?;
    die_with(entry.caller)?;
    execute(id, &command, &env, beside)
}

/// As the workload's own, with the terminal's kind and what database clients want to know. From
/// the spec and not from `/proc`, where a program that sets its title overwrites it.
fn environment(workload: &ResolvedWorkload) -> BTreeMap<String, String> {
    let mut env = prepare::environment(&workload.env, workload.spec.id.role.as_str());
    let extra = std::env::var("TERM").ok().map(|term| ("TERM".to_owned(), term));
    for (name, value) in shell::environment(&workload.spec).into_iter().chain(extra) {
        env.entry(name).or_insert(value);
    }
    env
}

/// Ties this process to the caller: a command goes on only while somebody waits for it.
fn die_with(caller: i32) -> Result<(), Refusal> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(step("tie to the caller"))?;
    // The caller may have died before the tie held.
    if getppid().as_raw() != caller { Err(other("the caller went away")) } else { Ok(()) }
}

/// Executes a program found beside the workload's own or along its `PATH`.
fn execute(
    id: &WorkloadId,
    command: &[String],
    env: &BTreeMap<String, String>,
    beside: Option<PathBuf>,
) -> Result<Infallible, Refusal> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| other("an argument or variable has a zero byte"));
    let name = command.first().map_or("", String::as_str);
    let arguments = command.iter().map(|word| text(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let variables =
        env.iter().map(|(name, value)| text(format!("{name}={value}").as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let folders = env.get("PATH").into_iter().flat_map(|path| path.split(':')).map(PathBuf::from);
    let candidates: Vec<PathBuf> = match name.contains('/') {
        true => vec![name.into()],
        false => beside.into_iter().chain(folders).map(|folder| folder.join(name)).collect(),
    };
    for candidate in candidates {
        match execve(&text(candidate.as_os_str().as_bytes())?, &arguments, &variables) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(error) => return Err(other(format!("execute {}: {error}", candidate.display()))),
            Ok(never) => match never {},
        }
    }
    Err(Refusal::Missing { what: format!("program {name}"), hint: format!("{id} does not see one of that name") })
}

//! Wiring: the driver, the secrets and the store behind a state folder, and the operation lock.
//!
//! The state folder is believed only after [`guard`]: it is trusted by a process that is root.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use springtide_core::check::{CheckedEstate, DriverKind, parse_and_check};
use springtide_core::names::EnvironmentName;
use springtide_core::observe::Observation;
use springtide_core::plan::{Plan, plan};
use springtide_core::spec::suggest::{listed, nearest};
use springtide_driver::ProcessDriver;
use springtide_server::Estate;
use springtide_server::execute::Clock;
use springtide_server::file::read;
use springtide_server::locks::{ActLock, Holder, LockError, act_path, held};
use springtide_server::store::{ControllerKind, Epoch, Store};
use springtide_server::world::Real;

use crate::args::Cli;
use crate::failure::{Failure, NOTHING, code, no_room};
use crate::{printer, times};

/// Free bytes below which nothing is opened: the store itself could not be written.
const LEAST_TO_OPEN: u64 = 1 << 20;
/// Free bytes below which no operation begins: logs and write-ahead logs of what runs need that much.
const LEAST_TO_ACT: u64 = 16 << 20;
/// Longest wait for what is seen. Every look of its own has a shorter deadline, but for the
/// supervisor's answer.
const LOOK: Duration = Duration::from_secs(20);

/// The clock, seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Reads and checks the estate file.
pub fn load(cli: &Cli) -> Result<CheckedEstate, Failure> {
    let name = cli.file.display().to_string();
    let text = read(&cli.file).map_err(|why| {
        let next = "springtide init, or name the file with --file";
        Failure::new(code::INVALID, "E0006", format!("cannot read the estate file {name}: {why}"), NOTHING, next)
    })?;
    parse_and_check(&name, &text).map_err(|report| {
        let id = "E0100";
        if cli.json {
            let message = "the estate file has errors";
            return Failure::new(code::INVALID, id, message, NOTHING, "springtide check")
                .with_details(report.to_json());
        }
        let width = printer::width().unwrap_or(100);
        printer::talk(&report.render(width, printer::colour_talk(), printer::unicode()), "");
        Failure::new(code::INVALID, id, format!("{name} is not valid"), NOTHING, "mend it, then springtide check")
    })
}

/// The estate file, or in a few words why there is none.
pub fn load_reason(cli: &Cli) -> Result<CheckedEstate, String> {
    let text = read(&cli.file).map_err(|why| format!("{}: {why}", cli.file.display()))?;
    parse_and_check("estate", &text).map_err(|report| match report.diagnostics() {
        [one] => format!("{} has a mistake: {}", cli.file.display(), one.message),
        many => format!("{} has {} mistakes", cli.file.display(), many.len()),
    })
}

/// The estate file for those who can do without it.
pub fn load_quietly(cli: &Cli) -> Option<CheckedEstate> {
    parse_and_check("estate", &read(&cli.file).ok()?).ok()
}

/// The driver alone.
pub fn driver(cli: &Cli) -> Result<ProcessDriver, Failure> {
    let binary = std::env::current_exe()?;
    Ok(ProcessDriver::new(state(cli)?, binary, std::path::absolute(&cli.cache)?))
}

/// The state folder as an absolute path.
pub fn state(cli: &Cli) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(&cli.state)?)
}

/// What is wrong with the state folder; nothing if it does not exist yet.
pub fn guard(state: &Path) -> Result<(), Failure> {
    let refuse = |code, what: String, next: String| Err(Failure::new(code, "E0905", what, NOTHING, next));
    let shown = state.display();
    let meta = match std::fs::metadata(state) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let what = format!("cannot look at the state folder {shown}: {error}");
            return refuse(code::INVALID, what, "name a folder with --state".into());
        }
    };
    let me = nix::unistd::geteuid().as_raw();
    if !meta.is_dir() {
        let what = format!("the state folder {shown} is not a folder");
        refuse(code::INVALID, what, "name a folder with --state".into())
    } else if meta.uid() != me {
        let what = format!("the state folder {shown} belongs to user {}, not to user {me}", meta.uid());
        refuse(code::DENIED, what, format!("chown {me} {shown}"))
    } else if meta.mode() & 0o022 != 0 {
        let what = format!("others may write into the state folder {shown} (mode {:04o})", meta.mode() & 0o7777);
        refuse(code::DENIED, what, format!("chmod go-w {shown}"))
    } else {
        Ok(())
    }
}

/// Refuses everybody but root.
pub fn need_root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let message = "the process driver changes users and mounts, and its state holds secrets: it must run as root";
    Err(Failure::new(code::DENIED, "E0901", message, NOTHING, "run it with sudo"))
}

/// Opens the state folder, making it if it is not there.
pub fn open(cli: &Cli) -> Result<Estate, Failure> {
    need_root()?;
    let state = state(cli)?;
    guard(&state)?;
    room(&state, LEAST_TO_OPEN)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&state).map_err(|error| match error.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => Failure::from(error),
        _ => {
            let message = format!("cannot make the state folder {}: {error}", state.display());
            Failure::new(code::INVALID, "E0905", message, NOTHING, "name a folder with --state")
        }
    })?;
    not_gone(&state)?;
    let store = Store::open(&state.join("springtide.db")).map_err(|error| {
        let unwritable = nix::unistd::access(&state, nix::unistd::AccessFlags::W_OK).is_err();
        match Failure::from(error) {
            // SQLite cannot make its side files there and only says that it cannot open.
            failure if unwritable && !failure.is("E0912") => read_only(&state),
            failure => failure,
        }
    })?;
    let secrets = springtide_data::secrets::SecretStore::open(state.join("secrets"))?;
    let proxy = springtide_server::routes::Proxy::new()?;
    Ok(Estate { driver: Arc::new(driver(cli)?), secrets, store, proxy, state, world: Arc::new(Real) })
}

/// A store that is gone is not made anew where it was once: slots, and with them ports and Unix ids, would be
/// given out again while others hold them.
fn not_gone(state: &Path) -> Result<(), Failure> {
    let holds = |folder: &str| std::fs::read_dir(state.join(folder)).is_ok_and(|mut it| it.next().is_some());
    if state.join("springtide.db").exists() || !(holds("environments") || holds("backups")) {
        return Ok(());
    }
    let message = format!("the store {} is gone", state.join("springtide.db").display());
    let next = "springtide recover puts the newest copy back; workloads run on without it";
    Err(Failure::new(code::FAILED, "E0912", message, NOTHING, next))
}

fn read_only(state: &Path) -> Failure {
    let message = format!("the state folder {} is read-only", state.display());
    let next = "mount it writable or name another folder with --state";
    Failure::new(code::FAILED, "E0909", message, NOTHING, next)
}

/// Opens the state folder if there is one; looking makes none.
pub fn open_there(cli: &Cli) -> Result<Option<Estate>, Failure> {
    need_root()?;
    let state = state(cli)?;
    guard(&state)?;
    if state.join("springtide.db").exists() { open(cli).map(Some) } else { Ok(None) }
}

fn room(state: &Path, least: u64) -> Result<(), Failure> {
    let there = state.ancestors().find(|path| path.exists());
    let Some(stat) = there.and_then(|path| nix::sys::statvfs::statvfs(path).ok()) else { return Ok(()) };
    let free = stat.blocks_available() * stat.fragment_size();
    if free >= least {
        return Ok(());
    }
    let (exit, id, next) = no_room();
    let message =
        format!("{} KiB are free where {} is; this needs {} at least", free >> 10, state.display(), least >> 10);
    Err(Failure::new(exit, id, message, NOTHING, next))
}

/// Refuses to begin an operation where it could not end.
pub fn room_to_act(estate: &Estate) -> Result<(), Failure> {
    room(&estate.state, LEAST_TO_ACT)
}

/// What is seen now.
pub async fn observe(estate: &Estate, now: i64) -> Result<Observation, Failure> {
    match tokio::time::timeout(LOOK, springtide_server::observe::observe(estate, now)).await {
        Ok(seen) => Ok(seen?),
        Err(_) => {
            let message = format!("the supervisor does not answer within {} s", LOOK.as_secs());
            Err(Failure::new(code::UNREACHABLE, "E0910", message, NOTHING, "springtide doctor"))
        }
    }
}

/// Loads, observes and plans.
pub async fn look(cli: &Cli, estate: &Estate, now: i64) -> Result<(CheckedEstate, Observation, Plan), Failure> {
    let checked = load(cli)?;
    debug_assert_eq!(checked.platform.driver, DriverKind::Process, "check refuses the others");
    let seen = observe(estate, now).await?;
    let planned = plan(&checked, &seen, now);
    let notes = springtide_core::lint::lint(&planned);
    if let Some(note) = notes.first() {
        return Err(Failure::new(
            code::FAILED,
            "E0803",
            format!("the plan does not pass its lint: {note}"),
            NOTHING,
            "this is a bug of Springtide; please report it with the estate file",
        ));
    }
    Ok((checked, seen, planned))
}

/// The failure for an environment that is not there, with the nearest that is.
pub fn no_such<'a>(wanted: &str, known: impl IntoIterator<Item = &'a EnvironmentName>) -> Failure {
    let known: Vec<&str> = known.into_iter().map(EnvironmentName::as_str).collect();
    let message = match nearest(wanted, known.iter().copied()) {
        Some(near) => format!("there is no environment {wanted}; did you mean {near}?"),
        None => format!("there is no environment {wanted}; there is {}", listed(known.iter().copied())),
    };
    let next = match nearest(wanted, known) {
        Some(near) => format!("the same with {near}"),
        None => "springtide status".to_owned(),
    };
    Failure::new(code::INVALID, "E0908", message, NOTHING, next)
}

/// One operation at a time on a state folder; held until dropped, and by the kernel's doing given
/// back when the process dies.
pub fn lock(estate: &Estate) -> Result<ActLock, Failure> {
    lock_at(&estate.state)
}

/// The same for those who need no store.
pub fn lock_at(state: &Path) -> Result<ActLock, Failure> {
    let verb = std::env::args().skip(1).find(|word| VERBS.contains(&word.as_str()));
    ActLock::take(state, verb.as_deref().unwrap_or("command"), now()).map_err(|error| match error {
        LockError::Held(holder) => {
            let message = format!("another operation is under way: {}", name(&holder));
            let next = "wait for it, then springtide plan";
            Failure::new(code::CONFLICT, "E0802", message, "Nothing was changed by this call.", next)
        }
        error => error.into(),
    })
}

/// Takes a new epoch for a command that acts and holds the lock, ends what older ones left open, and says
/// what was cut off.
pub fn epoch(estate: &Estate, verb: &str, at: i64) -> Result<Epoch, Failure> {
    let by = format!("springtide {verb}, pid {}", std::process::id());
    let epoch = estate.store.take_epoch(ControllerKind::Command, &by, estate.driver.fence().0, at)?;
    for (operation, step) in estate.store.take_over(epoch, at)? {
        let text = format!(" operation {operation} was cut off at `{step}`; going on from what is seen");
        printer::note(&printer::yellow("note"), &text);
    }
    Ok(epoch)
}

/// The clock, as the edges take it.
pub fn clock() -> Clock {
    Arc::new(now)
}

/// Verbs that take the lock.
const VERBS: [&str; 4] = ["apply", "stop", "destroy", "recover"];

/// A holder of a lock, for people.
pub fn name(holder: &Holder) -> String {
    match holder.pid {
        0 => holder.to_string(),
        pid => format!("springtide {}, pid {pid}, since {}", holder.verb, times::person(holder.since, now())),
    }
}

/// Whether somebody holds the operation lock now.
pub fn busy(state: &Path) -> Option<String> {
    held(&act_path(state)).map(|holder| name(&holder))
}

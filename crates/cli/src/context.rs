//! Wiring: the driver, the secrets and the store behind a state folder, and the operation lock.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use springtide_core::check::{CheckedEstate, DriverKind, parse_and_check};
use springtide_core::observe::Observation;
use springtide_core::plan::{Plan, plan};
use springtide_driver::ProcessDriver;
use springtide_server::Estate;

use crate::args::Cli;
use crate::failure::{Failure, code};
use crate::printer;

/// The clock, seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Reads and checks the estate file.
pub fn load(cli: &Cli) -> Result<CheckedEstate, Failure> {
    let name = cli.file.display().to_string();
    let text = std::fs::read_to_string(&cli.file).map_err(|error| {
        Failure::new(
            code::INVALID,
            "E0001",
            format!("cannot read the estate file {name}: {error}"),
            "Nothing was changed.",
            "springtide init, or name the file with --file",
        )
    })?;
    parse_and_check(&name, &text).map_err(|report| {
        let id = "E0100";
        if cli.json {
            let message = "the estate file has errors";
            return Failure::new(code::INVALID, id, message, "Nothing was changed.", "springtide check")
                .with_details(report.to_json());
        }
        printer::talk(&report.render(100, false, true), "");
        Failure::new(
            code::INVALID,
            id,
            format!("{name} is not valid"),
            "Nothing was changed.",
            "mend it, then springtide check",
        )
    })
}

/// The driver alone.
pub fn driver(cli: &Cli) -> Result<ProcessDriver, Failure> {
    let binary = std::env::current_exe()?;
    Ok(ProcessDriver::new(std::path::absolute(&cli.state)?, binary, std::path::absolute(&cli.cache)?))
}

/// Opens the state folder, making it if it is not there.
pub fn open(cli: &Cli) -> Result<Estate, Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            code::DENIED,
            "E0901",
            "the process driver changes users and mounts and must run as root",
            "Nothing was changed.",
            "run it with sudo",
        ));
    }
    let state = std::path::absolute(&cli.state)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&state)?;
    let store = springtide_server::store::Store::open(&state.join("springtide.db"))?;
    let secrets = springtide_data::secrets::SecretStore::open(state.join("secrets"))?;
    let proxy = springtide_server::routes::Proxy::new()?;
    Ok(Estate { driver: Arc::new(driver(cli)?), secrets, store, proxy, state })
}

/// Loads, observes and plans.
pub async fn look(cli: &Cli, estate: &Estate, now: i64) -> Result<(CheckedEstate, Observation, Plan), Failure> {
    let checked = load(cli)?;
    debug_assert_eq!(checked.platform.driver, DriverKind::Process, "check refuses the others");
    let seen = springtide_server::observe::observe(estate, now).await?;
    let planned = plan(&checked, &seen, now);
    let notes = springtide_core::lint::lint(&planned);
    if let Some(note) = notes.first() {
        return Err(Failure::new(
            code::FAILED,
            "E0803",
            format!("the plan does not pass its lint: {note}"),
            "Nothing was changed.",
            "this is a bug of Springtide; please report it with the estate file",
        ));
    }
    Ok((checked, seen, planned))
}

/// One operation at a time on a state folder; held until dropped, and by the kernel's doing given
/// back when the process dies.
pub fn lock(estate: &Estate) -> Result<Flock<File>, Failure> {
    let path = estate.state.join("operation.lock");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut holder = String::new();
    file.read_to_string(&mut holder)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            held.set_len(0)?;
            held.rewind()?;
            write!(held, "pid {}", std::process::id())?;
            Ok(held)
        }
        Err(_) => Err(Failure::new(
            code::CONFLICT,
            "E0802",
            format!("another operation is under way ({})", holder.trim()),
            "Nothing was changed by this call.",
            "wait for it, then springtide plan",
        )),
    }
}

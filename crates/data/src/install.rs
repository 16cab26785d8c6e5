//! Installing and updating Odoo modules in an environment that exists, by a one-shot task.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use springtide_core::layout::Slot;
use springtide_core::names::{EnvironmentName, ModuleName};
use springtide_core::series::Series;
use springtide_core::workload::{CONFIG_PATH, Root, Volume};
use springtide_driver::{Driver, DriverError, Generation, Network, Task, TaskMount};

use crate::odoo_log;
use crate::postgres::{AdminError, database_of};

/// Seconds a module operation may take.
pub const DEADLINE_SECONDS: u32 = 30 * 60;
/// Where the task sees Odoo's data folder; `data_dir` of the configuration must say so.
pub const ODOO_DATA_AT: &str = "/srv/springtide/odoo-data";
/// Where the task sees the folder of PostgreSQL's socket, if that volume exists.
pub const POSTGRES_SOCKET_AT: &str = "/srv/springtide/postgres-socket";

/// What to do with the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleAction {
    /// Install them (`-i`).
    Install,
    /// Update them (`-u`).
    Update,
}

/// Why modules were not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The environment's name gives no database.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Odoo failed.
    #[error("Odoo could not change the modules of {environment} ({how}); log {log}\n{}", .lines.join("\n"), log = .log.display())]
    Failed {
        /// In which environment.
        environment: EnvironmentName,
        /// Exit code, signal or deadline.
        how: String,
        /// Errors and the end of the traceback, at most 30 lines.
        lines: Vec<String>,
        /// The whole log.
        log: PathBuf,
    },
}

/// One request. Has no `Debug`: `files` and `env` hold secrets.
pub struct InstallRequest<'a> {
    /// Which environment.
    pub environment: &'a EnvironmentName,
    /// Its series.
    pub series: Series,
    /// Its slot.
    pub slot: Slot,
    /// Which modules.
    pub modules: &'a BTreeSet<ModuleName>,
    /// Install or update.
    pub action: ModuleAction,
    /// Content of `odoo.conf`, secrets resolved: the owner's login on the direct port.
    pub conf: String,
    /// Further files beside it, such as the certificate authority of the database.
    pub files: Vec<(String, String)>,
    /// Environment variables; `USER`, `HOME`, `LANG` and `PATH` are set unless given.
    pub env: BTreeMap<String, String>,
}

/// Runs Odoo once with `-i` or `-u`. Returns the log. No modules: nothing is run.
///
/// Odoo only warns of module names it does not know: the caller compares
/// [`crate::postgres::observe`] with what it asked for.
pub async fn install_modules(
    driver: &dyn Driver,
    request: InstallRequest<'_>,
    generation: Generation,
) -> Result<Option<PathBuf>, InstallError> {
    let InstallRequest { environment, series, slot, modules, action, conf, mut files, mut env } = request;
    if modules.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = modules.iter().map(ModuleName::as_str).collect();
    let database = database_of(environment)?;
    let config = format!("{CONFIG_PATH}/odoo.conf");
    let flag = match action {
        ModuleAction::Install => "-i",
        ModuleAction::Update => "-u",
    };
    files.insert(0, ("odoo.conf".into(), conf));
    for (key, value) in
        [("USER", "odoo"), ("HOME", "/nonexistent"), ("LANG", "C.UTF-8"), ("PATH", "/usr/local/bin:/usr/bin:/bin")]
    {
        env.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let mut mounts = vec![TaskMount {
        from: driver.volume(Some(environment), Volume::OdooData),
        at: ODOO_DATA_AT.into(),
        read_only: false,
    }];
    let socket = driver.volume(Some(environment), Volume::PostgresSocket);
    if socket.is_dir() {
        mounts.push(TaskMount { from: socket, at: POSTGRES_SOCKET_AT.into(), read_only: false });
    }
    let mut command: Vec<String> =
        ["/usr/bin/odoo", "-c", &config, "-d", &database, flag, &names.join(",")].map(str::to_owned).to_vec();
    // Loading demo data follows the database (its `base` module says), the option only matters for
    // new databases.
    command.extend(["--stop-after-init", "--no-http", "--workers=0", "--max-cron-threads=0"].map(str::to_owned));
    let task = Task {
        name: format!("install-{environment}"),
        root: Root::Odoo(series),
        command,
        env,
        files,
        mounts,
        user: slot.installer(),
        network: Network::Machine,
        deadline_s: DEADLINE_SECONDS,
    };
    let outcome = driver.run_task(&task, generation).await?;
    if outcome.code == Some(0) {
        return Ok(Some(outcome.log));
    }
    Err(InstallError::Failed {
        environment: environment.clone(),
        how: outcome.code.map_or("ended by a signal or its deadline".to_owned(), |code| format!("exit code {code}")),
        lines: odoo_log::relevant_of(&outcome.log, &outcome.tail),
        log: outcome.log,
    })
}

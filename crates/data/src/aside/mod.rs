//! A PostgreSQL and an Odoo beside everything else: started on a data directory and a filestore, reachable through a
//! socket in a folder of their own and over no network at all. Restored copies are proven in one, clones are made
//! harmless in one before anybody can reach them.
//!
//! The rule that keeps it right: whatever the data directory's own configuration says, it cannot get out (no network,
//! no archiving, no libraries of its own, nobody but root and its user at the socket). It is quick and not durable:
//! who keeps the folder afterwards makes it so with [`Aside::sync`].

mod control;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use springtide_core::series::Series;
use springtide_core::workload::{CONFIG_PATH, Root, UserSpec};
use springtide_driver::{Driver, DriverError, Generation, Network, Task, TaskMount, TaskOutcome};

pub use control::Control;
pub use server::Serving;

use crate::folders::{remove_folder, sync_file_system};
use crate::hash::RandomError;
use crate::odoo_log;
use crate::postgres::{Admin, AdminError};
use crate::template::processes;

/// Port that names the socket; nothing listens on TCP.
const PORT: u16 = 5432;
/// Where tasks see the socket's folder.
const SOCKET_AT: &str = "/srv/springtide/socket";
/// Where tasks see the data directory.
pub(crate) const DATA_AT: &str = "/srv/springtide/pgdata";
/// Where tasks see Odoo's data folder.
const ODOO_DATA_AT: &str = "/srv/springtide/odoo-data";
/// Odoo's configuration, as its tasks see it.
pub const ODOO_CONF: &str = "/srv/springtide/config/odoo.conf";
/// Where Odoo listens, in a network that has nothing else.
pub(crate) const HTTP_PORT: u16 = 8069;

/// Why something aside could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// The driver failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// PostgreSQL refused something.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The PostgreSQL programs are not on this machine.
    #[error("the PostgreSQL server programs are missing: install the package postgresql")]
    NoPostgres,
    /// A program failed.
    #[error("{step} failed ({how}); log {log}\n{}", .lines.join("\n"), log = .log.display())]
    Step {
        /// Which.
        step: &'static str,
        /// Exit code or signal.
        how: String,
        /// What it said, at most 30 lines.
        lines: Vec<String>,
        /// Its whole output.
        log: PathBuf,
    },
    /// The server did not answer.
    #[error("PostgreSQL did not answer within {seconds} s: {why}")]
    NotUp {
        /// Its deadline.
        seconds: u64,
        /// What was seen last.
        why: String,
    },
    /// Somebody else's server works on the data directory.
    #[error("a server that is none of ours here works on {path}; it was left alone", path = .0.display())]
    Live(PathBuf),
    /// A name cannot be written into Odoo's configuration.
    #[error("the {what} {name:?} is not a plain name")]
    Name {
        /// Name of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file-system call failed.
    #[error("cannot {verb} {path}", path = .path.display())]
    Io {
        /// What was attempted.
        verb: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl AsideError {
    /// Code for people and `springtide explain`.
    pub fn code(&self) -> &'static str {
        "E1034"
    }
}

pub(crate) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AsideError {
    let path = path.to_owned();
    move |source| AsideError::Io { verb, path, source }
}

/// What to start, and as whom.
#[derive(Debug, Clone)]
pub struct AsideSpec {
    /// A word for logs and names of tasks: the environment. One aside of a word can run at a time.
    pub word: String,
    /// Folder for sockets and Odoo's own files. It is made, and removed by [`Aside::clear`].
    pub folder: PathBuf,
    /// The data directory; it belongs to `user`.
    pub data: PathBuf,
    /// The filestore of the database (the folder with `00` to `ff`); Odoo writes to it as `user`.
    pub filestore: PathBuf,
    /// Name of the Odoo database.
    pub database: String,
    /// Its series.
    pub series: Series,
    /// Who runs both.
    pub user: UserSpec,
}

/// A data directory with programs that can be run on it.
pub struct Aside {
    spec: AsideSpec,
    programs: PathBuf,
}

impl Aside {
    /// Makes the folders and ends what an earlier one of the same data directory left running.
    pub async fn new(driver: &dyn Driver, spec: AsideSpec) -> Result<Self, AsideError> {
        let plain = |name: &str| {
            let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(fine)
        };
        for (what, name) in [("database", &spec.database), ("environment", &spec.word)] {
            if !plain(name) {
                return Err(AsideError::Name { what, name: name.clone() });
            }
        }
        let major = driver.observe().await?.host.postgres_major.ok_or(AsideError::NoPostgres)?;
        let aside = Self { spec, programs: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")) };
        let data = &aside.spec.data;
        if !processes::of(data).is_empty() && !begun_aside(data) {
            return Err(AsideError::Live(data.clone()));
        }
        processes::end(data).await;
        let folder = &aside.spec.folder;
        fs::DirBuilder::new().recursive(true).mode(0o711).create(folder).map_err(io_error("create", folder))?;
        for path in [aside.socket(), aside.odoo_data()] {
            // Emptied: a socket or a session of an earlier one is nobody's.
            remove_folder(&path).map_err(io_error("remove", &path))?;
            fs::create_dir(&path).map_err(io_error("create", &path))?;
            let UserSpec { uid, gid } = aside.spec.user;
            chown(&path, Some(uid), Some(gid)).map_err(io_error("give away", &path))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o770))
                .map_err(io_error("set the mode of", &path))?;
        }
        Ok(aside)
    }

    /// What it was made for.
    pub fn spec(&self) -> &AsideSpec {
        &self.spec
    }
    fn socket(&self) -> PathBuf {
        self.spec.folder.join("socket")
    }
    fn odoo_data(&self) -> PathBuf {
        self.spec.folder.join("odoo-data")
    }
    /// Path of one of PostgreSQL's programs.
    pub(crate) fn program(&self, name: &str) -> String {
        self.programs.join(name).display().to_string()
    }

    /// A connection as superuser.
    pub async fn admin(&self, database: &str) -> Result<Admin, AsideError> {
        Ok(Admin::connect(&self.socket(), PORT, database).await?)
    }

    /// A connection to the Odoo database as `role`, for statements that must not have a superuser's rights.
    pub(crate) async fn as_role(&self, role: &str) -> Result<Admin, AsideError> {
        Ok(Admin::connect_as(&self.socket(), PORT, &self.spec.database, role).await?)
    }

    /// A task with one of PostgreSQL's programs, without network.
    pub fn tool(&self, name: &str, command: Vec<String>, deadline_s: u32) -> Task {
        let env = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("HOME", "/nonexistent"), ("USER", "springtide")];
        Task {
            name: format!("aside-{name}-{}", self.spec.word),
            root: Root::Host,
            command,
            env: BTreeMap::from(env.map(|(key, value)| (key.to_owned(), value.to_owned()))),
            files: Vec::new(),
            mounts: vec![
                TaskMount { from: self.spec.data.clone(), at: DATA_AT.into(), read_only: false },
                TaskMount { from: self.socket(), at: SOCKET_AT.into(), read_only: false },
            ],
            user: self.spec.user,
            network: Network::None,
            deadline_s,
        }
    }

    /// A task in the root of the series, without network, with Odoo's configuration for this database. `owner` is
    /// the database's.
    pub fn odoo(&self, name: &str, owner: &str, command: Vec<String>, deadline_s: u32) -> Result<Task, AsideError> {
        if owner.is_empty() || !owner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(AsideError::Name { what: "owner of the database", name: owner.to_owned() });
        }
        let database = &self.spec.database;
        let conf = format!(
            "[options]\naddons_path = /srv/springtide/addons\ndata_dir = {ODOO_DATA_AT}\ndb_host = {SOCKET_AT}\n\
             db_port = {PORT}\ndb_user = {owner}\ndb_name = {database}\ndbfilter = ^{database}$\ndb_maxconn = 16\n\
             list_db = False\nworkers = 0\nmax_cron_threads = 0\nhttp_interface = 127.0.0.1\nhttp_port = {HTTP_PORT}\n\
             proxy_mode = False\nsmtp_server = 127.0.0.1\nsmtp_port = 9\nlog_level = info\nserver_wide_modules = {}\n",
            self.spec.series.profile().conf.server_wide_modules
        );
        // Series 14 looks for its user's name and dies without one in the environment.
        let env =
            [("USER", "odoo"), ("HOME", "/nonexistent"), ("LANG", "C.UTF-8"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
        let filestore = format!("{ODOO_DATA_AT}/filestore/{database}");
        Ok(Task {
            name: format!("aside-{name}-{}", self.spec.word),
            root: Root::Odoo(self.spec.series),
            command,
            env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            files: vec![("odoo.conf".into(), conf)],
            mounts: vec![
                TaskMount { from: self.socket(), at: SOCKET_AT.into(), read_only: false },
                TaskMount { from: self.odoo_data(), at: ODOO_DATA_AT.into(), read_only: false },
                TaskMount { from: self.spec.filestore.clone(), at: filestore, read_only: false },
            ],
            user: self.spec.user,
            network: Network::None,
            deadline_s,
        })
    }

    /// Runs a task that must end with 0.
    pub async fn run(
        &self,
        driver: &dyn Driver,
        generation: Generation,
        step: &'static str,
        task: &Task,
    ) -> Result<TaskOutcome, AsideError> {
        succeeded(step, driver.run_task(task, generation).await?)
    }

    /// Name of the role that owns the Odoo database; it may log in from here on.
    pub async fn owner(&self, admin: &Admin) -> Result<String, AsideError> {
        let sql = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1";
        let rows = admin.query("look for the database's owner", sql, &[&self.spec.database]).await?;
        let Some(row) = rows.first() else {
            return Err(AdminError::NoDatabase(self.spec.database.clone()).into());
        };
        let owner: String = row.get(0);
        admin.execute_format("let the owner log in", "ALTER ROLE %I LOGIN CONNECTION LIMIT -1", &[&owner]).await?;
        Ok(owner)
    }

    /// Makes everything on the disk of the data directory durable.
    pub async fn sync(&self) -> Result<(), AsideError> {
        let data = self.spec.data.clone();
        tokio::task::spawn_blocking(move || sync_file_system(&data))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(io_error("sync", &self.spec.data))
    }

    /// Ends whatever runs on the data directory and removes the folder. Data directory and filestore stay unless
    /// they lie in it.
    pub async fn clear(&self) -> Result<(), AsideError> {
        processes::end(&self.spec.data).await;
        remove_folder(&self.spec.folder).map_err(io_error("remove", &self.spec.folder))
    }
}

/// Whether the server that works on a data directory was begun aside, by the socket that it says it has. An
/// environment's own has another, and must never be ended from here.
fn begun_aside(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.lines().nth(4) == Some(SOCKET_AT))
}

/// Turns a task's failure into an error that shows why.
pub(crate) fn succeeded(step: &'static str, outcome: TaskOutcome) -> Result<TaskOutcome, AsideError> {
    if outcome.code == Some(0) {
        return Ok(outcome);
    }
    let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail);
    Err(AsideError::Step { step, how: how(outcome.code), lines, log: outcome.log })
}

/// How a task ended, in words.
pub(crate) fn how(code: Option<i32>) -> String {
    code.map_or("ended by a signal or its deadline".to_owned(), |code| format!("exit code {code}"))
}

/// Folder of configuration files as tasks see it, for scripts that come as one.
pub(crate) fn script(name: &str) -> String {
    format!("{CONFIG_PATH}/{name}")
}

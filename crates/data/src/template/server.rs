//! The temporary PostgreSQL of a template that is being built: reachable only through a socket in
//! its own folder, quick instead of durable (everything is synced at the end).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use springtide_core::workload::{Root, UserSpec};
use springtide_driver::{Network, Task, TaskMount, TaskOutcome};

use super::{TemplateError, processes};
use crate::odoo_log;
use crate::postgres::Admin;

/// Port that names the socket; nothing listens on TCP.
pub(super) const PORT: u16 = 5432;
/// Where tasks see the socket's folder.
pub(super) const SOCKET_AT: &str = "/srv/springtide/socket";
/// Where tasks see the data directory.
pub(super) const DATA_AT: &str = "/srv/springtide/pgdata";
/// Seconds until the server must answer.
const UP_SECONDS: u64 = 60;

/// Folders and programs of a template that is being built.
pub(super) struct Site {
    /// `<key>.building`.
    pub building: PathBuf,
    /// Folder of the PostgreSQL programs.
    pub programs: PathBuf,
    /// Who runs PostgreSQL and Odoo here.
    pub user: UserSpec,
}

impl Site {
    pub(super) fn pgdata(&self) -> PathBuf {
        self.building.join("pgdata")
    }
    pub(super) fn socket(&self) -> PathBuf {
        self.building.join("socket")
    }
    pub(super) fn odoo_data(&self) -> PathBuf {
        self.building.join("odoo-data")
    }
    pub(super) fn program(&self, name: &str) -> String {
        self.programs.join(name).display().to_string()
    }

    /// A task with one of PostgreSQL's programs.
    pub(super) fn task(&self, name: &str, command: Vec<String>, deadline_s: u32) -> Task {
        let env = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("HOME", "/nonexistent"), ("USER", "springtide")];
        Task {
            name: name.to_owned(),
            root: Root::Host,
            command,
            env: BTreeMap::from(env.map(|(key, value)| (key.to_owned(), value.to_owned()))),
            files: Vec::new(),
            mounts: vec![
                TaskMount { from: self.pgdata(), at: DATA_AT.into(), read_only: false },
                TaskMount { from: self.socket(), at: SOCKET_AT.into(), read_only: false },
            ],
            user: self.user,
            network: Network::Machine,
            deadline_s,
        }
    }

    /// The server itself; it runs until it is told to stop or its deadline passes.
    pub(super) fn server(&self, deadline_s: u32) -> Task {
        let mut command = vec![self.program("postgres"), "-D".into(), DATA_AT.into()];
        for setting in [
            "listen_addresses=",
            &format!("port={PORT}"),
            &format!("unix_socket_directories={SOCKET_AT}"),
            "unix_socket_permissions=0770",
            "max_connections=20",
            "shared_buffers=256MB",
            "maintenance_work_mem=128MB",
            // Durable only after the final sync.
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "wal_level=minimal",
            "max_wal_senders=0",
            "max_wal_size=4GB",
            "checkpoint_timeout=1h",
            "autovacuum=off",
            "jit=off",
        ] {
            command.extend(["-c".into(), setting.into()]);
        }
        self.task("template-postgres", command, deadline_s)
    }

    /// Waits until the server answers.
    pub(super) async fn up(&self) -> Result<Admin, TemplateError> {
        let started = Instant::now();
        loop {
            match Admin::connect(&self.socket(), PORT, "postgres").await {
                Ok(admin) => return Ok(admin),
                Err(error) if started.elapsed() > Duration::from_secs(UP_SECONDS) => {
                    return Err(TemplateError::NotUp { seconds: UP_SECONDS, why: error.to_string() });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Asks for a "fast" shutdown: sessions end, a checkpoint is written.
    pub(super) fn stop(&self) {
        processes::signal(&self.pgdata(), Signal::SIGINT);
    }
}

/// Turns a task's failure into an error that shows why.
pub(super) fn succeeded(step: &'static str, outcome: TaskOutcome) -> Result<TaskOutcome, TemplateError> {
    if outcome.code == Some(0) {
        return Ok(outcome);
    }
    let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail);
    Err(TemplateError::Step { step, how: how(outcome.code), lines, log: outcome.log })
}

/// How a task ended, in words.
pub(super) fn how(code: Option<i32>) -> String {
    code.map_or("ended by a signal or its deadline".to_owned(), |code| format!("exit code {code}"))
}

/// Whether `path` is a folder with nothing in it, or not there.
pub(super) fn empty(path: &Path) -> bool {
    std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none())
}

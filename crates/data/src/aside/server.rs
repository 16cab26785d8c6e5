//! The server of an [`Aside`]: up while some work is done, then stopped so that everything is written.

use std::future::Future;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use springtide_driver::{Driver, Generation, Network, Task, TaskMount};

use super::{Aside, AsideError, DATA_AT, PORT, SOCKET_AT, how, succeeded};
use crate::odoo_log;
use crate::postgres::Admin;
use crate::template::processes;

/// Whoever reaches the socket's folder may enter; that is root and the user it runs as.
const RULES: &str = "local all all trust\n";
/// Seconds that a clean stop may take: its checkpoint writes what the work changed.
const STOP_SECONDS: u64 = 300;

/// How to serve. What is not said here holds for every server aside.
#[derive(Clone, Default)]
pub struct Serving {
    /// Further settings, which win over the data directory's.
    pub settings: Vec<(String, String)>,
    /// Further configuration files of the task, such as the one that a restore command reads.
    pub files: Vec<(String, String)>,
    /// Further folders it sees, such as a repository.
    pub mounts: Vec<TaskMount>,
    /// What it can reach: nothing, unless a restore command must fetch from elsewhere.
    pub network: Option<Network>,
    /// Seconds until it must answer.
    pub up_s: u32,
    /// Seconds until all work must be done.
    pub deadline_s: u32,
}

impl Aside {
    /// The server as a task. Its data directory may hold any configuration of its own: what matters is set on the
    /// command line, which wins.
    fn server(&self, serving: &Serving, least: Vec<(&'static str, u32)>) -> Task {
        let mut command = vec![self.program("postgres"), "-D".into(), DATA_AT.into()];
        let port = PORT.to_string();
        let fixed = [
            ("config_file", "/srv/springtide/config/postgresql.conf"),
            ("hba_file", "/srv/springtide/config/pg_hba.conf"),
            ("ident_file", "/srv/springtide/config/pg_ident.conf"),
            ("listen_addresses", ""),
            ("port", &port),
            ("unix_socket_directories", SOCKET_AT),
            ("unix_socket_permissions", "0770"),
            // Nothing of a copy may reach the archive of its original.
            ("archive_mode", "off"),
            ("archive_command", ""),
            ("archive_library", ""),
            ("archive_cleanup_command", ""),
            ("recovery_end_command", ""),
            ("primary_conninfo", ""),
            ("primary_slot_name", ""),
            ("ssl", "off"),
            ("shared_preload_libraries", ""),
            ("session_preload_libraries", ""),
            ("local_preload_libraries", ""),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
            ("log_statement", "none"),
            ("log_min_messages", "warning"),
            ("log_min_error_statement", "panic"),
            ("shared_buffers", "256MB"),
            ("maintenance_work_mem", "128MB"),
            ("hot_standby", "on"),
            ("jit", "off"),
            // Quick instead of durable: a copy is thrown away or synced as a whole.
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("synchronous_commit", "off"),
            ("synchronous_standby_names", ""),
            ("max_wal_size", "4GB"),
            ("checkpoint_timeout", "1h"),
            ("autovacuum", "off"),
            ("default_transaction_read_only", "off"),
        ];
        let least = least.into_iter().map(|(name, value)| (name.to_owned(), value.to_string()));
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in fixed.into_iter().chain(least).chain(serving.settings.iter().cloned()) {
            command.extend(["-c".into(), format!("{name}={value}")]);
        }
        let mut task = self.tool("postgres", command, serving.deadline_s);
        task.network = serving.network.unwrap_or(Network::None);
        task.files = vec![
            ("postgresql.conf".into(), String::new()),
            ("pg_hba.conf".into(), RULES.into()),
            ("pg_ident.conf".into(), String::new()),
        ];
        task.files.extend(serving.files.iter().cloned());
        task.mounts.extend(serving.mounts.iter().cloned());
        task
    }

    /// Starts the server, does `work` when it answers and stops it cleanly. A server that ends by itself ends the
    /// work with it.
    pub async fn serve<T, F: Future<Output = T>>(
        &self,
        driver: &dyn Driver,
        generation: Generation,
        serving: &Serving,
        work: impl FnOnce(Admin) -> F,
    ) -> Result<T, AsideError> {
        let least = self.control(driver, generation).await?.least();
        let task = self.server(serving, least);
        let mut server = driver.run_task(&task, generation);
        let worked = {
            let work = async { Ok::<_, AsideError>(work(self.up(serving.up_s).await?).await) };
            tokio::pin!(work);
            tokio::select! {
                ended = &mut server => {
                    let outcome = ended?;
                    let lines = odoo_log::relevant_of(&outcome.log, &outcome.tail);
                    return Err(AsideError::Step { step: "PostgreSQL", how: how(outcome.code), lines, log: outcome.log });
                }
                done = &mut work => done,
            }
        };
        processes::signal(&self.spec.data, Signal::SIGINT);
        let patience = Duration::from_secs(STOP_SECONDS);
        match tokio::time::timeout(patience, &mut server).await {
            Ok(ended) => {
                let ended = ended?;
                let done = worked?;
                succeeded("stopping PostgreSQL", ended)?;
                Ok(done)
            }
            Err(_) => {
                processes::end(&self.spec.data).await;
                let outcome = server.await?;
                worked?;
                let how = format!("not stopped within {STOP_SECONDS} s");
                Err(AsideError::Step { step: "stopping PostgreSQL", how, lines: Vec::new(), log: outcome.log })
            }
        }
    }

    /// Waits until the server answers.
    async fn up(&self, seconds: u32) -> Result<Admin, AsideError> {
        let started = Instant::now();
        loop {
            match self.admin("postgres").await {
                Ok(admin) => return Ok(admin),
                Err(error) if started.elapsed() > Duration::from_secs(seconds.into()) => {
                    return Err(AsideError::NotUp { seconds: seconds.into(), why: error.to_string() });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

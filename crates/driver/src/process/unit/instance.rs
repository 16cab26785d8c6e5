//! One process of a workload: started through a keeper, ended by the workload's own rule and with
//! all it left.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use springtide_core::workload::StopSignal;
use tokio::time::sleep;

use super::Unit;
use super::health::Live;
use crate::process::paths::{now, read_json};
use crate::process::records::Run;
use crate::process::{kill_all, logs};

impl Unit {
    /// The process on record, if it is there.
    pub(super) fn running(&self) -> Option<Run> {
        read_json::<Run>(&self.folder.run()).filter(|run| run.main.alive())
    }

    /// Starts a process through a new keeper. The error says why none runs.
    pub(super) async fn start(&mut self) -> Result<(), String> {
        self.next_start = None;
        // A keeper that was too slow to answer may have started it after all.
        let wanted = self.workload.as_ref().map(|workload| workload.digest);
        if let Some(run) = self.running().filter(|run| Some(run.digest) == wanted) {
            self.live = Some(Live::new(run));
            return Ok(());
        }
        self.configure()?;
        self.status.started(now());
        self.memory_kills = self.group.memory_kills();
        let _ = self.keep_status();
        let log = logs::open(&self.paths.supervisor_log(), false)
            .map_err(|error| format!("open the supervisor's log: {error}"))?;
        let mut child = tokio::process::Command::new(&self.paths.binary)
            .arg("launch")
            .args(self.paths.arguments())
            .arg("--workload")
            .arg(self.id.to_string())
            .current_dir("/")
            .env_clear()
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("run {}: {error}", self.paths.binary.display()))?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = tokio::io::BufReader::new(out);
            let line = tokio::io::AsyncBufReadExt::read_line(&mut out, &mut said);
            let _ = tokio::time::timeout(Duration::from_secs(30), line).await;
        }
        // Reaps the keeper when it ends; it lives as long as its child.
        tokio::spawn(async move { child.wait().await });
        match said.trim().split_once(' ') {
            Some(("started", _)) => match read_json::<Run>(&self.folder.run()) {
                Some(run) => {
                    tracing::info!(workload = %self.id, pid = run.main.pid, "started");
                    self.live = Some(Live::new(run));
                    Ok(())
                }
                None => Err("its keeper did not record it".to_owned()),
            },
            // Another keeper was faster: what it began is what we wanted.
            Some(("failed", why)) => match self.settled().await.filter(|run| Some(run.digest) == wanted) {
                Some(run) => {
                    self.live = Some(Live::new(run));
                    Ok(())
                }
                None => Err(why.to_owned()),
            },
            _ => Err("its keeper said nothing".to_owned()),
        }
    }

    /// Stops the process by its rule, if one runs, and everything it left.
    /// Whether there was one.
    pub(super) async fn end_process(&mut self) -> bool {
        self.next_start = None;
        // A keeper sent by an earlier supervisor may have begun one that we have not seen yet.
        let live = match self.live.take() {
            Some(live) => Some(live),
            None => self.settled().await.map(Live::new),
        };
        let Some(live) = live else {
            // A stop that was cut off may have ended the main process and not its children.
            if let Some(run) = read_json::<Run>(&self.folder.run()) {
                self.finish_leftovers(&run).await;
            }
            return false;
        };
        let main = &live.run.main;
        let rule = self.workload.as_ref().map(|workload| workload.spec.stop);
        if let Some(rule) = rule {
            let signal = match rule.signal {
                StopSignal::Term => Signal::SIGTERM,
                StopSignal::Int => Signal::SIGINT,
            };
            main.signal(signal);
            // A stopped process takes the signal only when it goes on.
            main.signal(Signal::SIGCONT);
            let end = Instant::now() + Duration::from_secs(u64::from(rule.grace_s));
            while main.alive() && Instant::now() < end {
                sleep(Duration::from_millis(20)).await;
            }
        }
        // Found before the leader goes, killed after: a session is known by its leader.
        let session = main.session();
        main.signal(Signal::SIGKILL);
        let group = self.group.clone();
        let _ = tokio::task::spawn_blocking(move || kill_all(&group, &session)).await;
        let end = Instant::now() + Duration::from_secs(5);
        while main.alive() && Instant::now() < end {
            sleep(Duration::from_millis(10)).await;
        }
        // The keeper writes the end down and lets go of its lock; the next one needs it.
        while self.keeper_at_work() && Instant::now() < end {
            sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Kills what the main process left behind.
    pub(super) async fn finish_leftovers(&self, run: &Run) {
        let (group, main) = (self.group.clone(), run.main.clone());
        let _ = tokio::task::spawn_blocking(move || kill_all(&group, &main.session())).await;
    }
}

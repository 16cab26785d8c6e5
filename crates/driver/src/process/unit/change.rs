//! What callers ask of a workload: make it run so, stop it, forget it.

use nix::sys::signal::Signal;
use springtide_core::workload::{Text, WorkloadSpec};

use super::Unit;
use super::config::{edited, write_config};
use crate::process::paths::{io, make_folder, write_json};
use crate::process::ports;
use crate::process::records::{Status, Wanted};
use crate::{DriverError, Ensured, ResolvedWorkload};

impl Unit {
    pub(super) async fn ensure(&mut self, new: ResolvedWorkload) -> Result<Ensured, DriverError> {
        let alive = self.live.as_ref().is_some_and(|live| live.run.main.alive());
        if let (Some(live), Some(old), true) = (&mut self.live, &self.workload, alive) {
            let edited = edited(&self.folder, &new);
            if live.run.digest == new.digest && edited.is_empty() {
                return Ok(Ensured::Unchanged);
            }
            if live.run.digest == new.digest && edited.iter().all(|file| file.reloadable) {
                write_config(&self.folder, &new)?;
                self.edited.clear();
                if live.run.main.signal(Signal::SIGHUP) {
                    return Ok(Ensured::Reloaded);
                }
            }
            if only_reloadable(&old.spec, &new.spec) && live.run.digest == old.digest {
                write_config(&self.folder, &new)?;
                write_json(&self.folder.spec(), &new).map_err(io("write", &self.folder.spec()))?;
                if live.run.main.signal(Signal::SIGHUP) {
                    live.run.digest = new.digest;
                    write_json(&self.folder.run(), &live.run).map_err(io("write", &self.folder.run()))?;
                    self.workload = Some(new);
                    return Ok(Ensured::Reloaded);
                }
            }
        }
        // Refused before anything is touched: a foreign holder of a port costs nobody a restart.
        self.check_ports(&new.spec)?;
        // One may run by a spec that could not be read; the new one says how it is stopped.
        if self.live.is_none() && self.workload.is_none() {
            self.workload = Some(new.clone());
        }
        let ended = self.end_process().await;
        let what = if alive || ended { Ensured::Restarted } else { Ensured::Started };
        make_folder(&self.folder.0).map_err(io("make", &self.folder.0))?;
        write_config(&self.folder, &new)?;
        write_json(&self.folder.spec(), &new).map_err(io("write", &self.folder.spec()))?;
        self.workload = Some(new);
        self.edited.clear();
        self.status = Status { wanted: Wanted::Running, ..Status::default() };
        self.keep_status()?;
        match self.start().await {
            Ok(()) => Ok(what),
            Err(why) => {
                // A set-up that fails now fails again: say so to the one who asked.
                self.ended_because(format!("could not be started: {why}"));
                Err(DriverError::Supervisor(format!("{} could not be started: {why}", self.id)))
            }
        }
    }

    pub(super) async fn stop(&mut self) -> Result<(), DriverError> {
        if self.workload.is_none() {
            return Ok(());
        }
        self.status.wanted = Wanted::Stopped;
        self.keep_status()?;
        self.end_process().await;
        Ok(())
    }

    pub(super) async fn remove(&mut self) -> Result<(), DriverError> {
        self.stop().await?;
        self.workload = None;
        let group = self.group.clone();
        let _ = tokio::task::spawn_blocking(move || group.remove()).await;
        // The spec goes first: a folder without one is known to be a removal that was cut off.
        for result in [std::fs::remove_file(self.folder.spec()), std::fs::remove_dir_all(&self.folder.0)] {
            match result {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &self.folder.0)(error));
                }
                _ => {}
            }
        }
        self.status = Status::default();
        Ok(())
    }

    /// Refuses a port that somebody outside this workload listens on.
    pub(super) fn check_ports(&self, spec: &WorkloadSpec) -> Result<(), DriverError> {
        let mine = self.folder.name();
        let sessions = self.running().iter().map(|run| (run.main.pid, mine.clone())).collect();
        let holders = ports::holders(&self.paths.state, &sessions, |port| spec.ports.values().any(|own| *own == port));
        match holders.into_iter().find(|(_, holder)| holder.ours.as_ref() != Some(&mine)) {
            Some((port, holder)) => {
                Err(DriverError::PortInUse { id: self.id.clone(), port, holder: holder.to_string() })
            }
            None => Ok(()),
        }
    }
}

/// Whether two specs differ in nothing but the content of files that can be reloaded.
fn only_reloadable(old: &WorkloadSpec, new: &WorkloadSpec) -> bool {
    let blank = |spec: &WorkloadSpec| {
        let mut spec = WorkloadSpec { made_from: None, ..spec.clone() };
        for file in spec.files.iter_mut().filter(|file| file.reloadable) {
            file.content = Text::plain("");
        }
        spec
    };
    old != new && blank(old) == blank(new)
}

//! The process driver: workloads as plain processes of this machine.
//!
//! ```text
//! ProcessDriver ──socket──▶ supervisor ──spawns──▶ keeper (launch) ──forks──▶ workload
//!      ├── spawns ──▶ keeper (launch-task) ──forks──▶ task
//!      └── spawns ──▶ enter ──becomes──▶ a person's command inside a workload
//! ```
//! The driver is a client and may die at any time; the supervisor decides and watches ([`unit`]);
//! the keeper prepares, records and waits ([`keeper`], [`prepare`], [`sandbox`], [`child`]). What a
//! process *is* stands in [`identity`], where it lies in [`paths`].
//!
//! The rule that keeps it right: nothing runs that is not recorded first, and nothing is believed
//! that is not seen in `/proc` with its start time.

mod backups;
mod board;
mod bundles;
mod cgroup;
mod child;
mod enter;
mod exec;
mod facts;
mod handle;
mod hidden;
mod identity;
mod keeper;
mod leftovers;
mod logs;
mod network;
mod paths;
mod ports;
mod prepare;
mod privileges;
mod probe;
mod programs;
mod records;
mod sandbox;
mod strangers;
mod supervisor;
mod task;
mod unit;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{WorkloadObservation, WorkloadState};
use springtide_core::workload::{Volume, WorkloadId};

pub use hidden::hidden_command;
pub use leftovers::{Leftover, LeftoverKind};

use self::identity::Birth;
use self::paths::{Paths, io, read_json};
use self::records::{Run, Status, Wanted};
use self::wire::{Answer, Request};
use crate::{Driver, DriverError, DriverObservation, Ensured, Generation, ResolvedWorkload, Task, TaskOutcome};

/// Runs workloads as processes of this machine. Cheap to make; holds nothing open.
pub struct ProcessDriver {
    paths: Paths,
}

impl ProcessDriver {
    /// A driver for a state folder (absolute path). `springtide_binary` must serve
    /// [`hidden_command`]; `cache` holds Odoo roots and tools.
    pub fn new(state: PathBuf, springtide_binary: PathBuf, cache: PathBuf) -> Self {
        Self { paths: Paths { state, cache, binary: springtide_binary } }
    }

    /// Stops all workloads and ends the supervisor; they stay stopped until ensured again. Without
    /// a supervisor it starts one first, so that orphans are ended too.
    ///
    /// # Errors
    /// When the supervisor cannot be started or reached.
    pub async fn shutdown(&self) -> Result<(), DriverError> {
        if !self.paths.state.exists() {
            return Ok(());
        }
        let pid = self.supervisor_pid().await?;
        wire::demand(&self.paths, &Request::Shutdown).await?;
        // Answered is not gone: whoever deletes the folder next must not race with its end.
        let Some(supervisor) = pid.and_then(Birth::of) else { return Ok(()) };
        for _ in 0..250 {
            if !supervisor.alive() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        supervisor.signal(Signal::SIGKILL);
        Ok(())
    }

    /// What is left of calls that were cut off and that nobody uses: processes, folders and control
    /// groups. Looks only; the next call that acts puts it away.
    ///
    /// # Errors
    /// When the supervisor answers nonsense.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, DriverError> {
        let watched = match wire::ask(&self.paths, &Request::Status).await? {
            Some(Answer::Status { workloads }) => Some(workloads.keys().map(WorkloadId::folder).collect()),
            Some(_) => return Err(unexpected()),
            None => None,
        };
        let paths = self.paths.clone();
        let found = tokio::task::spawn_blocking(move || leftovers::find(&paths, watched.as_ref())).await;
        found.map_err(|_| DriverError::Supervisor("the state folder could not be read".to_owned()))
    }

    /// Process id of the supervisor, starting one if there is none.
    ///
    /// # Errors
    /// When it cannot be started or reached.
    pub async fn supervisor_pid(&self) -> Result<Option<i32>, DriverError> {
        let hello = Request::Hello { version: env!("CARGO_PKG_VERSION").to_owned() };
        match wire::demand(&self.paths, &hello).await? {
            Answer::Hello { pid, .. } => Ok(i32::try_from(pid).ok()),
            _ => Err(unexpected()),
        }
    }

    /// Workloads as the supervisor sees them, or as the files tell. Asking does not start a
    /// supervisor: observation changes nothing.
    async fn workloads(&self) -> Result<BTreeMap<WorkloadId, WorkloadObservation>, DriverError> {
        match wire::ask(&self.paths, &Request::Status).await? {
            Some(Answer::Status { workloads }) => Ok(workloads),
            Some(_) => Err(unexpected()),
            None => {
                let paths = self.paths.clone();
                let read = tokio::task::spawn_blocking(move || unwatched(&paths)).await;
                read.map_err(|_| DriverError::Supervisor("the state folder could not be read".to_owned()))
            }
        }
    }

    async fn done(&self, request: &Request) -> Result<(), DriverError> {
        match wire::demand(&self.paths, request).await? {
            Answer::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

fn unexpected() -> DriverError {
    DriverError::Supervisor("it answered another question".to_owned())
}

/// Kills a group and the members of a session that are not in it, and sees them gone.
fn kill_all(group: &cgroup::Group, session: &BTreeSet<i32>) {
    group.kill();
    let members: Vec<_> = session.iter().filter_map(|pid| Birth::of(*pid)).collect();
    for member in &members {
        member.signal(Signal::SIGKILL);
    }
    let end = Instant::now() + Duration::from_secs(5);
    while members.iter().any(Birth::alive) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Workloads as the files tell, when nobody watches them.
fn unwatched(paths: &Paths) -> BTreeMap<WorkloadId, WorkloadObservation> {
    let mut workloads = BTreeMap::new();
    for folder in paths.all() {
        let Some(workload) = read_json::<ResolvedWorkload>(&folder.spec()) else { continue };
        let run = read_json::<Run>(&folder.run()).filter(|run| run.main.alive());
        let status: Status = read_json(&folder.status()).unwrap_or_default();
        let (state, why) = match (&run, status.wanted) {
            (None, Wanted::Stopped) => (WorkloadState::Stopped, "stopped on purpose".to_owned()),
            (None, Wanted::GaveUp) => (WorkloadState::GaveUp, status.why),
            (Some(_), _) => (WorkloadState::Unwatched, "it runs; the supervisor is away".to_owned()),
            (None, Wanted::Running) => (WorkloadState::Unwatched, "it does not run; the supervisor is away".to_owned()),
        };
        let observation = WorkloadObservation {
            digest: run.as_ref().map_or(workload.digest, |run| run.digest),
            state,
            pid: run.as_ref().map(|run| run.main.pid),
            restarts: status.restarts,
            up_s: run.as_ref().and_then(|run| run.main.up_s()),
            resident_bytes: run.as_ref().map(|run| identity::resident_bytes(&run.main.session())),
            why,
            edited: Vec::new(),
        };
        workloads.insert(workload.spec.id, observation);
    }
    workloads
}

#[async_trait]
impl Driver for ProcessDriver {
    async fn observe(&self) -> Result<DriverObservation, DriverError> {
        let workloads = self.workloads().await?;
        let paths = self.paths.clone();
        let ours: BTreeMap<String, Option<i32>> = workloads.iter().map(|(id, it)| (id.folder(), it.pid)).collect();
        let read = tokio::task::spawn_blocking(move || (facts::read(&paths), strangers::find(&paths, &ours))).await;
        let (host, strangers) =
            read.map_err(|_| DriverError::Supervisor("facts of the machine could not be read".to_owned()))?;
        Ok(DriverObservation { host, workloads, strangers })
    }

    fn fence(&self) -> Generation {
        let text = std::fs::read_to_string(self.paths.fence()).unwrap_or_default();
        Generation(text.trim().parse().unwrap_or(0))
    }

    fn mark(&self) -> Option<u64> {
        let touched = std::fs::metadata(self.paths.changes()).and_then(|it| it.modified()).ok()?;
        u64::try_from(touched.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos()).ok()
    }

    async fn raise(&self, generation: Generation) -> Result<(), DriverError> {
        self.done(&Request::Fence { generation }).await
    }

    async fn ensure_workload(
        &self,
        workload: &ResolvedWorkload,
        generation: Generation,
    ) -> Result<Ensured, DriverError> {
        if !workload.spec.bundles.is_empty() {
            self.done(&Request::Fence { generation }).await?;
            bundles::ensure(&self.paths, &workload.spec)?;
        }
        let request = Request::Ensure { workload: Box::new(workload.clone()), generation };
        match wire::demand(&self.paths, &request).await? {
            Answer::Ensured { what } => Ok(what),
            _ => Err(unexpected()),
        }
    }

    async fn wait_ready(&self, id: &WorkloadId) -> Result<(), DriverError> {
        self.done(&Request::WaitReady { id: id.clone() }).await
    }

    async fn stop_workload(&self, id: &WorkloadId, generation: Generation) -> Result<(), DriverError> {
        self.done(&Request::Stop { id: id.clone(), generation }).await
    }

    async fn remove_workload(&self, id: &WorkloadId, generation: Generation) -> Result<(), DriverError> {
        self.done(&Request::Remove { id: id.clone(), generation }).await
    }

    async fn run_task(&self, task: &Task, generation: Generation) -> Result<TaskOutcome, DriverError> {
        self.done(&Request::Fence { generation }).await?;
        task::run(&self.paths, task).await
    }

    async fn exec(&self, id: &WorkloadId, command: &[String]) -> Result<i32, DriverError> {
        match self.workloads().await?.remove(id) {
            None => Err(DriverError::NotFound(id.clone())),
            Some(seen) if seen.pid.is_none() => Err(DriverError::NotRunning { id: id.clone(), state: seen.state }),
            Some(_) => exec::run(&self.paths, id, command).await,
        }
    }

    fn volume(&self, environment: Option<&EnvironmentName>, volume: Volume) -> PathBuf {
        self.paths.volume(environment, volume)
    }

    fn estate_folder(&self) -> PathBuf {
        self.paths.state.join("estate")
    }

    async fn remove_volumes(&self, environment: &EnvironmentName, generation: Generation) -> Result<(), DriverError> {
        self.done(&Request::Fence { generation }).await?;
        let folder = self.paths.environment(environment).join("volumes");
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &folder)(error)),
            _ => {}
        }
        // The environment's own folder, unless somebody else keeps something in it.
        let _ = tokio::fs::remove_dir(self.paths.environment(environment)).await;
        let paths = self.paths.clone();
        let environment = environment.clone();
        let aside = move || backups::set_aside(&paths, &environment);
        tokio::task::spawn_blocking(aside)
            .await
            .unwrap_or_else(|error| Err(DriverError::Supervisor(format!("setting backups aside panicked: {error}"))))
    }

    fn logs(&self, id: &WorkloadId) -> Vec<PathBuf> {
        logs::all(&self.paths.workload(id).log())
    }
}

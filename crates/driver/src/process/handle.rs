//! The way to a watched workload: send its unit a command, read what the unit last saw. Holds no
//! decision; [`super::unit`] makes them all.

use std::time::{Duration, Instant};

use springtide_core::digest::Digest;
use springtide_core::observe::{EditedFile, WorkloadObservation, WorkloadState};
use springtide_core::workload::WorkloadId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::cgroup::Group;
use super::identity::{Birth, resident_bytes};
use super::logs;
use super::paths::Folder;
use crate::{DriverError, Ensured, ResolvedWorkload};

/// What others may see of a unit.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub digest: Digest,
    pub state: WorkloadState,
    pub ready_since: Option<Instant>,
    pub main: Option<Birth>,
    pub restarts: u32,
    pub why: String,
    pub edited: Vec<EditedFile>,
    pub ready_within_s: u32,
}

/// Where a command's result goes.
pub(crate) type Done<T> = oneshot::Sender<Result<T, DriverError>>;

/// What a unit can be told.
pub(crate) enum Command {
    Ensure(Box<ResolvedWorkload>, Done<Ensured>),
    Stop(Done<()>),
    Remove(Done<()>),
}

/// The way to a unit.
#[derive(Clone)]
pub(crate) struct Handle {
    pub id: WorkloadId,
    pub folder: Folder,
    pub group: Group,
    pub commands: mpsc::Sender<Command>,
    pub seen: watch::Receiver<Option<Seen>>,
}

impl Handle {
    async fn send<T>(&self, make: impl FnOnce(Done<T>) -> Command) -> Result<T, DriverError> {
        let gone = || DriverError::Supervisor(format!("the watcher of {} is gone", self.id));
        let (done, answer) = oneshot::channel();
        self.commands.send(make(done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
    pub async fn ensure(&self, workload: ResolvedWorkload) -> Result<Ensured, DriverError> {
        self.send(|done| Command::Ensure(Box::new(workload), done)).await
    }
    pub async fn stop(&self) -> Result<(), DriverError> {
        self.send(Command::Stop).await
    }
    pub async fn remove(&self) -> Result<(), DriverError> {
        self.send(Command::Remove).await
    }

    /// Waits until it is ready. Ends early when waiting longer cannot help: given up, stopped, or
    /// ended three times since it was changed.
    pub async fn wait_ready(&self) -> Result<(), DriverError> {
        let begin = Instant::now();
        loop {
            let Some(seen) = self.seen.borrow().clone() else { return Err(DriverError::NotFound(self.id.clone())) };
            let hopeless = matches!(seen.state, WorkloadState::GaveUp | WorkloadState::Stopped)
                || (seen.state == WorkloadState::Backoff && seen.restarts >= 2);
            if seen.state == WorkloadState::Ready {
                return Ok(());
            }
            if hopeless || begin.elapsed() >= Duration::from_secs(u64::from(seen.ready_within_s)) {
                return Err(DriverError::NotReady {
                    id: self.id.clone(),
                    seconds: seen.ready_within_s,
                    why: seen.why,
                    tail: logs::tail(&self.folder.log(), 4096),
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is seen now; `None` if it was removed. Reads `/proc`.
    pub fn observation(&self) -> Option<WorkloadObservation> {
        let seen = self.seen.borrow().clone()?;
        let main = seen.main.filter(Birth::alive);
        let resident = main.as_ref().map(|main| {
            let mut pids = self.group.members();
            if pids.is_empty() {
                pids = main.session();
            }
            resident_bytes(&pids)
        });
        let lost = main.is_none()
            && matches!(seen.state, WorkloadState::Ready | WorkloadState::Starting | WorkloadState::Unready);
        Some(WorkloadObservation {
            digest: seen.digest,
            // Between an exit and the next tick: nobody may call a dead process ready.
            state: if lost { WorkloadState::Backoff } else { seen.state },
            pid: main.as_ref().map(|main| main.pid),
            restarts: seen.restarts,
            up_s: main.as_ref().and_then(Birth::up_s),
            resident_bytes: resident,
            why: seen.why,
            edited: seen.edited,
        })
    }
}

//! The seam between decisions and machines: one trait, [`Driver`], and what drivers share.
//!
//! Drivers know workloads, tasks, volumes and routes; they know nothing of Odoo. Every driver runs
//! the same [`contract`] suite, the [`fake`] one included.

pub mod contract;
pub mod fake;
pub mod process;
pub mod shell;

pub use process::{Leftover, LeftoverKind, ProcessDriver, hidden_command};

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::{HostFacts, Stranger, WorkloadObservation, WorkloadState};
use springtide_core::workload::{Root, UserSpec, Volume, VolumeMount, WorkloadId, WorkloadSpec};

/// A number that grows with every operation. A driver refuses a call that carries a lower one than
/// it has seen, so that a late executor cannot act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A spec whose secrets are resolved: configuration files and environment as plain text. It exists
/// between executor and driver only, has no `Debug`, and a driver stores it owner-only.
#[derive(Clone, Serialize, Deserialize)]
pub struct ResolvedWorkload {
    /// The spec as planned; its digest is the workload's label.
    pub spec: WorkloadSpec,
    /// Digest of `spec`.
    pub digest: Digest,
    /// Content of each file of `spec.files`, same order.
    pub files: Vec<String>,
    /// Value of each variable of `spec.env`.
    pub env: BTreeMap<String, String>,
}

/// A command that runs to its end beside the workloads: installing modules, copying a database.
/// Has no `Debug`: `env` and `files` may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Task {
    /// A word for logs and folders, such as `install-prod`.
    pub name: String,
    /// File system it starts in.
    pub root: Root,
    /// Program and arguments, without secrets.
    pub command: Vec<String>,
    /// Environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Configuration files (name, content) below the configuration path.
    pub files: Vec<(String, String)>,
    /// Folders of this machine (or volume claims) and where the task sees them.
    pub mounts: Vec<TaskMount>,
    /// Identity.
    pub user: UserSpec,
    /// What it can reach.
    #[serde(default)]
    pub network: Network,
    /// Deadline in seconds; the task is killed with all its children when it passes.
    pub deadline_s: u32,
}

/// What a task can reach over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// All that this machine can.
    #[default]
    Machine,
    /// Nothing but itself: a loopback of its own, no route out and nothing in. Sockets that are files in a folder
    /// it is given still work. A driver that cannot keep a task apart refuses to run it.
    None,
}

/// A folder a task sees.
#[derive(Clone, Serialize, Deserialize)]
pub struct TaskMount {
    /// Folder on this machine.
    pub from: PathBuf,
    /// Absolute path as the task sees it, below `/srv/springtide`.
    pub at: String,
    /// Whether the task may not write to it.
    pub read_only: bool,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOutcome {
    /// Exit code; `None` if a signal or the deadline ended it.
    pub code: Option<i32>,
    /// Last lines of its output, at most 16 KiB.
    pub tail: String,
    /// The whole output.
    pub log: PathBuf,
}

/// What `ensure_workload` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ensured {
    /// It ran with this digest already.
    Unchanged,
    /// It was started.
    Started,
    /// It was stopped gracefully and started anew.
    Restarted,
    /// Only reloadable files differed: they were replaced and the workload told (SIGHUP).
    Reloaded,
}

/// Why a driver call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A newer operation has been here.
    #[error("generation {ours} is older than {seen}, which has acted on this estate since")]
    Fenced {
        /// Ours.
        ours: u64,
        /// The newest the driver has seen.
        seen: u64,
    },
    /// The workload did not become ready in time.
    #[error("{id} was not ready within {seconds} s: {why}")]
    NotReady {
        /// Which workload.
        id: WorkloadId,
        /// Its deadline.
        seconds: u32,
        /// What the probe last saw, or how the process ended.
        why: String,
        /// Last lines of its log.
        tail: String,
    },
    /// A port that the workload needs is taken by somebody else.
    #[error("port {port} for {id} is in use by {holder}")]
    PortInUse {
        /// Which workload.
        id: WorkloadId,
        /// The port.
        port: u16,
        /// Process name and pid, if they can be seen.
        holder: String,
    },
    /// The workload does not exist.
    #[error("{0} does not exist here")]
    NotFound(WorkloadId),
    /// The workload exists and does not run, so nothing can be done inside it.
    #[error("{id} does not run: {}", state_words(*.state))]
    NotRunning {
        /// Which workload.
        id: WorkloadId,
        /// The state it is in.
        state: WorkloadState,
    },
    /// Something the driver needs is missing on this machine.
    #[error("{what} is missing: {hint}")]
    Missing {
        /// What.
        what: String,
        /// What to do.
        hint: String,
    },
    /// An operating-system call failed.
    #[error("cannot {verb} {object}")]
    Io {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The supervisor cannot be reached or answered nonsense.
    #[error("supervisor: {0}")]
    Supervisor(String),
}

/// A state in words.
fn state_words(state: WorkloadState) -> &'static str {
    match state {
        WorkloadState::Starting => "it is starting",
        WorkloadState::Ready => "it is ready",
        WorkloadState::Unready => "it is not ready",
        WorkloadState::Backoff => "it ended and waits for its next start",
        WorkloadState::GaveUp => "it ended too often and was given up",
        WorkloadState::Stopped => "it is stopped",
        WorkloadState::Unwatched => "nobody watches it",
    }
}

/// What a driver sees of everything it runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DriverObservation {
    /// Facts of the machine.
    pub host: HostFacts,
    /// All workloads it holds, running or not.
    pub workloads: BTreeMap<WorkloadId, WorkloadObservation>,
    /// Processes with a Unix id of Springtide's range that are no part of a workload, a task or a command.
    /// Told and never touched.
    #[serde(default)]
    pub strangers: Vec<Stranger>,
}

/// Runs workloads, tasks and volumes.
///
/// # Contract
/// - Every call is idempotent: repeating it after success changes nothing and succeeds.
/// - A call may be cut off at any point (`kill -9` of the caller); repeating it converges.
/// - At most one live instance of a workload exists, also while it is being replaced.
/// - Workloads outlive the caller and the supervisor; they are recognised again by pid and start
///   time together.
/// - `generation` fences: a lower one than seen before is refused with [`DriverError::Fenced`] and
///   changes nothing.
/// - Observation never changes anything and never reports what was merely requested.
/// - No secret appears in errors, logs, labels or argument lists.
/// - A task with [`Network::None`] reaches nothing but itself, and is not run where that cannot be kept.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What is seen now.
    async fn observe(&self) -> Result<DriverObservation, DriverError>;

    /// The highest generation that was seen; 0 before the first call that acts.
    fn fence(&self) -> Generation;

    /// A number that differs from an earlier answer once a workload may have begun, ended or changed since.
    /// Asked several times a second, so it costs next to nothing; none where it cannot be told so cheaply.
    fn mark(&self) -> Option<u64> {
        None
    }

    /// Lets this generation act and no lower one any more; has no other effect. What is done beside the driver
    /// is fenced by it: asked first, it keeps back what an older executor may still have under way.
    async fn raise(&self, generation: Generation) -> Result<(), DriverError>;

    /// Makes `workload` run as specified; returns when the process was started (not yet ready).
    /// Running with the same digest: nothing happens. Given up or stopped: started anew.
    async fn ensure_workload(
        &self,
        workload: &ResolvedWorkload,
        generation: Generation,
    ) -> Result<Ensured, DriverError>;

    /// Waits until the workload's probe says ready, at most its `ready_within_s`.
    async fn wait_ready(&self, id: &WorkloadId) -> Result<(), DriverError>;

    /// Stops it by its own rule and keeps its spec, so that it stays stopped until ensured again.
    async fn stop_workload(&self, id: &WorkloadId, generation: Generation) -> Result<(), DriverError>;

    /// Stops it and forgets it, with its configuration and logs. Volumes stay. Absent is success.
    async fn remove_workload(&self, id: &WorkloadId, generation: Generation) -> Result<(), DriverError>;

    /// Runs a task to its end. Output goes to its log as it comes.
    async fn run_task(&self, task: &Task, generation: Generation) -> Result<TaskOutcome, DriverError>;

    /// Runs a command inside a running workload and returns its exit code, 128 and the signal's
    /// number if a signal ended it. The command has root, mounts, network, user, groups, limits and environment of
    /// the workload's main process, and the caller's standard streams; it ends with the caller. An
    /// empty one is the role's shell ([`shell`]). A workload that does not run is refused with
    /// [`DriverError::NotRunning`].
    async fn exec(&self, id: &WorkloadId, command: &[String]) -> Result<i32, DriverError>;

    /// Folder of a volume on this machine (it may not exist yet).
    fn volume(&self, environment: Option<&EnvironmentName>, volume: Volume) -> PathBuf;

    /// Folder for templates and other data that belongs to the estate.
    fn estate_folder(&self) -> PathBuf;

    /// Removes every volume of an environment. Absent is success.
    async fn remove_volumes(&self, environment: &EnvironmentName, generation: Generation) -> Result<(), DriverError>;

    /// Log file of a workload, newest first with its rotated ones.
    fn logs(&self, id: &WorkloadId) -> Vec<PathBuf>;
}

/// The mounts of a spec as task mounts, for a task that must see what a workload sees.
pub fn mounts_of(driver: &dyn Driver, environment: Option<&EnvironmentName>, mounts: &[VolumeMount]) -> Vec<TaskMount> {
    mounts
        .iter()
        .map(|mount| TaskMount {
            from: driver.volume(environment, mount.volume),
            at: mount.at.clone(),
            read_only: mount.read_only,
        })
        .collect()
}

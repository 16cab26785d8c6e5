//! Taking, listing, checking, restoring and pruning backups of an environment's database.
//!
//! [`BackupEngine`] is the seam; [`PgBackRest`] runs Debian's pgBackRest behind it, as the environment's own
//! PostgreSQL user in tasks of the driver. `site` (where, who, with which keys) · `call` (one command of it) ·
//! `error` (its words as typed errors) · `take` · `archive` (what really lies in the archive) · `verify` ·
//! `restore` and `replay` (into a new folder, up to a target).
//!
//! What is decided stands in `springtide_core::backup`: the set for a target, the end of what can be replayed, which
//! sets may go. The rule here: the program's exit code and its "ok" are never the ground for saying that something is
//! good; the list of sets, the names in the archive and the end of the replay are looked at.

mod archive;
mod call;
mod error;
mod progress;
mod replay;
mod restore;
mod site;
mod take;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use springtide_core::backup::{
    Archive, BackupSet, Choice, Continuity, Info, Kind, Label, Line, Lsn, RepoKey, Target, Timeline,
};
use springtide_core::workload::UserSpec;
use springtide_driver::{Driver, Generation};

pub use error::EngineError;
pub use site::Site;
pub use verify::Finding;

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes that are done; of the data directory, or of the log.
    pub done: u64,
    /// Bytes in all, as well as they are known.
    pub total: u64,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Files go into the repository.
    Copy,
    /// Files come out of it.
    Fetch,
    /// The log is replayed.
    Replay,
}

/// Told of progress, about twice a second.
pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Version of the engine and what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Such as 2.
    pub major: u32,
    /// Such as 45.
    pub minor: u32,
}

impl Version {
    /// The oldest that is run: Debian 12's. It restores to an LSN, bundles small files and lists repositories.
    pub const OLDEST: Version = Version { major: 2, minor: 45 };

    /// Whether blocks that did not change can be left out of a changed file.
    pub fn block_incremental(self) -> bool {
        self >= Version { major: 2, minor: 46 }
    }
    /// Whether a versioned repository can be read as it was at a time.
    pub fn repository_as_of(self) -> bool {
        self >= Version { major: 2, minor: 54 }
    }
}

/// How the log lies in the archive behind one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetContinuity {
    /// The set.
    pub label: Label,
    /// The timeline that it is replayed along.
    pub timeline: Timeline,
    /// From its start on.
    pub continuity: Continuity,
}

/// What to restore. Made from a [`Choice`], so that nothing is left to choose.
#[derive(Debug, Clone)]
pub struct RestoreOrder {
    /// The set; it names its repository.
    pub set: BackupSet,
    /// The line to replay along.
    pub line: Line,
    /// Where to end.
    pub target: Target,
    /// The data directory to make; absent or empty.
    pub into: PathBuf,
    /// Whom it is given to.
    pub owner: UserSpec,
}

impl RestoreOrder {
    /// The order for a choice.
    pub fn new(choice: &Choice<'_>, target: Target, into: PathBuf, owner: UserSpec) -> Self {
        Self { set: choice.set.clone(), line: choice.line.clone(), target, into, owner }
    }
}

/// What came of a restore: a data directory that was opened, brought to its target, and shut down cleanly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The set.
    pub set: Label,
    /// The target.
    pub target: Target,
    /// Where the old timeline ended in it; the replay's own word.
    pub ended: Lsn,
    /// Why it ended there, in PostgreSQL's words.
    pub reason: String,
    /// The timeline that it opened.
    pub timeline: Timeline,
    /// Identity of the cluster, the same as the set's.
    pub system_id: u64,
    /// Bytes of the data directory that were fetched.
    pub bytes: u64,
    /// How long fetching took.
    pub fetch: Duration,
    /// How long replaying took, opening and shutting down included.
    pub replay: Duration,
}

/// Backups of one environment.
///
/// # Contract
/// - Every call may be cut off at any point, by the end of this process or of the engine's; repeating it converges.
/// - A set that [`take`](Self::take) returns is in [`list`](Self::list), without an error, and began after the call.
/// - [`restore`](Self::restore) writes into a folder that nobody has, under another name until it is whole, and ends
///   exactly at its target or fails. It never touches the environment that was backed up.
/// - Nothing goes but by [`prune`](Self::prune), and that takes only what is named.
/// - No secret appears in errors, logs or argument lists.
#[async_trait]
pub trait BackupEngine: Send + Sync {
    /// Version of the program. Fails if it is absent or too old.
    async fn version(&self) -> Result<Version, EngineError>;

    /// Sets the repositories up for this environment, and proves that the server's log arrives in each. The server
    /// must run. Repeated, it changes nothing.
    async fn prepare(&self) -> Result<(), EngineError>;

    /// Takes a backup into a repository. Without a full set to build on, any kind becomes a full one.
    async fn take(&self, repo: RepoKey, kind: Kind, watch: Watch<'_>) -> Result<BackupSet, EngineError>;

    /// The sets of a repository.
    async fn list(&self, repo: RepoKey) -> Result<Info, EngineError>;

    /// What lies in a repository's archive of the environment's newest cluster.
    async fn archive(&self, repo: RepoKey) -> Result<Archive, EngineError>;

    /// From each set on, what of the log is there.
    async fn wal_continuity(&self, repo: RepoKey) -> Result<Vec<SetContinuity>, EngineError>;

    /// Reads everything in a repository and compares it with its checksums. None means that nothing was found.
    async fn verify(&self, repo: RepoKey) -> Result<Vec<Finding>, EngineError>;

    /// Restores into a new folder.
    async fn restore(&self, order: &RestoreOrder, watch: Watch<'_>) -> Result<Restored, EngineError>;

    /// Removes sets and the log that no set needs any more. Sets that build on a named one must be named too.
    async fn prune(&self, repo: RepoKey, labels: &[Label]) -> Result<(), EngineError>;
}

/// pgBackRest in tasks of a driver.
pub struct PgBackRest {
    driver: Arc<dyn Driver>,
    generation: Generation,
    site: Site,
}

impl PgBackRest {
    /// The engine of one environment, for one operation.
    pub fn new(driver: Arc<dyn Driver>, generation: Generation, site: Site) -> Self {
        Self { driver, generation, site }
    }
}

#[async_trait]
impl BackupEngine for PgBackRest {
    async fn version(&self) -> Result<Version, EngineError> {
        self.program_version().await
    }
    async fn prepare(&self) -> Result<(), EngineError> {
        self.set_up().await
    }
    async fn take(&self, repo: RepoKey, kind: Kind, watch: Watch<'_>) -> Result<BackupSet, EngineError> {
        self.take_set(repo, kind, watch).await
    }
    async fn list(&self, repo: RepoKey) -> Result<Info, EngineError> {
        self.info(repo).await
    }
    async fn archive(&self, repo: RepoKey) -> Result<Archive, EngineError> {
        self.archive_of(repo).await
    }
    async fn wal_continuity(&self, repo: RepoKey) -> Result<Vec<SetContinuity>, EngineError> {
        self.continuity_of(repo).await
    }
    async fn verify(&self, repo: RepoKey) -> Result<Vec<Finding>, EngineError> {
        self.verify_all(repo).await
    }
    async fn restore(&self, order: &RestoreOrder, watch: Watch<'_>) -> Result<Restored, EngineError> {
        self.restore_order(order, watch).await
    }
    async fn prune(&self, repo: RepoKey, labels: &[Label]) -> Result<(), EngineError> {
        self.prune_sets(repo, labels).await
    }
}

//! The store: one SQLite file, all SQL of the control plane below this module.
//!
//! What is stored, because nothing else can tell it again:
//! - `environments`: slot and series an environment holds, the host of its certificate, which places of its
//!   backups were prepared, and why its data may go once that was decided;
//! - `seeds`: environments that are filled from a restore, and from which;
//! - `operations` and `steps`: the journal, every step written before its effect and again after;
//! - `epochs`: who began to act, in order; `leases`: which operation has which environment in hand;
//! - `hold`: the stop switch; `approved`: what was approved per environment; `estate_file`: the last valid
//!   text of the estate file;
//! - `events`: the newest happenings, for those who follow;
//! - `backup_runs`, `canaries`, `proofs`, `mirrors`: what was tried and proven of recovery;
//! - `tokens`, `login_codes`, `sessions`: who may come in, secrets as hashes; `answers`: those of requests that
//!   may be repeated.
//!
//! Everything else is observed. The rule that keeps it right: whatever a controller writes carries its
//! [`Epoch`] and is refused in the same transaction if a newer one was taken ([`StoreError::Fenced`]); an
//! event is written in the transaction of what it tells. Writers that come together share one commit (`group`).

mod approved;
mod backup;
mod environments;
mod epochs;
mod events;
mod group;
mod hold;
mod journal;
mod pages;
mod recovery;
#[cfg(test)]
mod tests;
pub mod tokens;

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::Notify;

use self::group::{Alone, Grouped};

pub use approved::{Approvals, Approved};
pub use backup::{Backup, KEPT, Restored, backups, check_file, recorded, restore};
pub use environments::EnvironmentRecord;
pub use epochs::{ControllerKind, Epoch, EpochRecord};
pub use events::{Event, EventKind, MOST_EVENTS, NewEvent};
pub use hold::Held;
pub use journal::{Begin, CUT_OFF, DONE, Intent, OperationRecord, StepRecord};
pub use recovery::{BackupRun, CanaryRecord, MirrorRecord, ProofRun};

/// The store could not be read or written, or refused what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("cannot {verb} the store")]
    Sqlite {
        /// What was attempted.
        verb: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It was written by a newer Springtide.
    #[error("the store is of version {found}, newer than this program's {ours}; use the newer springtide")]
    Newer {
        /// In the file.
        found: i64,
        /// Ours.
        ours: i64,
    },
    /// SQLite can open it and finds it broken.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another controller has begun to act since.
    #[error("epoch {ours} is over: {by} has taken epoch {newest}")]
    Fenced {
        /// Ours.
        ours: u64,
        /// The newest.
        newest: u64,
        /// Who took it.
        by: String,
    },
    /// The stop switch is set.
    #[error("held since {}: {}", .0.since, .0.reason)]
    Held(Held),
    /// Another operation has the environment in hand.
    #[error("operation {operation} has {environment} in hand")]
    Busy {
        /// Which environment, or `the estate's own parts`.
        environment: String,
        /// Which operation.
        operation: u64,
    },
    /// A backup of the store could not be written or used.
    #[error("cannot {verb} {}", path.display())]
    Backup {
        /// What was attempted.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What of the machine is behind a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreTrouble {
    /// No room on its file system.
    Full,
    /// Its file or file system may not be written.
    ReadOnly,
    /// Its file is no store, or not whole.
    Damaged,
    /// A newer Springtide wrote it.
    Newer,
}

impl StoreError {
    /// The trouble, if it is one that a person must mend.
    pub fn trouble(&self) -> Option<StoreTrouble> {
        use rusqlite::ErrorCode as C;
        match self {
            StoreError::Newer { .. } => Some(StoreTrouble::Newer),
            StoreError::Damaged(_) => Some(StoreTrouble::Damaged),
            StoreError::Sqlite { source, .. } => match source.sqlite_error_code()? {
                C::DiskFull => Some(StoreTrouble::Full),
                C::ReadOnly => Some(StoreTrouble::ReadOnly),
                // A missing table: the file is a database of somebody else.
                C::NotADatabase | C::DatabaseCorrupt | C::Unknown => Some(StoreTrouble::Damaged),
                _ => None,
            },
            StoreError::Backup { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Some(StoreTrouble::Full),
                std::io::ErrorKind::ReadOnlyFilesystem => Some(StoreTrouble::ReadOnly),
                _ => None,
            },
            StoreError::Fenced { .. } | StoreError::Held(_) | StoreError::Busy { .. } => None,
        }
    }
}

fn sqlite(verb: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sqlite { verb, source }
}

/// The store.
pub struct Store {
    connection: Grouped,
    /// Told after every transaction that wrote events.
    appended: Notify,
    path: PathBuf,
}

/// What each version added, oldest first; a store is brought up to date one by one.
const VERSIONS: &[&str] = &[
    "
    CREATE TABLE environments (
        name TEXT PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, series TEXT NOT NULL,
        certificate_host TEXT, certificate_until INTEGER) STRICT;
    CREATE TABLE operations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, plan TEXT NOT NULL, began INTEGER NOT NULL,
        ended INTEGER, outcome TEXT) STRICT;
    CREATE TABLE steps (
        operation INTEGER NOT NULL REFERENCES operations(id), number INTEGER NOT NULL,
        environment TEXT, title TEXT NOT NULL, action TEXT NOT NULL, began INTEGER NOT NULL,
        ended INTEGER, error TEXT, PRIMARY KEY (operation, number)) STRICT;
",
    "ALTER TABLE environments ADD COLUMN destroying TEXT;",
    // Epochs go on where the numbers of operations, which fenced before, have come to.
    "
    ALTER TABLE operations ADD COLUMN environment TEXT;
    ALTER TABLE operations ADD COLUMN epoch INTEGER;
    ALTER TABLE operations ADD COLUMN by TEXT;
    CREATE TABLE epochs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, taken INTEGER NOT NULL, by TEXT NOT NULL, kind TEXT NOT NULL) STRICT;
    INSERT INTO epochs (id, taken, by, kind)
        SELECT id, began, 'an operation of an older springtide', 'command' FROM operations ORDER BY id DESC LIMIT 1;
    CREATE TABLE leases (
        environment TEXT PRIMARY KEY, operation INTEGER NOT NULL REFERENCES operations(id),
        epoch INTEGER NOT NULL, since INTEGER NOT NULL) STRICT;
    CREATE TABLE hold (
        id INTEGER PRIMARY KEY CHECK (id = 1), reason TEXT NOT NULL, by TEXT NOT NULL, since INTEGER NOT NULL) STRICT;
    CREATE TABLE approved (
        environment TEXT PRIMARY KEY, wanted TEXT NOT NULL, done INTEGER NOT NULL, by TEXT NOT NULL,
        at INTEGER NOT NULL) STRICT;
    CREATE TABLE estate_file (
        id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL,
        environment TEXT, operation INTEGER, data TEXT NOT NULL) STRICT;
    CREATE INDEX operations_open ON operations (id) WHERE ended IS NULL;
",
    tokens::TABLES,
    "
    ALTER TABLE environments ADD COLUMN repository TEXT;
    CREATE TABLE seeds (environment TEXT PRIMARY KEY, seed TEXT NOT NULL) STRICT;
",
    recovery::TABLES,
];

impl Store {
    /// Opens or creates the store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite would let everybody read it, and gives its other files the mode of this one. A file
        // that cannot be made here is told by SQLite itself, with its code.
        let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let connection = Connection::open(path).map_err(sqlite("open"))?;
        connection.execute_batch("PRAGMA busy_timeout = 5000").map_err(sqlite("open"))?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite("read"))?;
        let ours = VERSIONS.len() as i64;
        if found > ours {
            return Err(StoreError::Newer { found, ours });
        }
        // The first of these writes the file, so a newer one must have been refused before.
        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON";
        connection.execute_batch(pragmas).map_err(sqlite("open"))?;
        for (number, change) in (1..).zip(VERSIONS).skip(usize::try_from(found).unwrap_or_default()) {
            let step = format!("BEGIN IMMEDIATE; {change} PRAGMA user_version = {number}; COMMIT;");
            connection.execute_batch(&step).map_err(sqlite("bring up to date"))?;
        }
        Ok(Self { connection: Grouped::new(connection), appended: Notify::new(), path: path.to_owned() })
    }

    fn connection(&self) -> Alone<'_> {
        self.connection.alone()
    }

    /// One transaction that writes; what others write at the same time is committed with it.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.connection.write(work)
    }

    /// The same for a controller: refused if a newer epoch was taken.
    fn act<T>(&self, epoch: Epoch, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.write(|transaction| {
            epochs::fence(transaction, epoch)?;
            work(transaction)
        })
    }
}

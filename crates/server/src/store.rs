//! The store: one SQLite file, all SQL of the control plane in one module.
//!
//! What is stored, because nothing else can tell it again: which slot and series an environment
//! holds, for which host its certificate was issued, and the journal: every operation, and every
//! step of it, written before its effect and again after. Everything else is observed.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, OptionalExtension as _, params};
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::series::Series;

/// The store could not be read or written.
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
            StoreError::Sqlite { source, .. } => match source.sqlite_error_code()? {
                C::DiskFull => Some(StoreTrouble::Full),
                C::ReadOnly => Some(StoreTrouble::ReadOnly),
                // A missing table: the file is a database of somebody else.
                C::NotADatabase | C::DatabaseCorrupt | C::Unknown => Some(StoreTrouble::Damaged),
                _ => None,
            },
        }
    }
}

fn sqlite(verb: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Sqlite { verb, source }
}

/// An environment that holds something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRecord {
    /// Its name.
    pub name: EnvironmentName,
    /// Its slot.
    pub slot: Slot,
    /// Series its data was made with.
    pub series: Series,
    /// Host and end (seconds since 1970) of its certificate.
    pub certificate: Option<(String, i64)>,
    /// Why its data may be removed, once that was decided for good.
    pub destroying: Option<String>,
}

/// A recorded operation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OperationRecord {
    /// Its number, also its generation.
    pub id: u64,
    /// Name of its plan.
    pub plan: String,
    /// When it began, seconds since 1970.
    pub began: i64,
    /// When it ended; none while it runs or if it was cut off.
    pub ended: Option<i64>,
    /// `done`, or why it failed.
    pub outcome: Option<String>,
    /// Steps begun and steps done.
    pub steps: (u64, u64),
}

/// A recorded step.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepRecord {
    /// Its number from 0.
    pub number: u64,
    /// Its environment; none for the estate's own parts.
    pub environment: Option<String>,
    /// What it did.
    pub title: String,
    /// When it began, seconds since 1970.
    pub began: i64,
    /// When it ended; none while it runs or if it was cut off.
    pub ended: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The store.
pub struct Store(Mutex<Connection>);

/// What each version added, oldest first; a store is brought up to date one by one.
const VERSIONS: [&str; 2] = [
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
];

impl Store {
    /// Opens or creates the store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite would let everybody read it, and gives its other files the mode of this one. A file
        // that cannot be made here is told by SQLite itself, with its code.
        let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let connection = Connection::open(path).map_err(sqlite("open"))?;
        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;";
        connection.execute_batch(pragmas).map_err(sqlite("open"))?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite("read"))?;
        let ours = VERSIONS.len() as i64;
        if found > ours {
            return Err(StoreError::Newer { found, ours });
        }
        for (number, change) in (1..).zip(VERSIONS).skip(usize::try_from(found).unwrap_or_default()) {
            let step = format!("BEGIN IMMEDIATE; {change} PRAGMA user_version = {number}; COMMIT;");
            connection.execute_batch(&step).map_err(sqlite("bring up to date"))?;
        }
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All environments that hold something.
    pub fn environments(&self) -> Result<Vec<EnvironmentRecord>, StoreError> {
        let connection = self.connection();
        let mut select = connection
            .prepare("SELECT name, slot, series, certificate_host, certificate_until, destroying FROM environments ORDER BY name")
            .map_err(sqlite("read"))?;
        let parse = |column: usize, text: String, error: String| {
            let kind = rusqlite::types::Type::Text;
            rusqlite::Error::FromSqlConversionFailure(column, kind, format!("{text}: {error}").into())
        };
        let rows = select
            .query_map([], |row| {
                let name: String = row.get(0)?;
                let series: String = row.get(2)?;
                let host: Option<String> = row.get(3)?;
                let until: Option<i64> = row.get(4)?;
                Ok(EnvironmentRecord {
                    name: name.parse().map_err(|e| parse(0, name, format!("{e}")))?,
                    slot: Slot(row.get(1)?),
                    series: series.parse().map_err(|e| parse(2, series, format!("{e}")))?,
                    certificate: host.zip(until),
                    destroying: row.get(5)?,
                })
            })
            .map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Records the slot of an environment; the same again is success.
    pub fn reserve(&self, name: &EnvironmentName, slot: Slot, series: Series) -> Result<(), StoreError> {
        let values = params![name.as_str(), slot.0, series.to_string()];
        let insert = "INSERT INTO environments (name, slot, series) VALUES (?1, ?2, ?3)
                      ON CONFLICT (name) DO NOTHING";
        self.connection().execute(insert, values).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Records for whom and until when a certificate was issued.
    pub fn certified(&self, name: &EnvironmentName, host: &str, until: i64) -> Result<(), StoreError> {
        let update = "UPDATE environments SET certificate_host = ?2, certificate_until = ?3 WHERE name = ?1";
        self.connection().execute(update, params![name.as_str(), host, until]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Records that an environment is being destroyed, and why its data may go.
    pub fn record_destruction(&self, name: &EnvironmentName, why: &str) -> Result<(), StoreError> {
        let update = "UPDATE environments SET destroying = ?2 WHERE name = ?1";
        self.connection().execute(update, params![name.as_str(), why]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Forgets an environment, its slot is free again.
    pub fn forget(&self, name: &EnvironmentName) -> Result<(), StoreError> {
        let delete = "DELETE FROM environments WHERE name = ?1";
        self.connection().execute(delete, [name.as_str()]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Begins an operation; its number is the generation that fences older ones.
    pub fn begin(&self, plan: &str, now: i64) -> Result<u64, StoreError> {
        let connection = self.connection();
        let insert = "INSERT INTO operations (plan, began) VALUES (?1, ?2)";
        connection.execute(insert, params![plan, now]).map_err(sqlite("write"))?;
        Ok(connection.last_insert_rowid() as u64)
    }

    /// Writes a step down before its effect.
    pub fn intend(
        &self,
        operation: u64,
        number: usize,
        environment: Option<&EnvironmentName>,
        title: &str,
        action: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let insert =
            "INSERT INTO steps (operation, number, environment, title, action, began) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let environment = environment.map(EnvironmentName::as_str);
        let values = params![operation as i64, number as i64, environment, title, action, now];
        self.connection().execute(insert, values).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Writes down how a step ended.
    pub fn settle(&self, operation: u64, number: usize, error: Option<&str>, now: i64) -> Result<(), StoreError> {
        let update = "UPDATE steps SET ended = ?3, error = ?4 WHERE operation = ?1 AND number = ?2";
        let values = params![operation as i64, number as i64, now, error];
        self.connection().execute(update, values).map_err(sqlite("write"))?;
        Ok(())
    }

    /// Writes down how an operation ended.
    pub fn end(&self, operation: u64, outcome: &str, now: i64) -> Result<(), StoreError> {
        let update = "UPDATE operations SET ended = ?2, outcome = ?3 WHERE id = ?1";
        self.connection().execute(update, params![operation as i64, now, outcome]).map_err(sqlite("write"))?;
        Ok(())
    }

    /// The newest operations, newest first.
    pub fn operations(&self, most: u32) -> Result<Vec<OperationRecord>, StoreError> {
        let connection = self.connection();
        let mut select = connection
            .prepare(
                "SELECT id, plan, began, ended, outcome,
                   (SELECT count(*) FROM steps WHERE operation = id),
                   (SELECT count(*) FROM steps WHERE operation = id AND ended IS NOT NULL AND error IS NULL)
                 FROM operations ORDER BY id DESC LIMIT ?1",
            )
            .map_err(sqlite("read"))?;
        let rows = select
            .query_map([most], |row| {
                Ok(OperationRecord {
                    id: row.get::<_, i64>(0)? as u64,
                    plan: row.get(1)?,
                    began: row.get(2)?,
                    ended: row.get(3)?,
                    outcome: row.get(4)?,
                    steps: (row.get::<_, i64>(5)? as u64, row.get::<_, i64>(6)? as u64),
                })
            })
            .map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// The steps of an operation, in order.
    pub fn steps(&self, operation: u64) -> Result<Vec<StepRecord>, StoreError> {
        let connection = self.connection();
        let select =
            "SELECT number, environment, title, began, ended, error FROM steps WHERE operation = ?1 ORDER BY number";
        let mut select = connection.prepare(select).map_err(sqlite("read"))?;
        let rows = select
            .query_map([operation as i64], |row| {
                Ok(StepRecord {
                    number: row.get::<_, i64>(0)? as u64,
                    environment: row.get(1)?,
                    title: row.get(2)?,
                    began: row.get(3)?,
                    ended: row.get(4)?,
                    error: row.get(5)?,
                })
            })
            .map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// The step an operation was in when it was cut off, if the newest one was. Commands that people
    /// run inside workloads take no steps and are passed over: one may be open while another plan is applied.
    pub fn interrupted(&self) -> Result<Option<(u64, String)>, StoreError> {
        let select = "SELECT o.id, coalesce((SELECT title FROM steps s WHERE s.operation = o.id AND s.ended IS NULL), 'between steps')
                      FROM operations o WHERE o.id = (SELECT max(id) FROM operations WHERE plan NOT LIKE 'exec %') AND o.ended IS NULL";
        self.connection()
            .query_row(select, [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))
            .optional()
            .map_err(sqlite("read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_the_first_version_is_brought_up_to_date() {
        let folder = std::env::temp_dir().join(format!("springtide-store-old-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("springtide.db");
        let _ = std::fs::remove_file(&path);
        let old = Connection::open(&path).unwrap();
        old.execute_batch(VERSIONS[0]).unwrap();
        old.execute_batch("PRAGMA user_version = 1; INSERT INTO environments VALUES ('prod', 1, '19.0', NULL, NULL)")
            .unwrap();
        drop(old);
        let store = Store::open(&path).unwrap();
        let name = "prod".parse().unwrap();
        assert_eq!(store.environments().unwrap()[0].destroying, None);
        store.record_destruction(&name, "moved away").unwrap();
        drop(store);
        assert_eq!(Store::open(&path).unwrap().environments().unwrap()[0].destroying.as_deref(), Some("moved away"));
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { found: 99, .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_operation_that_was_cut_off_is_named() {
        let folder = std::env::temp_dir().join(format!("springtide-store-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("springtide.db");
        let _ = std::fs::remove_file(&path);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.interrupted().unwrap(), None);
        let operation = store.begin("p-1", 10).unwrap();
        store.intend(operation, 0, None, "run proxy", "{}", 11).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "others may not read the history");
        store.begin("exec prod/web", 11).unwrap();
        assert_eq!(store.interrupted().unwrap(), Some((operation, "run proxy".into())));
        store.settle(operation, 0, None, 12).unwrap();
        store.end(operation, "done", 13).unwrap();
        assert_eq!(store.interrupted().unwrap(), None);
        assert_eq!(store.operations(5).unwrap()[1].steps, (1, 1));
        assert_eq!(store.steps(operation).unwrap()[0].title, "run proxy");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

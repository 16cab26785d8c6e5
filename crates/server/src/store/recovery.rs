//! Recovery as it was lived: backups that were tried, canaries, proofs, and how far the copies of files are.
//!
//! Sets themselves are the repository's and are read there. What stands here is what the repository cannot tell:
//! what was tried and failed, at which time the log was where (also when the database is gone), and what was proven.
//! A proof is kept as it was signed, so that whoever reads it can check it without this store.

use rusqlite::{OptionalExtension as _, params};
use springtide_core::names::EnvironmentName;

use super::{Store, StoreError, sqlite};

/// Tables of this module.
pub(super) const TABLES: &str = "
    CREATE TABLE backup_runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, place TEXT NOT NULL, kind TEXT NOT NULL,
        began INTEGER NOT NULL, ended INTEGER, label TEXT, bytes INTEGER, error TEXT) STRICT;
    CREATE INDEX backup_runs_of ON backup_runs (environment, id);
    CREATE TABLE canaries (
        environment TEXT NOT NULL, after INTEGER NOT NULL, before INTEGER NOT NULL, at INTEGER NOT NULL,
        id INTEGER NOT NULL, note TEXT NOT NULL, PRIMARY KEY (environment, after)) STRICT, WITHOUT ROWID;
    CREATE TABLE restore_points (
        environment TEXT NOT NULL, name TEXT NOT NULL, lsn INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (environment, name)) STRICT, WITHOUT ROWID;
    CREATE TABLE proofs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, label TEXT, began INTEGER NOT NULL,
        ended INTEGER, verdict TEXT, record TEXT) STRICT;
    CREATE INDEX proofs_of ON proofs (environment, id);
    CREATE TABLE mirrors (
        environment TEXT NOT NULL, place TEXT NOT NULL, at INTEGER NOT NULL, files INTEGER NOT NULL,
        bytes INTEGER NOT NULL, wrong INTEGER NOT NULL, PRIMARY KEY (environment, place)) STRICT;
";

/// A backup that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRun {
    /// Its number.
    pub id: u64,
    /// `near` or `far`.
    pub place: String,
    /// `full` or `incr`.
    pub kind: String,
    /// When it began and ended, seconds since 1970; no end while it is under way or when it was cut off.
    pub began: i64,
    /// See `began`.
    pub ended: Option<i64>,
    /// The set, if it was made.
    pub label: Option<String>,
    /// Bytes that it added to the repository.
    pub bytes: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A canary as it was written: by it the log was at a position at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryRecord {
    /// Number of its row in the database.
    pub id: i64,
    /// When it was written, microseconds since 1970.
    pub at: i64,
    /// Position before its commit.
    pub before: u64,
    /// Position after its commit: restored up to here, it is there.
    pub after: u64,
    /// Random, so that a row of another history is not taken for it.
    pub note: String,
}

/// A proof that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofRun {
    /// Its number.
    pub id: u64,
    /// The set that was restored, once it was chosen.
    pub label: Option<String>,
    /// When it began and ended, seconds since 1970.
    pub began: i64,
    /// See `began`; none while it is under way or when it was cut off.
    pub ended: Option<i64>,
    /// `proven`, `failed` or `inconclusive`.
    pub verdict: Option<String>,
    /// The signed record as JSON.
    pub record: Option<String>,
}

/// How far the copy of an environment's files was at its last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRecord {
    /// `near` or `far`.
    pub place: String,
    /// When everything that was there then was copied, seconds since 1970.
    pub at: i64,
    /// Files that were there.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Files whose content does not match their name.
    pub wrong: i64,
}

impl Store {
    /// Notes that a backup is begun; its number.
    pub fn begin_backup(
        &self,
        environment: &EnvironmentName,
        place: &str,
        kind: &str,
        now: i64,
    ) -> Result<u64, StoreError> {
        self.write(|it| {
            let insert = "INSERT INTO backup_runs (environment, place, kind, began) VALUES (?1, ?2, ?3, ?4)";
            it.execute(insert, params![environment.as_str(), place, kind, now]).map_err(sqlite("write"))?;
            Ok(it.last_insert_rowid() as u64)
        })
    }

    /// Notes how it ended: the set and the bytes it added, or why not.
    pub fn end_backup(&self, id: u64, made: Result<(&str, u64), &str>, now: i64) -> Result<(), StoreError> {
        let update = "UPDATE backup_runs SET ended = ?2, label = ?3, bytes = ?4, error = ?5 WHERE id = ?1";
        let (label, bytes, error) = match made {
            Ok((label, bytes)) => (Some(label), i64::try_from(bytes).ok(), None),
            Err(error) => (None, None, Some(error)),
        };
        self.write(|it| {
            it.execute(update, params![id as i64, now, label, bytes, error]).map_err(sqlite("write")).map(drop)
        })
    }

    /// The newest backups that were tried, newest first.
    pub fn backup_runs(&self, environment: &EnvironmentName, most: u32) -> Result<Vec<BackupRun>, StoreError> {
        let connection = self.connection();
        let select = "SELECT id, place, kind, began, ended, label, bytes, error FROM backup_runs
                      WHERE environment = ?1 ORDER BY id DESC LIMIT ?2";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select.query_map(params![environment.as_str(), most], |row| {
            Ok(BackupRun {
                id: row.get::<_, i64>(0)? as u64,
                place: row.get(1)?,
                kind: row.get(2)?,
                began: row.get(3)?,
                ended: row.get(4)?,
                label: row.get(5)?,
                bytes: row.get(6)?,
                error: row.get(7)?,
            })
        });
        rows.map_err(sqlite("read"))?.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Keeps a canary and forgets those before `oldest` (microseconds since 1970), but for the newest of them: a
    /// time just after `oldest` is answered by it.
    pub fn keep_canary(
        &self,
        environment: &EnvironmentName,
        canary: &CanaryRecord,
        oldest: i64,
    ) -> Result<(), StoreError> {
        self.write(|it| {
            let insert = "INSERT OR IGNORE INTO canaries (environment, after, before, at, id, note)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let CanaryRecord { id, at, before, after, note } = canary;
            let values = params![environment.as_str(), *after as i64, *before as i64, at, id, note];
            it.execute(insert, values).map_err(sqlite("write"))?;
            let forget = "DELETE FROM canaries WHERE environment = ?1 AND at < (
                              SELECT max(at) FROM canaries WHERE environment = ?1 AND at <= ?2)";
            it.execute(forget, params![environment.as_str(), oldest]).map_err(sqlite("write")).map(drop)
        })
    }

    /// All canaries of an environment, in the order of the log.
    pub fn canaries(&self, environment: &EnvironmentName) -> Result<Vec<CanaryRecord>, StoreError> {
        let connection = self.connection();
        let select = "SELECT id, at, before, after, note FROM canaries WHERE environment = ?1 ORDER BY after";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select.query_map([environment.as_str()], |row| {
            Ok(CanaryRecord {
                id: row.get(0)?,
                at: row.get(1)?,
                before: row.get::<_, i64>(2)? as u64,
                after: row.get::<_, i64>(3)? as u64,
                note: row.get(4)?,
            })
        });
        rows.map_err(sqlite("read"))?.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Keeps the position of a named point; false if the name is taken.
    pub fn keep_point(
        &self,
        environment: &EnvironmentName,
        name: &str,
        lsn: u64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let insert = "INSERT OR IGNORE INTO restore_points (environment, name, lsn, at) VALUES (?1, ?2, ?3, ?4)";
        let values = params![environment.as_str(), name, lsn as i64, now];
        self.write(|it| it.execute(insert, values).map_err(sqlite("write")).map(|count| count > 0))
    }

    /// Named points of an environment: name, position, when (seconds since 1970); in the order of the log.
    pub fn points(&self, environment: &EnvironmentName) -> Result<Vec<(String, u64, i64)>, StoreError> {
        let connection = self.connection();
        let select = "SELECT name, lsn, at FROM restore_points WHERE environment = ?1 ORDER BY lsn";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select
            .query_map([environment.as_str()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64, row.get(2)?)));
        rows.map_err(sqlite("read"))?.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Notes that a proof is begun; its number.
    pub fn begin_proof(&self, environment: &EnvironmentName, now: i64) -> Result<u64, StoreError> {
        self.write(|it| {
            let insert = "INSERT INTO proofs (environment, began) VALUES (?1, ?2)";
            it.execute(insert, params![environment.as_str(), now]).map_err(sqlite("write"))?;
            Ok(it.last_insert_rowid() as u64)
        })
    }

    /// Notes what came of it. The record is kept as it was signed.
    pub fn end_proof(
        &self,
        id: u64,
        label: Option<&str>,
        verdict: &str,
        record: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let update = "UPDATE proofs SET ended = ?2, label = ?3, verdict = ?4, record = ?5 WHERE id = ?1";
        self.write(|it| {
            it.execute(update, params![id as i64, now, label, verdict, record]).map_err(sqlite("write")).map(drop)
        })
    }

    /// The newest proofs, newest first.
    pub fn proofs(&self, environment: &EnvironmentName, most: u32) -> Result<Vec<ProofRun>, StoreError> {
        let connection = self.connection();
        let select = "SELECT id, label, began, ended, verdict, record FROM proofs
                      WHERE environment = ?1 ORDER BY id DESC LIMIT ?2";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select.query_map(params![environment.as_str(), most], |row| {
            Ok(ProofRun {
                id: row.get::<_, i64>(0)? as u64,
                label: row.get(1)?,
                began: row.get(2)?,
                ended: row.get(3)?,
                verdict: row.get(4)?,
                record: row.get(5)?,
            })
        });
        rows.map_err(sqlite("read"))?.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Sets of an environment that a restore was proven from.
    pub fn proven(&self, environment: &EnvironmentName) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let select = "SELECT DISTINCT label FROM proofs
                      WHERE environment = ?1 AND verdict = 'proven' AND label IS NOT NULL ORDER BY label";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select.query_map([environment.as_str()], |row| row.get(0));
        rows.map_err(sqlite("read"))?.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Notes that everything of an environment's files was copied to a place.
    pub fn mirrored(&self, environment: &EnvironmentName, mirror: &MirrorRecord) -> Result<(), StoreError> {
        let insert = "INSERT INTO mirrors (environment, place, at, files, bytes, wrong) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                      ON CONFLICT (environment, place) DO UPDATE SET
                          at = excluded.at, files = excluded.files, bytes = excluded.bytes, wrong = excluded.wrong";
        let MirrorRecord { place, at, files, bytes, wrong } = mirror;
        let values = params![environment.as_str(), place, at, files, bytes, wrong];
        self.write(|it| it.execute(insert, values).map_err(sqlite("write")).map(drop))
    }

    /// How far the copy in a place is; none if nothing was ever copied there.
    pub fn mirror(&self, environment: &EnvironmentName, place: &str) -> Result<Option<MirrorRecord>, StoreError> {
        let select = "SELECT at, files, bytes, wrong FROM mirrors WHERE environment = ?1 AND place = ?2";
        let found = self.connection().query_row(select, params![environment.as_str(), place], |row| {
            Ok(MirrorRecord {
                place: place.to_owned(),
                at: row.get(0)?,
                files: row.get(1)?,
                bytes: row.get(2)?,
                wrong: row.get(3)?,
            })
        });
        found.optional().map_err(sqlite("read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> (tempfile::TempDir, Store, EnvironmentName) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join(name)).unwrap();
        (folder, store, "prod".parse().unwrap())
    }

    #[test]
    fn the_canary_that_answers_for_the_oldest_time_is_kept() {
        let (_folder, store, prod) = store("a.db");
        for number in 1..=5_i64 {
            let (before, after) = (number as u64 * 10, number as u64 * 10 + 5);
            let canary = CanaryRecord { id: number, before, after, at: number * 100, note: "n".into() };
            store.keep_canary(&prod, &canary, 350).unwrap();
        }
        let left: Vec<i64> = store.canaries(&prod).unwrap().iter().map(|it| it.at).collect();
        assert_eq!(left, [300, 400, 500], "350 is answered by 300");
        assert_eq!(store.canaries(&"shop".parse().unwrap()).unwrap(), []);
    }

    #[test]
    fn a_name_of_a_point_is_given_once() {
        let (_folder, store, prod) = store("a.db");
        assert!(store.keep_point(&prod, "before-upgrade", 10, 1).unwrap());
        assert!(!store.keep_point(&prod, "before-upgrade", 20, 2).unwrap());
        assert_eq!(store.points(&prod).unwrap(), [("before-upgrade".to_owned(), 10, 1)]);
    }

    #[test]
    fn what_was_tried_is_told_whether_it_worked_or_not() {
        let (_folder, store, prod) = store("a.db");
        let cut_off = store.begin_backup(&prod, "near", "full", 10).unwrap();
        let failed = store.begin_backup(&prod, "near", "full", 20).unwrap();
        store.end_backup(failed, Err("no room"), 21).unwrap();
        let made = store.begin_backup(&prod, "near", "full", 30).unwrap();
        store.end_backup(made, Ok(("20261124-031500F", 7)), 40).unwrap();
        let runs = store.backup_runs(&prod, 10).unwrap();
        let told: Vec<_> = runs.iter().map(|it| (it.id, it.ended, it.label.as_deref(), it.error.as_deref())).collect();
        assert_eq!(
            told,
            [
                (made, Some(40), Some("20261124-031500F"), None),
                (failed, Some(21), None, Some("no room")),
                (cut_off, None, None, None),
            ]
        );
    }

    #[test]
    fn only_a_proven_set_is_proven() {
        let (_folder, store, prod) = store("a.db");
        for (label, verdict) in [("one", "proven"), ("two", "failed"), ("three", "inconclusive"), ("one", "proven")] {
            let id = store.begin_proof(&prod, 10).unwrap();
            store.end_proof(id, Some(label), verdict, "{}", 20).unwrap();
        }
        store.begin_proof(&prod, 30).unwrap();
        assert_eq!(store.proven(&prod).unwrap(), ["one"]);
        assert_eq!(store.proofs(&prod, 10).unwrap().len(), 5);
    }
}

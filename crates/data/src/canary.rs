//! Canaries: small rows written into the database `postgres` of an environment, whose numbers, moments and log
//! positions the writer keeps elsewhere too. On a restored copy they say by content where its log ended: all up to
//! the target are there and none after it. They also map a moment that a user names to a log position.
//!
//! Odoo never looks into `postgres` for tables (it only listens and lists databases there), and nobody but the
//! superuser sees the schema.
//!
//! A row holds the log position from just before its commit; the writer is told the one from just after it. So a
//! target at or after the second must have the row, and a target at or before the first must not.

use std::time::{Duration, SystemTime};

use tokio_postgres::types::PgLsn;

use crate::postgres::{Admin, AdminError};

/// One canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Its number; numbers have no gaps.
    pub id: i64,
    /// When it was written, by the writer's clock.
    pub at: SystemTime,
    /// Log position before its commit.
    pub before: u64,
    /// Log position after its commit: restored up to here, it is there.
    pub after: u64,
    /// Random, so that a row of another history is not taken for it.
    pub note: String,
}

/// A row as it is found in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: i64,
    /// When it was written.
    pub at: SystemTime,
    /// Log position before its commit.
    pub before: u64,
    /// Its random note.
    pub note: String,
}

/// Prepares the table, if it is missing. `admin` is connected to the database `postgres`.
pub async fn ensure(admin: &Admin) -> Result<(), AdminError> {
    // Two that ensure at once would both find nothing and one would fail.
    let sql = "BEGIN;
         SELECT pg_advisory_xact_lock(hashtext('springtide.canary'));
         CREATE SCHEMA IF NOT EXISTS springtide;
         REVOKE ALL ON SCHEMA springtide FROM PUBLIC;
         CREATE TABLE IF NOT EXISTS springtide.canary (
             id bigint PRIMARY KEY, at timestamptz NOT NULL, lsn pg_lsn NOT NULL, note text NOT NULL);
         CREATE INDEX IF NOT EXISTS canary_at ON springtide.canary (at);
         COMMIT";
    let made = admin.batch("prepare the canaries", sql).await;
    if made.is_err() {
        admin.batch("end the transaction", "ROLLBACK").await?;
    }
    made
}

/// Writes the next canary and lets those go that are older than `keep`; the newest always stays, so that numbers
/// go on. Durable when it returns.
pub async fn write(admin: &Admin, now: SystemTime, random: [u8; 16], keep: Duration) -> Result<Canary, AdminError> {
    let what = "write a canary";
    let note: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let oldest = now.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
    // One at a time, or two would take one number.
    let begin = "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock(hashtext('springtide.canary'))";
    let done = async {
        admin.batch(what, begin).await?;
        let sql = "INSERT INTO springtide.canary (id, at, lsn, note)
                   SELECT coalesce(max(id), 0) + 1, $1, pg_current_wal_insert_lsn(), $2 FROM springtide.canary
                   RETURNING id, at, lsn";
        let rows = admin.query(what, sql, &[&now, &note]).await?;
        let sql = "DELETE FROM springtide.canary WHERE at < $1 AND id < (SELECT max(id) FROM springtide.canary)";
        admin.execute(what, sql, &[&oldest]).await?;
        admin.batch(what, "COMMIT").await?;
        Ok::<_, AdminError>(rows)
    };
    let rows = match done.await {
        Ok(rows) => rows,
        Err(error) => {
            admin.batch("end the transaction", "ROLLBACK").await?;
            return Err(error);
        }
    };
    let Some(row) = rows.first() else { return Err(AdminError::Absent("canary".into())) };
    let (id, at, before): (i64, SystemTime, PgLsn) = (row.get(0), row.get(1), row.get(2));
    let after = position(admin, what, "SELECT pg_current_wal_insert_lsn()").await?;
    Ok(Canary { id, at, before: before.into(), after, note })
}

async fn position(admin: &Admin, what: &str, sql: &str) -> Result<u64, AdminError> {
    let rows = admin.query(what, sql, &[]).await?;
    rows.first().map(|row| row.get::<_, PgLsn>(0).into()).ok_or_else(|| AdminError::Absent("log position".into()))
}

/// Every canary of a database, oldest first. One that never had any has none.
pub async fn all(admin: &Admin) -> Result<Vec<Row>, AdminError> {
    let what = "read the canaries";
    if !admin.any(what, "SELECT 1 WHERE to_regclass('springtide.canary') IS NOT NULL", &[]).await? {
        return Ok(Vec::new());
    }
    let rows = admin.query(what, "SELECT id, at, lsn, note FROM springtide.canary ORDER BY id", &[]).await?;
    let row = |row: &tokio_postgres::Row| Row {
        id: row.get(0),
        at: row.get(1),
        before: row.get::<_, PgLsn>(2).into(),
        note: row.get(3),
    };
    Ok(rows.iter().map(row).collect())
}

/// The last canary up to a moment and the first after it: the moment's log position lies between theirs.
pub async fn around(admin: &Admin, moment: SystemTime) -> Result<(Option<Row>, Option<Row>), AdminError> {
    let rows = all(admin).await?;
    Ok((rows.iter().rfind(|row| row.at <= moment).cloned(), rows.into_iter().find(|row| row.at > moment)))
}

/// Leaves a named restore point in the log and tells where it ends; a recovery to that name stops exactly there.
///
/// # Errors
/// [`AdminError::Absent`] for a name that is empty, longer than 63 bytes or has control characters.
pub async fn restore_point(admin: &Admin, name: &str) -> Result<u64, AdminError> {
    if name.is_empty() || name.len() > 63 || name.chars().any(char::is_control) {
        return Err(AdminError::Absent("usable name for the restore point".into()));
    }
    let what = "leave a restore point";
    let rows = admin.query(what, "SELECT pg_create_restore_point($1)", &[&name]).await?;
    rows.first().map(|row| row.get::<_, PgLsn>(0).into()).ok_or_else(|| AdminError::Absent("log position".into()))
}

/// Closes the segment of the log that is being written, so that what was committed so far can be archived now, and
/// waits until it was; false if that took longer than `patience`.
pub async fn seal(admin: &Admin, patience: Duration) -> Result<bool, AdminError> {
    let what = "close a segment of the log";
    let rows = admin.query(what, "SELECT pg_walfile_name(pg_switch_wal())", &[]).await?;
    let Some(segment) = rows.first().map(|row| row.get::<_, String>(0)) else { return Ok(false) };
    let begun = std::time::Instant::now();
    // Names of segments order as they are written; a history file in between is no segment.
    let sql = "SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal ~ '^[0-9A-F]{24}$' AND last_archived_wal >= $1";
    loop {
        if admin.any(what, sql, &[&segment]).await? {
            return Ok(true);
        }
        if begun.elapsed() > patience {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What a comparison of a copy's canaries with those that were written says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// What is not as it must be.
    pub found: Vec<String>,
    /// Canaries up to the target that are there.
    pub before: u64,
    /// Canaries after the target that are known and not there.
    pub after: u64,
}

/// Compares the rows of a copy that was restored up to `target` with the canaries that were written. Rows older
/// than every known one are no business of this comparison.
pub fn compare(known: &[Canary], rows: &[Row], target: u64) -> Compared {
    let mut told = Compared::default();
    let of = |id: i64| rows.iter().find(|row| row.id == id);
    for canary in known {
        let named = format!("canary {} at {}", canary.id, lsn(canary.after));
        match of(canary.id) {
            Some(row) if row.note != canary.note => told.found.push(format!("{named} is another one in the copy")),
            Some(_) if canary.before >= target => {
                told.found.push(format!("{named} was written after the target {} and is there", lsn(target)));
            }
            Some(_) => told.before += 1,
            None if canary.after <= target => {
                told.found.push(format!("{named} was written before the target {} and is missing", lsn(target)));
            }
            // Its commit lies before the target or after it; both are right.
            None if canary.before < target => {}
            None => told.after += 1,
        }
    }
    let oldest = known.iter().map(|canary| canary.id).min();
    for row in rows.iter().filter(|row| oldest.is_none_or(|oldest| row.id > oldest)) {
        if !known.iter().any(|canary| canary.id == row.id) {
            told.found.push(format!("canary {} is in the copy and nobody wrote it", row.id));
        }
    }
    told
}

/// A log position in PostgreSQL's writing.
pub fn lsn(position: u64) -> String {
    PgLsn::from(position).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(id: i64) -> Canary {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(id as u64);
        Canary { id, at, before: id as u64 * 100, after: id as u64 * 100 + 50, note: format!("n{id}") }
    }
    fn row(id: i64) -> Row {
        let Canary { id, at, before, note, .. } = canary(id);
        Row { id, at, before, note }
    }
    fn told(rows: &[i64], target: u64) -> Compared {
        let known: Vec<Canary> = (3..=6).map(canary).collect();
        compare(&known, &rows.iter().map(|id| row(*id)).collect::<Vec<_>>(), target)
    }

    #[test]
    fn both_sides_of_the_target_are_judged() {
        // 3 and 4 end before 450, 5 and 6 begin after it; 1 and 2 are older than what is known.
        let good = told(&[1, 2, 3, 4], 450);
        assert_eq!((good.before, good.after, good.found.len()), (2, 2, 0), "{good:?}");
        assert!(told(&[1, 2, 3], 450).found[0].contains("canary 4"), "one is missing");
        assert!(told(&[1, 2, 4], 450).found[0].contains("canary 3"), "one is missing in the middle");
        assert!(told(&[3, 4, 5], 450).found[0].contains("after the target"), "one too many");
        assert!(told(&[3, 4, 9], 450).found[0].contains("nobody wrote it"));
        // Between both positions of 5 either is right.
        assert!(told(&[3, 4], 520).found.is_empty() && told(&[3, 4, 5], 520).found.is_empty());
        assert_eq!(told(&[3, 4, 5], 500).found.len(), 1, "before its commit began it cannot be there");
        let mut other = [row(3), row(4)];
        other[1].note = "of another history".into();
        assert!(compare(&[canary(3), canary(4), canary(5)], &other, 450).found[0].contains("another one"));
        assert_eq!(compare(&[], &[row(1)], 450).found.len(), 1, "nobody knows it");
    }

    #[test]
    fn positions_are_written_as_the_server_does() {
        assert_eq!(lsn(0x1_6B37_4800), "1/6B374800");
    }
}

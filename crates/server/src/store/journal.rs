//! The journal: operations and their steps, each written before its effect and again after; and leases,
//! which say that an operation has an environment in hand.
//!
//! A lease lasts as long as its operation and its epoch, and knows no time of day: a clock that jumps
//! neither loses one nor gives one away. Whoever takes a newer epoch takes all older ones over.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;
use springtide_core::digest::Digest;
use springtide_core::names::EnvironmentName;

use super::approved::{approve, key};
use super::events::append;
use super::hold::held;
use super::{Epoch, EventKind, NewEvent, Store, StoreError, sqlite};

/// How the journal calls an operation that came to its end.
pub const DONE: &str = "done";

/// How it calls one whose controller died or could not write its end down.
pub const CUT_OFF: &str = "cut off";

/// A recorded operation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OperationRecord {
    /// Its number.
    pub id: u64,
    /// Name of its plan.
    pub plan: String,
    /// Its environment; none for the estate's own parts, for several at once, and for what people run.
    pub environment: Option<String>,
    /// Who asked for it; none in journals of the first release.
    pub by: Option<String>,
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

/// An operation that is to begin.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// Who begins it.
    pub epoch: Epoch,
    /// Name of its plan.
    pub plan: &'a str,
    /// Environments it takes in hand, none for the estate's own parts; at least one.
    pub parts: &'a [Option<EnvironmentName>],
    /// What is approved with it.
    pub approved: &'a [(Option<EnvironmentName>, Digest)],
    /// Who asked for it.
    pub by: &'a str,
    /// Steps it has.
    pub steps: usize,
}

/// A step that is about to have its effect.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// Who does it.
    pub epoch: Epoch,
    /// Its operation.
    pub operation: u64,
    /// Its number from 0.
    pub number: usize,
    /// Its environment.
    pub environment: Option<&'a EnvironmentName>,
    /// What it does, for people.
    pub title: &'a str,
    /// What it does, exactly.
    pub action: &'a str,
}

impl Store {
    /// Begins an operation and takes its environments in hand: refused while held, while another operation
    /// has one of them, and for an older epoch.
    pub fn begin(&self, begin: &Begin<'_>, now: i64) -> Result<u64, StoreError> {
        let Begin { epoch, plan, parts, approved, by, steps } = *begin;
        let operation = self.act(epoch, |it| {
            if let Some(held) = held(it)? {
                return Err(StoreError::Held(held));
            }
            let environment = match parts {
                [one] => one.as_ref().map(EnvironmentName::as_str),
                _ => None,
            };
            let insert = "INSERT INTO operations (plan, began, environment, epoch, by) VALUES (?1, ?2, ?3, ?4, ?5)";
            it.execute(insert, params![plan, now, environment, epoch.0 as i64, by]).map_err(sqlite("write"))?;
            let operation = it.last_insert_rowid() as u64;
            for part in parts {
                lease(it, part.as_ref(), operation, epoch, now)?;
            }
            approve(it, approved, false, by, now)?;
            let data = json!({ "plan": plan, "steps": steps, "by": by });
            let environment = environment.map(str::to_owned);
            append(
                it,
                now,
                &NewEvent { kind: EventKind::OperationBegan, environment, operation: Some(operation), data },
            )?;
            Ok(operation)
        })?;
        self.appended.notify_one();
        Ok(operation)
    }

    /// Writes a step down before its effect: refused while held and for an older epoch.
    pub fn intend(&self, intent: &Intent<'_>, now: i64) -> Result<(), StoreError> {
        let Intent { epoch, operation, number, environment, title, action } = *intent;
        self.act(epoch, |it| {
            if let Some(held) = held(it)? {
                return Err(StoreError::Held(held));
            }
            let insert = "INSERT INTO steps (operation, number, environment, title, action, began) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let environment = environment.map(EnvironmentName::as_str);
            let values = params![operation as i64, number as i64, environment, title, action, now];
            it.prepare_cached(insert).and_then(|mut it| it.execute(values)).map_err(sqlite("write"))?;
            let data = json!({ "number": number, "title": title });
            let environment = environment.map(str::to_owned);
            append(it, now, &NewEvent { kind: EventKind::StepBegan, environment, operation: Some(operation), data })
        })?;
        self.appended.notify_one();
        Ok(())
    }

    /// Writes down how a step ended.
    pub fn settle(
        &self,
        epoch: Epoch,
        operation: u64,
        number: usize,
        error: Option<&str>,
        now: i64,
    ) -> Result<(), StoreError> {
        self.act(epoch, |it| {
            let update = "UPDATE steps SET ended = ?3, error = ?4 WHERE operation = ?1 AND number = ?2 RETURNING environment, title";
            let values = params![operation as i64, number as i64, now, error];
            let found: Option<(Option<String>, String)> = it
                .query_row(update, values, |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
                .map_err(sqlite("write"))?;
            let (environment, title) = found.unwrap_or_default();
            // The error itself stays in the journal, where those who show it mask it.
            let data = json!({ "number": number, "title": title, "failed": error.is_some() });
            append(it, now, &NewEvent { kind: EventKind::StepEnded, environment, operation: Some(operation), data })
        })?;
        self.appended.notify_one();
        Ok(())
    }

    /// Writes down how an operation ended, and gives back what it had in hand.
    pub fn end(&self, epoch: Epoch, operation: u64, outcome: &str, now: i64) -> Result<(), StoreError> {
        self.finish(epoch, operation, outcome, false, now)
    }

    /// The same for one that a person cancelled: what it was to do waits for approval again.
    pub fn end_cancelled(&self, epoch: Epoch, operation: u64, why: &str, now: i64) -> Result<(), StoreError> {
        self.finish(epoch, operation, why, true, now)
    }

    fn finish(&self, epoch: Epoch, operation: u64, outcome: &str, withdraw: bool, now: i64) -> Result<(), StoreError> {
        self.act(epoch, |it| {
            if withdraw {
                let delete = "DELETE FROM approved
                              WHERE environment IN (SELECT environment FROM leases WHERE operation = ?1)";
                it.execute(delete, [operation as i64]).map_err(sqlite("write"))?;
            }
            let update =
                "UPDATE operations SET ended = ?2, outcome = ?3 WHERE id = ?1 AND ended IS NULL RETURNING environment";
            let found: Option<Option<String>> = it
                .query_row(update, params![operation as i64, now, outcome], |row| row.get(0))
                .optional()
                .map_err(sqlite("write"))?;
            if outcome == DONE {
                let update = "UPDATE approved SET done = 1
                              WHERE environment IN (SELECT environment FROM leases WHERE operation = ?1)";
                it.execute(update, [operation as i64]).map_err(sqlite("write"))?;
            }
            it.execute("DELETE FROM leases WHERE operation = ?1", [operation as i64]).map_err(sqlite("write"))?;
            let Some(environment) = found else { return Ok(()) };
            let data = json!({ "outcome": outcome });
            let kind = EventKind::OperationEnded;
            append(it, now, &NewEvent { kind, environment, operation: Some(operation), data }).map(drop)
        })?;
        self.appended.notify_one();
        Ok(())
    }

    /// Operations of this epoch and older ones that have not ended, but commands of people.
    pub fn open_operations(&self, epoch: Epoch) -> Result<Vec<u64>, StoreError> {
        let connection = self.connection();
        let select = format!(
            "SELECT id FROM operations WHERE ended IS NULL AND NOT {COMMAND} AND coalesce(epoch, 0) <= ?1 ORDER BY id"
        );
        let mut select = connection.prepare_cached(&select).map_err(sqlite("read"))?;
        let rows =
            select.query_map([epoch.0 as i64], |row| Ok(row.get::<_, i64>(0)? as u64)).map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Records a command of a person beside all plans, such as `exec prod/web` or `session revoke prod`; it
    /// takes nothing in hand. [`COMMAND`] knows its first word.
    pub fn begin_command(&self, what: &str, by: &str, now: i64) -> Result<u64, StoreError> {
        self.write(|it| {
            let insert = "INSERT INTO operations (plan, began, by) VALUES (?1, ?2, ?3)";
            it.execute(insert, params![what, now, by]).map_err(sqlite("write"))?;
            Ok(it.last_insert_rowid() as u64)
        })
    }

    /// Records how such a command ended.
    pub fn end_command(&self, operation: u64, outcome: &str, now: i64) -> Result<(), StoreError> {
        let update = format!("UPDATE operations SET ended = ?2, outcome = ?3 WHERE id = ?1 AND {COMMAND}");
        self.write(|it| it.execute(&update, params![operation as i64, now, outcome]).map_err(sqlite("write")).map(drop))
    }

    /// The newest operations, newest first.
    pub fn operations(&self, most: u32) -> Result<Vec<OperationRecord>, StoreError> {
        self.operations_before(u64::MAX, None, most)
    }

    /// Operations older than `before`, newest first; only those that touched `environment`, if it is given.
    pub fn operations_before(
        &self,
        before: u64,
        environment: Option<&EnvironmentName>,
        most: u32,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let connection = self.connection();
        let select = format!(
            "{OPERATIONS} WHERE id < ?1 AND (?2 IS NULL OR environment = ?2
               OR EXISTS (SELECT 1 FROM steps s WHERE s.operation = id AND s.environment = ?2))
             ORDER BY id DESC LIMIT ?3"
        );
        let mut select = connection.prepare_cached(&select).map_err(sqlite("read"))?;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let values = params![before, environment.map(EnvironmentName::as_str), most];
        let rows = select.query_map(values, operation).map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// One operation.
    pub fn operation(&self, id: u64) -> Result<Option<OperationRecord>, StoreError> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        let connection = self.connection();
        let mut select = connection.prepare_cached(&format!("{OPERATIONS} WHERE id = ?1")).map_err(sqlite("read"))?;
        select.query_row([id], operation).optional().map_err(sqlite("read"))
    }

    /// The steps of an operation, in order.
    pub fn steps(&self, operation: u64) -> Result<Vec<StepRecord>, StoreError> {
        let connection = self.connection();
        let select =
            "SELECT number, environment, title, began, ended, error FROM steps WHERE operation = ?1 ORDER BY number";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select
            .query_map([i64::try_from(operation).unwrap_or(-1)], |row| {
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
        let select = format!(
            "SELECT o.id, coalesce((SELECT title FROM steps s WHERE s.operation = o.id AND s.ended IS NULL), 'between steps')
             FROM operations o WHERE o.id = (SELECT max(id) FROM operations WHERE NOT {COMMAND}) AND o.ended IS NULL"
        );
        self.connection()
            .query_row(&select, [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))
            .optional()
            .map_err(sqlite("read"))
    }
}

/// Whether a row is a command of a person beside all plans: those have a word where others have a plan's digest.
pub(super) const COMMAND: &str =
    "(plan LIKE 'exec %' OR plan LIKE 'session %' OR plan LIKE 'rehearse %' OR plan LIKE 'rig %')";

pub(super) const OPERATIONS: &str = "SELECT id, plan, began, ended, outcome, environment, by,
       (SELECT count(*) FROM steps WHERE operation = id),
       (SELECT count(*) FROM steps WHERE operation = id AND ended IS NOT NULL AND error IS NULL)
     FROM operations";

pub(super) fn operation(row: &Row<'_>) -> Result<OperationRecord, rusqlite::Error> {
    Ok(OperationRecord {
        id: row.get::<_, i64>(0)? as u64,
        plan: row.get(1)?,
        began: row.get(2)?,
        ended: row.get(3)?,
        outcome: row.get(4)?,
        environment: row.get(5)?,
        by: row.get(6)?,
        steps: (row.get::<_, i64>(7)? as u64, row.get::<_, i64>(8)? as u64),
    })
}

/// Takes an environment in hand, unless another operation of this epoch has it.
fn lease(
    it: &Connection,
    part: Option<&EnvironmentName>,
    operation: u64,
    epoch: Epoch,
    now: i64,
) -> Result<(), StoreError> {
    let select = "SELECT operation FROM leases WHERE environment = ?1 AND epoch >= ?2";
    let holder: Option<i64> = it
        .query_row(select, params![key(part), epoch.0 as i64], |row| row.get(0))
        .optional()
        .map_err(sqlite("read"))?;
    if let Some(holder) = holder {
        let environment = part.map_or_else(|| "the estate's own parts".to_owned(), ToString::to_string);
        return Err(StoreError::Busy { environment, operation: holder as u64 });
    }
    let insert = "INSERT INTO leases (environment, operation, epoch, since) VALUES (?1, ?2, ?3, ?4)
                  ON CONFLICT (environment) DO UPDATE SET operation = ?2, epoch = ?3, since = ?4";
    it.execute(insert, params![key(part), operation as i64, epoch.0 as i64, now]).map_err(sqlite("write")).map(drop)
}

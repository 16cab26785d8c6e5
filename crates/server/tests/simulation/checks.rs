//! What must always hold, each a check of its own that can be switched off to show that it is the one that
//! catches. The first violation of a run is kept, with the moment it was seen.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// No effect without its step in the journal, open.
    Intent,
    /// No effect of an older epoch after a newer one has had one.
    Fence,
    /// No line in the journal by an older epoch after a newer one was taken.
    Journal,
    /// At most one live instance of a workload.
    Single,
    /// One operation at a time has an environment in hand.
    OneOperation,
    /// Nothing is removed without a recorded reason and a person who asked.
    Reason,
    /// No step begins while held.
    Held,
    /// Nothing is brought about that no person approved.
    Approval,
    /// Every operation ends once, and is called done only if all its steps are.
    Ended,
    /// No lease without an open operation.
    Leases,
    /// Events have no gap, and tell of every beginning and end once.
    Events,
    /// No slot is given while something stands on it.
    Slots,
    /// Nothing is left of an environment that is gone.
    Orphans,
    /// Once faults stop, a server brings about what is declared, and then has nothing to do.
    Converged,
    /// The store is whole.
    Store,
}

/// What was seen to be wrong first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub check: Check,
    pub at_ms: u64,
    pub what: String,
}

/// The journal as an auditor reads it: by a connection of its own, and by SQL that is not the store's.
pub struct Auditor {
    connection: Connection,
    last_event: u64,
    began: BTreeMap<u64, u64>,
    ended: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
}

type Found = Result<(), (Check, String)>;

impl Auditor {
    pub fn open(path: &std::path::Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA busy_timeout = 1000;").unwrap();
        Self { connection, last_event: 0, began: BTreeMap::new(), ended: BTreeSet::new(), cancelled: BTreeSet::new() }
    }

    /// Changes the store's file behind its back.
    pub fn tamper(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    fn number(&self, sql: &str, values: impl rusqlite::Params) -> u64 {
        let mut select = self.connection.prepare_cached(sql).unwrap();
        select.query_row(values, |row| row.get::<_, i64>(0)).unwrap() as u64
    }

    pub fn newest_epoch(&self) -> u64 {
        self.number("SELECT coalesce(max(id), 0) FROM epochs", [])
    }

    /// Whether a step is in the journal, and whether it is open: `None`, `Some(false)`, `Some(true)`.
    pub fn step(&self, epoch: u64, action: &str) -> Option<bool> {
        let sql = "SELECT s.ended IS NULL FROM operations o JOIN steps s ON s.operation = o.id
                   WHERE o.epoch = ?1 AND s.action = ?2 ORDER BY o.id DESC LIMIT 1";
        let mut select = self.connection.prepare_cached(sql).unwrap();
        select.query_row(rusqlite::params![epoch as i64, action], |row| row.get(0)).optional().unwrap()
    }

    /// Whether the store says why an environment may go; none if it knows no such environment.
    pub fn reason(&self, environment: &str) -> Option<bool> {
        let sql = "SELECT destroying IS NOT NULL FROM environments WHERE name = ?1";
        self.connection.prepare_cached(sql).unwrap().query_row([environment], |row| row.get(0)).optional().unwrap()
    }

    /// When the certificate of an environment ends, as the store has it.
    pub fn certificate_until(&self, environment: &str) -> i64 {
        let sql = "SELECT coalesce(certificate_until, 0) FROM environments WHERE name = ?1";
        let mut select = self.connection.prepare_cached(sql).unwrap();
        select.query_row([environment], |row| row.get(0)).optional().unwrap().unwrap_or_default()
    }

    /// Environments of operations that a person cancelled since this was asked last.
    pub fn newly_cancelled(&mut self) -> Vec<Option<String>> {
        let sql = "SELECT id, environment FROM operations WHERE outcome LIKE 'cancelled by%'";
        let mut select = self.connection.prepare_cached(sql).unwrap();
        let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))).unwrap();
        let rows: Vec<(u64, Option<String>)> = rows.map(Result::unwrap).collect();
        drop(select);
        rows.into_iter().filter(|(id, _)| self.cancelled.insert(*id)).map(|(_, name)| name).collect()
    }

    /// Who approved what, as the store has it: environment, digest, by whom.
    pub fn approved(&self) -> Vec<(String, String, String)> {
        let mut select = self.connection.prepare_cached("SELECT environment, wanted, by FROM approved").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Reads on in the events, as somebody who follows.
    pub fn follow(&mut self) -> Found {
        let sql = "SELECT id, kind, operation, data FROM events WHERE id > ?1 ORDER BY id";
        let mut select = self.connection.prepare_cached(sql).unwrap();
        let mut rows = select.query([self.last_event as i64]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let id = row.get::<_, i64>(0).unwrap() as u64;
            if id != self.last_event + 1 {
                return Err((Check::Events, format!("event {id} follows event {}", self.last_event)));
            }
            self.last_event = id;
            let operation = row.get::<_, Option<i64>>(2).unwrap().map(|id| id as u64);
            match (row.get::<_, String>(1).unwrap().as_str(), operation) {
                ("operation-began", Some(operation)) => {
                    let data: serde_json::Value = serde_json::from_str(&row.get::<_, String>(3).unwrap()).unwrap();
                    let steps = data["steps"].as_u64().unwrap_or_default();
                    if self.began.insert(operation, steps).is_some() {
                        return Err((Check::Events, format!("operation {operation} began twice")));
                    }
                }
                ("operation-ended", Some(operation)) if !self.ended.insert(operation) => {
                    return Err((Check::Events, format!("operation {operation} ended twice")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// No lease without an open operation.
    pub fn leases(&self) -> Found {
        let sql = "SELECT count(*) FROM leases l JOIN operations o ON o.id = l.operation WHERE o.ended IS NOT NULL";
        if self.number(sql, []) > 0 {
            return Err((Check::Leases, "an operation that has ended still has something in hand".to_owned()));
        }
        Ok(())
    }

    /// Everything that must hold once nothing runs any more.
    pub fn at_the_end(&mut self) -> Found {
        self.follow()?;
        self.leases()?;
        let open = self.number("SELECT count(*) FROM operations WHERE ended IS NULL", []);
        if open > 0 {
            return Err((Check::Ended, format!("{open} operations never ended")));
        }
        let sql = "SELECT o.id, (SELECT count(*) FROM steps s WHERE s.operation = o.id AND s.ended IS NOT NULL AND s.error IS NULL)
                   FROM operations o WHERE o.outcome = 'done'";
        let mut select = self.connection.prepare_cached(sql).unwrap();
        let done =
            select.query_map([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))).unwrap();
        for (operation, steps) in done.map(Result::unwrap) {
            let planned = self.began.get(&operation).copied().unwrap_or_default();
            if steps != planned {
                return Err((
                    Check::Ended,
                    format!("operation {operation} is called done after {steps} of {planned} steps"),
                ));
            }
        }
        let mut select = self.connection.prepare_cached("SELECT id FROM operations").unwrap();
        for id in select.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(|id| id.unwrap() as u64) {
            if !self.began.contains_key(&id) || !self.ended.contains(&id) {
                return Err((Check::Events, format!("nobody was told of both beginning and end of operation {id}")));
            }
        }
        let whole: String = self.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        if whole != "ok" {
            return Err((Check::Store, whole));
        }
        Ok(())
    }
}

//! The stop switch: while it is set no operation begins, and one that runs stops before its next step.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::events::append;
use super::{EventKind, NewEvent, Store, StoreError, sqlite};

/// The stop switch is set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// Since when, seconds since 1970.
    pub since: i64,
}

impl Store {
    /// The stop switch, if it is set.
    pub fn held(&self) -> Result<Option<Held>, StoreError> {
        held(&self.connection())
    }

    /// Sets the stop switch. One that is set keeps its first moment and takes the new reason. No epoch is
    /// asked: whoever may write the store may stop what acts on it.
    pub fn hold(&self, reason: &str, by: &str, now: i64) -> Result<(), StoreError> {
        self.write(|it| {
            let insert = "INSERT INTO hold (id, reason, by, since) VALUES (1, ?1, ?2, ?3)
                          ON CONFLICT (id) DO UPDATE SET reason = ?1, by = ?2";
            it.execute(insert, params![reason, by, now]).map_err(sqlite("write"))?;
            let data = json!({ "reason": reason, "by": by });
            append(it, now, &NewEvent { kind: EventKind::Held, environment: None, operation: None, data })
        })?;
        self.appended.notify_one();
        Ok(())
    }

    /// Releases the stop switch; whether it was set.
    pub fn release(&self, by: &str, now: i64) -> Result<bool, StoreError> {
        let was_set = self.write(|it| {
            let removed = it.execute("DELETE FROM hold", []).map_err(sqlite("write"))?;
            if removed > 0 {
                let data = json!({ "by": by });
                append(it, now, &NewEvent { kind: EventKind::Released, environment: None, operation: None, data })?;
            }
            Ok(removed > 0)
        })?;
        self.appended.notify_one();
        Ok(was_set)
    }
}

pub(super) fn held(connection: &Connection) -> Result<Option<Held>, StoreError> {
    let mut select = connection.prepare_cached("SELECT reason, by, since FROM hold").map_err(sqlite("read"))?;
    let row = select.query_row([], |row| Ok(Held { reason: row.get(0)?, by: row.get(1)?, since: row.get(2)? }));
    row.optional().map_err(sqlite("read"))
}

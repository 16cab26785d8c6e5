//! Epochs: who began to act, in order. The number fences: whoever took an older one can write no more.

use rusqlite::{Connection, params};

use super::events::append;
use super::journal::COMMAND;
use super::{EventKind, NewEvent, Store, StoreError, sqlite};

/// The right to act, until somebody takes a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// What kind of controller took an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControllerKind {
    /// A server, which goes on until it ends.
    Server,
    /// A command, which is done when it ends.
    Command,
}

impl ControllerKind {
    fn as_str(self) -> &'static str {
        match self {
            ControllerKind::Server => "server",
            ControllerKind::Command => "command",
        }
    }
}

/// An epoch as it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// When, seconds since 1970; only told, never reckoned with.
    pub taken: i64,
    /// By whom, for people.
    pub by: String,
    /// What kind of controller that was.
    pub kind: ControllerKind,
}

impl Store {
    /// Takes a new epoch, higher than all before and than `seen`, the highest a driver has seen: a store
    /// that came back from a backup may know less than the driver does.
    pub fn take_epoch(&self, kind: ControllerKind, by: &str, seen: u64, now: i64) -> Result<Epoch, StoreError> {
        self.write(|it| {
            let newest = newest(it)?.map_or(0, |record| record.epoch.0);
            let epoch = Epoch(newest.max(seen) + 1);
            let insert = "INSERT INTO epochs (id, taken, by, kind) VALUES (?1, ?2, ?3, ?4)";
            it.execute(insert, params![epoch.0 as i64, now, by, kind.as_str()]).map_err(sqlite("write"))?;
            Ok(epoch)
        })
    }

    /// The newest epoch, if there is one.
    pub fn newest_epoch(&self) -> Result<Option<EpochRecord>, StoreError> {
        newest(&self.connection())
    }

    /// Ends every operation that an older epoch left open, and gives back what it had in hand. Commands
    /// that people run inside workloads belong to no epoch and are passed over. Returns number and step of
    /// each, oldest first.
    pub fn take_over(&self, epoch: Epoch, now: i64) -> Result<Vec<(u64, String)>, StoreError> {
        let done = self.act(epoch, |it| {
            let select = format!(
                "SELECT o.id, coalesce((SELECT title FROM steps s WHERE s.operation = o.id AND s.ended IS NULL), 'between steps'), o.environment
                 FROM operations o WHERE o.ended IS NULL AND NOT {COMMAND} AND coalesce(o.epoch, 0) < ?1 ORDER BY o.id"
            );
            let mut select = it.prepare(&select).map_err(sqlite("read"))?;
            let rows = select
                .query_map([epoch.0 as i64], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?)))
                .map_err(sqlite("read"))?;
            let open: Vec<(u64, String, Option<String>)> = rows.collect::<Result<_, _>>().map_err(sqlite("read"))?;
            for (id, step, environment) in &open {
                let update = "UPDATE operations SET ended = ?2, outcome = 'cut off' WHERE id = ?1";
                it.execute(update, params![*id as i64, now]).map_err(sqlite("write"))?;
                let data = serde_json::json!({ "outcome": "cut off", "step": step });
                append(it, now, &NewEvent {
                    kind: EventKind::OperationEnded,
                    environment: environment.clone(),
                    operation: Some(*id),
                    data,
                })?;
            }
            it.execute("DELETE FROM leases WHERE epoch < ?1", [epoch.0 as i64]).map_err(sqlite("write"))?;
            Ok(open.into_iter().map(|(id, step, _)| (id, step)).collect())
        })?;
        self.appended.notify_one();
        Ok(done)
    }
}

fn newest(connection: &Connection) -> Result<Option<EpochRecord>, StoreError> {
    use rusqlite::OptionalExtension as _;
    let mut select = connection
        .prepare_cached("SELECT id, taken, by, kind FROM epochs ORDER BY id DESC LIMIT 1")
        .map_err(sqlite("read"))?;
    let row = select.query_row([], |row| {
        let kind: String = row.get(3)?;
        let kind = if kind == "server" { ControllerKind::Server } else { ControllerKind::Command };
        Ok(EpochRecord { epoch: Epoch(row.get::<_, i64>(0)? as u64), taken: row.get(1)?, by: row.get(2)?, kind })
    });
    row.optional().map_err(sqlite("read"))
}

/// Refuses an epoch that is not the newest.
pub(super) fn fence(transaction: &Connection, epoch: Epoch) -> Result<(), StoreError> {
    match newest(transaction)? {
        Some(record) if record.epoch == epoch => Ok(()),
        _ if crate::failpoint::planted("store-fence-ignored") => Ok(()),
        Some(record) => Err(StoreError::Fenced { ours: epoch.0, newest: record.epoch.0, by: record.by }),
        None => Err(StoreError::Fenced { ours: epoch.0, newest: 0, by: "nobody".to_owned() }),
    }
}

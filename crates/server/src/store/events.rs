//! Events: what happened, in order, for those who follow. Written in the transaction of what they tell;
//! the newest [`MOST_EVENTS`] are kept.

use rusqlite::{Connection, params};
use serde_json::Value;

use super::{Store, StoreError, sqlite};

/// Events that are kept, the newest.
pub const MOST_EVENTS: u64 = 10_000;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A pass saw something else than the one before it.
    Pass,
    /// An operation began.
    OperationBegan,
    /// A step of it began.
    StepBegan,
    /// A step of it ended, well or not.
    StepEnded,
    /// A step says something.
    Note,
    /// An operation ended, well or not.
    OperationEnded,
    /// What runs is not what was approved; or is again.
    Drift,
    /// The stop switch was set.
    Held,
    /// The stop switch was released.
    Released,
    /// The estate file was read anew: what is declared changed, or it is not valid.
    Declared,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 10] = [
        EventKind::Pass,
        EventKind::OperationBegan,
        EventKind::StepBegan,
        EventKind::StepEnded,
        EventKind::Note,
        EventKind::OperationEnded,
        EventKind::Drift,
        EventKind::Held,
        EventKind::Released,
        EventKind::Declared,
    ];

    /// The kind as it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Pass => "pass",
            EventKind::OperationBegan => "operation-began",
            EventKind::StepBegan => "step-began",
            EventKind::StepEnded => "step-ended",
            EventKind::Note => "note",
            EventKind::OperationEnded => "operation-ended",
            EventKind::Drift => "drift",
            EventKind::Held => "held",
            EventKind::Released => "released",
            EventKind::Declared => "declared",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Event {
    /// Its number; they grow and are never used twice.
    pub id: u64,
    /// When, seconds since 1970.
    pub at: i64,
    /// What kind.
    pub kind: EventKind,
    /// Environment it is about, if it is about one.
    pub environment: Option<String>,
    /// Operation it belongs to.
    pub operation: Option<u64>,
    /// More, by its kind; no secret.
    pub data: Value,
}

/// Something to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What kind.
    pub kind: EventKind,
    /// Environment it is about.
    pub environment: Option<String>,
    /// Operation it belongs to.
    pub operation: Option<u64>,
    /// More.
    pub data: Value,
}

impl Store {
    /// Writes events down, all in one transaction.
    pub fn append(&self, events: &[NewEvent], now: i64) -> Result<(), StoreError> {
        self.write(|it| events.iter().try_for_each(|event| append(it, now, event).map(drop)))?;
        self.appended.notify_one();
        Ok(())
    }

    /// Events after `id`, oldest first, at most `most`.
    pub fn events_after(&self, id: u64, most: u32) -> Result<Vec<Event>, StoreError> {
        let connection = self.connection();
        let select = "SELECT id, at, kind, environment, operation, data FROM events WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut select = connection.prepare_cached(select).map_err(sqlite("read"))?;
        let rows = select
            .query_map(params![i64::try_from(id).unwrap_or(i64::MAX), most], |row| {
                let kind: String = row.get(2)?;
                let data: String = row.get(5)?;
                Ok(Event {
                    id: row.get::<_, i64>(0)? as u64,
                    at: row.get(1)?,
                    // A kind that only a newer springtide knows is shown as what it is to us: a note.
                    kind: EventKind::ALL.into_iter().find(|it| it.as_str() == kind).unwrap_or(EventKind::Note),
                    environment: row.get(3)?,
                    operation: row.get::<_, Option<i64>>(4)?.map(|id| id as u64),
                    data: serde_json::from_str(&data).unwrap_or(Value::Null),
                })
            })
            .map_err(sqlite("read"))?;
        rows.collect::<Result<_, _>>().map_err(sqlite("read"))
    }

    /// Number of the newest event; 0 if there was none.
    pub fn newest_event(&self) -> Result<u64, StoreError> {
        let select = "SELECT coalesce(max(id), 0) FROM events";
        self.connection().query_row(select, [], |row| Ok(row.get::<_, i64>(0)? as u64)).map_err(sqlite("read"))
    }

    /// Waits until events were written through this value. Other processes write some too: look from time
    /// to time.
    pub async fn appended(&self) {
        self.appended.notified().await;
    }
}

/// Writes one event down in a transaction of somebody's.
pub(super) fn append(transaction: &Connection, now: i64, event: &NewEvent) -> Result<u64, StoreError> {
    let insert = "INSERT INTO events (at, kind, environment, operation, data) VALUES (?1, ?2, ?3, ?4, ?5)";
    let NewEvent { kind, environment, operation, data } = event;
    let values = params![now, kind.as_str(), environment, operation.map(|id| id as i64), data.to_string()];
    let mut insert = transaction.prepare_cached(insert).map_err(sqlite("write"))?;
    insert.execute(values).map_err(sqlite("write"))?;
    let id = transaction.last_insert_rowid() as u64;
    // Not at every one: a delete costs as much as an insert.
    if id.is_multiple_of(64) {
        let delete = "DELETE FROM events WHERE id <= ?1";
        let mut delete = transaction.prepare_cached(delete).map_err(sqlite("write"))?;
        delete.execute([id.saturating_sub(MOST_EVENTS) as i64]).map_err(sqlite("write"))?;
    }
    Ok(id)
}

//! Signals: what the parts of an environment say of themselves in the moment they are asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Signals of one environment. A source that did not answer is named in `unknown`, and its list is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignalsView {
    /// When they were asked for, seconds since 1970.
    pub at: i64,
    /// Sources that did not answer, and why.
    pub unknown: Vec<UnknownView>,
    /// PgBouncer's pools.
    pub pools: Vec<PoolView>,
    /// PostgreSQL's client connections by role.
    pub connections: Vec<ConnectionsView>,
    /// PostgreSQL's `max_connections`; none if it did not answer.
    pub max_connections: Option<u32>,
    /// Whether PostgreSQL's write-ahead log is archived; none if it did not answer.
    pub archiver: Option<ArchiverView>,
    /// Memory of the sessions' Redis; none if it did not answer.
    pub sessions: Option<SessionMemoryView>,
    /// Services of the entrance.
    pub services: Vec<ServiceView>,
}

/// A source that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnknownView {
    /// `pools`, `connections`, `archiver`, `sessions` or `services`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A pool of PgBouncer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// Clients that have a server connection.
    pub clients_active: u32,
    /// Clients that wait for one.
    pub clients_waiting: u32,
    /// Server connections in use.
    pub servers_active: u32,
    /// Server connections that are free.
    pub servers_idle: u32,
    /// How long the first client in the queue has waited, milliseconds.
    pub longest_wait_ms: u64,
}

/// Client connections of a database role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionsView {
    /// The database role.
    pub role: String,
    /// In a statement now.
    pub active: u32,
    /// In an open transaction, between two statements.
    pub in_transaction: u32,
    /// Between two transactions.
    pub idle: u32,
}

/// What PostgreSQL says of handing its write-ahead log over. Without backups it hands it to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArchiverView {
    /// When the newest segment was taken, seconds since 1970; none if none ever was.
    pub last_archived: Option<i64>,
    /// Attempts that failed.
    pub failed: u64,
    /// When the newest attempt failed, seconds since 1970; later than `last_archived` means that it fails now.
    pub last_failed: Option<i64>,
    /// Segments that wait to be taken.
    pub ready_files: u64,
}

/// Memory of the sessions' Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionMemoryView {
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes it may use; a write beyond is refused, nothing is evicted.
    pub most_bytes: u64,
    /// Connections it has.
    pub clients: u32,
}

/// A service of the entrance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// Its name, such as `prod-web`.
    pub name: String,
    /// Servers that are up.
    pub up: u32,
    /// Servers that are down.
    pub down: u32,
}

//! What database and pooler say of their connections, and the database of its archiving, now.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::{Admin, AdminError};

/// Connections that one role of the database holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// In a statement now.
    pub active: u32,
    /// In an open transaction, between two statements.
    pub in_transaction: u32,
    /// Between two transactions.
    pub idle: u32,
}

/// Connections by role, and how many the server takes in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConnections {
    /// By the name of the database role.
    pub by_role: BTreeMap<String, Connections>,
    /// `max_connections`.
    pub most: u32,
}

/// Asks the server for its client connections; our own is not counted.
pub async fn connections(admin: &Admin) -> Result<ServerConnections, AdminError> {
    let sql = "SELECT coalesce(usename::text, ''), coalesce(state, ''), count(*)::int4, current_setting('max_connections')::int4
               FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1, 2
               UNION ALL SELECT '', '', 0, current_setting('max_connections')::int4";
    let mut seen = ServerConnections { by_role: BTreeMap::new(), most: 0 };
    for row in admin.query("count the connections", sql, &[]).await? {
        let (role, state): (String, String) = (row.get(0), row.get(1));
        let (count, most) = (row.get::<_, i32>(2).unsigned_abs(), row.get::<_, i32>(3).unsigned_abs());
        seen.most = most;
        if count == 0 {
            continue;
        }
        let of = seen.by_role.entry(role).or_default();
        match state.as_str() {
            "active" | "fastpath function call" => of.active += count,
            "idle in transaction" | "idle in transaction (aborted)" => of.in_transaction += count,
            _ => of.idle += count,
        }
    }
    Ok(seen)
}

/// What the server says of handing its write-ahead log over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Archiver {
    /// Segments that were taken since its statistics began.
    pub archived: u64,
    /// When the newest was taken, microseconds since 1970; none if none ever was.
    pub last_archived: Option<i64>,
    /// Attempts that failed since its statistics began.
    pub failed: u64,
    /// When the newest attempt failed, microseconds since 1970.
    pub last_failed: Option<i64>,
    /// Segments that wait to be taken.
    pub ready_files: u64,
}

/// Asks the server whether its write-ahead log is taken.
pub async fn archiver(admin: &Admin) -> Result<Archiver, AdminError> {
    let sql = "SELECT archived_count, (extract(epoch FROM last_archived_time) * 1000000)::int8,
                      failed_count, (extract(epoch FROM last_failed_time) * 1000000)::int8,
                      (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')
               FROM pg_stat_archiver";
    let rows = admin.query("ask the archiver", sql, &[]).await?;
    let Some(row) = rows.first() else { return Ok(Archiver::default()) };
    let count = |column: usize| row.get::<_, i64>(column).unsigned_abs();
    Ok(Archiver {
        archived: count(0),
        last_archived: row.get(1),
        failed: count(2),
        last_failed: row.get(3),
        ready_files: count(4),
    })
}

/// One pool of PgBouncer, as `SHOW POOLS` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
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

/// Asks PgBouncer through the socket in `folder`.
pub async fn pools(folder: &Path, port: u16, user: &str, password: &SecretString) -> Result<Vec<Pool>, AdminError> {
    let failed =
        |why: String| AdminError::Connect { socket: folder.to_owned(), database: "pgbouncer".into(), code: None, why };
    // The open folder's short name: a long path does not fit a socket's address.
    let opened = std::fs::File::open(folder).map_err(|error| failed(error.to_string()))?;
    let mut config = Config::new();
    config
        .host_path(PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())))
        .port(port)
        .user(user)
        .password(password.expose_secret())
        .dbname("pgbouncer");
    let (client, connection) = config.connect(NoTls).await.map_err(|error| failed(error.to_string()))?;
    let running = tokio::spawn(connection);
    let told = client.simple_query("SHOW POOLS").await;
    running.abort();
    let told = told.map_err(|error| failed(error.to_string()))?;
    let mut pools = Vec::new();
    for message in told {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let text = |name: &str| row.try_get(name).ok().flatten().unwrap_or_default().to_owned();
        let number = |name: &str| text(name).parse::<u32>().unwrap_or_default();
        if text("database") == "pgbouncer" {
            continue;
        }
        pools.push(Pool {
            database: text("database"),
            user: text("user"),
            clients_active: number("cl_active"),
            clients_waiting: number("cl_waiting"),
            servers_active: number("sv_active"),
            servers_idle: number("sv_idle"),
            longest_wait_ms: u64::from(number("maxwait")) * 1000 + u64::from(number("maxwait_us")) / 1000,
        });
    }
    Ok(pools)
}

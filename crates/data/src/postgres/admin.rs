//! A superuser connection over the Unix socket. PostgreSQL knows us by peer identity, so there is no
//! password to keep.

use std::fmt;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use springtide_core::names::EnvironmentName;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};

/// The superuser's name in every PostgreSQL of ours.
pub const SUPERUSER: &str = "postgres";
/// Seconds to wait for a connection.
const CONNECT_SECONDS: u64 = 10;
/// The longest path that fits a Unix socket address (108 bytes with the closing zero).
const SOCKET_PATH_MAX: usize = 107;

/// Why an administrative action failed. Holds no statement and no value, only what was attempted
/// and the server's own message.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The server cannot be reached or refused us.
    #[error("cannot connect to database {database} at {socket}: {why}", socket = .socket.display())]
    Connect {
        /// Folder of the socket.
        socket: PathBuf,
        /// Database asked for.
        database: String,
        /// SQLSTATE, if the server answered.
        code: Option<String>,
        /// Why.
        why: String,
    },
    /// A statement failed.
    #[error("cannot {what}: {why}")]
    Sql {
        /// What was attempted.
        what: String,
        /// SQLSTATE, if the server answered.
        code: Option<String>,
        /// The server's message.
        why: String,
    },
    /// Neither the environment's database nor the template's is there.
    #[error("neither database {0} nor the template's is in this data directory")]
    NoDatabase(String),
    /// The name is PostgreSQL's own.
    #[error("an environment cannot be called {0}: PostgreSQL has a database of that name")]
    ReservedName(EnvironmentName),
    /// The Odoo database has no user `admin` with id 2.
    #[error("database {0} has no Odoo user admin (id 2), so its password cannot be set")]
    NoAdminUser(String),
    /// A value read back is not what this program writes.
    #[error("the setting {setting} of database {database} holds {found:?}")]
    Strange {
        /// Which setting.
        setting: &'static str,
        /// Of which database.
        database: String,
        /// What was found.
        found: String,
    },
    /// A value needed for this action is not in the request.
    #[error("no {0} was given")]
    Absent(String),
}

/// SQLSTATE and message of an error. The message is the server's; statements and parameters are not
/// part of it.
fn told(error: &tokio_postgres::Error) -> (Option<String>, String) {
    match error.as_db_error() {
        Some(db) => (Some(db.code().code().to_owned()), db.message().to_owned()),
        None => {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                why = format!("{why}: {inner}");
                source = inner.source();
            }
            (None, why)
        }
    }
}

impl AdminError {
    /// SQLSTATE, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            AdminError::Connect { code, .. } | AdminError::Sql { code, .. } => code.as_deref(),
            _ => None,
        }
    }
}

/// A connection as superuser to one database. The session logs and shows no statement of its own,
/// because statements may hold verifiers.
pub struct Admin {
    pub(crate) client: Client,
    socket: PathBuf,
    port: u16,
    database: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("socket", &self.socket)
            .field("port", &self.port)
            .field("database", &self.database)
            .finish()
    }
}

impl Admin {
    /// Connects to `database` through the socket of `port` in `socket_dir`, within ten seconds.
    pub async fn connect(socket_dir: &Path, port: u16, database: &str) -> Result<Self, AdminError> {
        let admin = Self::open(socket_dir, port, database, SUPERUSER).await?;
        admin
            .batch(
                "silence the session's log",
                "SET track_activities = off; SET log_statement = 'none'; SET log_min_duration_statement = -1;
                 SET log_duration = off; SET log_min_error_statement = 'panic'; SET pg_stat_statements.track = 'none';
                 SET pg_stat_statements.track_utility = off; SET statement_timeout = 0; SET lock_timeout = '30s';
                 SET idle_in_transaction_session_timeout = 0; SET client_min_messages = warning;
                 SET search_path = public, pg_catalog",
            )
            .await?;
        Ok(admin)
    }

    /// The same as `role` and with its rights, where the server asks for no password.
    pub(crate) async fn connect_as(
        socket_dir: &Path,
        port: u16,
        database: &str,
        role: &str,
    ) -> Result<Self, AdminError> {
        let connection = Self::open(socket_dir, port, database, role).await?;
        connection.batch("prepare the session", "SET search_path = public, pg_catalog").await?;
        Ok(connection)
    }

    async fn open(socket_dir: &Path, port: u16, database: &str, role: &str) -> Result<Self, AdminError> {
        let failed =
            |code, why| AdminError::Connect { socket: socket_dir.to_owned(), database: database.to_owned(), code, why };
        // A long folder name does not fit the socket address; the open folder's short name does.
        let opened;
        let mut host = socket_dir.to_owned();
        if socket_dir.as_os_str().len() + format!("/.s.PGSQL.{port}").len() > SOCKET_PATH_MAX {
            opened = std::fs::File::open(socket_dir).map_err(|error| failed(None, error.to_string()))?;
            host = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        }
        let mut config = Config::new();
        config
            .host_path(&host)
            .port(port)
            .user(role)
            .dbname(database)
            .application_name("springtide-admin")
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS));
        let connecting = tokio::time::timeout(Duration::from_secs(CONNECT_SECONDS), config.connect(NoTls));
        let (client, connection) = match connecting.await {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => {
                let (code, why) = told(&error);
                return Err(failed(code, why));
            }
            Err(_) => return Err(failed(None, format!("no answer within {CONNECT_SECONDS} s"))),
        };
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(code = error.code().map(|c| c.code()), "administrative connection ended");
            }
        });
        Ok(Self { client, socket: socket_dir.to_owned(), port, database: database.to_owned() })
    }

    /// A further connection to another database of the same server.
    pub async fn to(&self, database: &str) -> Result<Self, AdminError> {
        Self::connect(&self.socket, self.port, database).await
    }

    /// Name of the database this connection is in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Runs statements without parameters; several run as one transaction.
    pub(crate) async fn batch(&self, what: &str, sql: &str) -> Result<(), AdminError> {
        self.client.batch_execute(sql).await.map_err(sql_error(what))
    }

    /// Runs one statement and returns the number of rows it touched.
    pub(crate) async fn execute(
        &self,
        what: &str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, AdminError> {
        self.client.execute(sql, values).await.map_err(sql_error(what))
    }

    /// Rows of one query.
    pub(crate) async fn query(
        &self,
        what: &str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, AdminError> {
        self.client.query(sql, values).await.map_err(sql_error(what))
    }

    /// Whether a query finds any row.
    pub(crate) async fn any(&self, what: &str, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<bool, AdminError> {
        Ok(!self.query(what, sql, values).await?.is_empty())
    }

    /// Runs the statement that `format(pattern, values…)` makes: `%I` quotes a name, `%L` a value.
    pub(crate) async fn execute_format(&self, what: &str, pattern: &str, values: &[&str]) -> Result<(), AdminError> {
        let places: Vec<String> = (1..=values.len()).map(|n| format!("${}::text", n + 1)).collect();
        let sql = format!("SELECT format($1::text, {})", places.join(", "));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&pattern];
        parameters.extend(values.iter().map(|value| value as &(dyn ToSql + Sync)));
        let row = self.client.query_one(&sql, &parameters).await.map_err(sql_error(what))?;
        let statement: String = row.try_get(0).map_err(sql_error(what))?;
        self.batch(what, &statement).await
    }

    /// Whether a database exists.
    pub(crate) async fn has_database(&self, name: &str) -> Result<bool, AdminError> {
        self.any("look for the database", "SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await
    }

    /// A setting kept at the database this connection is in (`ALTER DATABASE … SET`).
    pub(crate) async fn database_setting(&self, name: &str) -> Result<Option<String>, AdminError> {
        let rows = self
            .query(
                "read the database's settings",
                "SELECT s FROM pg_db_role_setting, unnest(setconfig) s
                 WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[],
            )
            .await?;
        for row in rows {
            let text: String = row.try_get(0).map_err(sql_error("read the database's settings"))?;
            if let Some((key, value)) = text.split_once('=')
                && key.eq_ignore_ascii_case(name)
            {
                return Ok(Some(value.to_owned()));
            }
        }
        Ok(None)
    }
}

/// Turns a client error into one that names what was attempted.
pub(crate) fn sql_error(what: &str) -> impl FnOnce(tokio_postgres::Error) -> AdminError {
    let what = what.to_owned();
    move |error| {
        let (code, why) = told(&error);
        AdminError::Sql { what, code, why }
    }
}

/// Name of an environment's database.
///
/// # Errors
/// [`AdminError::ReservedName`] for names that PostgreSQL itself uses.
pub fn database_of(environment: &EnvironmentName) -> Result<String, AdminError> {
    let name = environment.database();
    match name.as_str() {
        "postgres" | "template0" | "template1" => Err(AdminError::ReservedName(environment.clone())),
        _ => Ok(name),
    }
}

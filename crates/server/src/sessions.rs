//! Sessions of logged-in people, counted and ended from outside Odoo.
//!
//! The names of keys are those of the runtime add-on (`redis_store.py`): a sorted set `ENV:users` of
//! users, one `ENV:user:ID` per user of the keys of that user's sessions, and the sessions themselves,
//! whose content only Odoo can read. The rule that keeps an ended session ended: the mark is set before
//! the session goes, so that a request under way, which writes it back, finds the mark.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use secrecy::ExposeSecret as _;
use springtide_core::names::EnvironmentName;
use springtide_core::roles::odoo::LIMIT_TIME_REAL;
use springtide_core::roles::sessions::{MONITOR, SOCKET, USER};
use springtide_core::workload::{SecretName, SecretRef, Volume};
use springtide_data::secrets::SecretError;

use crate::Estate;

/// Seconds a mark stays: longer than any request that may write the session back.
const MARK_S: u32 = LIMIT_TIME_REAL + 30;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions could not be looked at or ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// Redis is not there, or does not answer.
    #[error("the sessions of {0} cannot be reached: {1}")]
    Away(EnvironmentName, String),
    /// Its password cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The sessions of one environment.
pub struct Sessions {
    connection: MultiplexedConnection,
    environment: EnvironmentName,
}

impl Sessions {
    /// Connects over the environment's own socket.
    pub async fn connect(estate: &Estate, environment: &EnvironmentName) -> Result<Self, SessionsError> {
        Self::connect_as(estate, environment, USER, SecretName::SessionsOdoo).await
    }

    /// What Redis says of its memory and clients.
    pub async fn info(estate: &Estate, environment: &EnvironmentName) -> Result<String, SessionsError> {
        let mut monitor = Self::connect_as(estate, environment, MONITOR, SecretName::SessionsMonitor).await?;
        let (told,) = monitor.ask(redis::pipe().cmd("INFO")).await?;
        Ok(told)
    }

    async fn connect_as(
        estate: &Estate,
        environment: &EnvironmentName,
        user: &str,
        secret: SecretName,
    ) -> Result<Self, SessionsError> {
        let away = |why: String| SessionsError::Away(environment.clone(), why);
        let secret = SecretRef { environment: Some(environment.clone()), name: secret };
        let password = match estate.secrets.get(&secret) {
            Err(SecretError::Missing(_)) => return Err(away("it has none yet".into())),
            read => read?,
        };
        let folder = estate.driver.volume(Some(environment), Volume::SessionsSocket);
        // The open folder's short name: a long path does not fit a socket's address.
        let opened = std::fs::File::open(&folder).map_err(|error| away(error.to_string()))?;
        let socket = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()));
        let login = RedisConnectionInfo::default()
            .set_username(user)
            .set_password(password.expose_secret())
            // It would introduce itself, which its user may not.
            .set_skip_set_lib_name();
        let told = |error: redis::RedisError| away(words(&error));
        let info = ConnectionAddr::Unix(socket).into_connection_info().map_err(told)?.set_redis_settings(login);
        let client = redis::Client::open(info).map_err(told)?;
        let connection = match tokio::time::timeout(PATIENCE, client.get_multiplexed_async_connection()).await {
            Ok(connected) => connected.map_err(told)?,
            Err(_) => return Err(away(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        Ok(Self { connection, environment: environment.clone() })
    }

    fn user(&self, id: i64) -> String {
        format!("{}:user:{id}", self.environment)
    }

    fn users(&self) -> String {
        format!("{}:users", self.environment)
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, pipeline: &redis::Pipeline) -> Result<T, SessionsError> {
        let away = |why: String| SessionsError::Away(self.environment.clone(), why);
        match tokio::time::timeout(PATIENCE, pipeline.query_async(&mut self.connection)).await {
            Ok(answer) => answer.map_err(|error| away(words(&error))),
            Err(_) => Err(away(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Keys of a user's sessions that are there.
    async fn keys(&mut self, id: i64) -> Result<Vec<String>, SessionsError> {
        let (keys,): (Vec<String>,) = {
            let user = self.user(id);
            self.ask(redis::pipe().cmd("ZRANGE").arg(user).arg(0).arg(-1)).await?
        };
        if keys.is_empty() {
            return Ok(keys);
        }
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.cmd("EXISTS").arg(key);
        }
        let there: Vec<bool> = self.ask(&pipeline).await?;
        Ok(keys.into_iter().zip(there).filter(|(_, there)| *there).map(|(key, _)| key).collect())
    }

    /// How many sessions each user has, by number; those without are left out.
    pub async fn counts(&mut self) -> Result<BTreeMap<i64, usize>, SessionsError> {
        let users = self.users();
        let (ids,): (Vec<i64>,) = self.ask(redis::pipe().cmd("ZRANGE").arg(users).arg(0).arg(-1)).await?;
        let mut counts = BTreeMap::new();
        for id in ids {
            match self.keys(id).await?.len() {
                0 => {}
                count => {
                    counts.insert(id, count);
                }
            }
        }
        Ok(counts)
    }

    /// Ends all sessions of a user; returns how many there were. The next request of each meets the
    /// login page. Repeating it is harmless.
    pub async fn revoke(&mut self, id: i64) -> Result<usize, SessionsError> {
        let keys = self.keys(id).await?;
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.cmd("SET").arg(format!("{key}:ended")).arg(1).arg("EX").arg(MARK_S).ignore();
        }
        for key in &keys {
            pipeline.cmd("DEL").arg(key).ignore();
        }
        // Sessions that began in between stay listed.
        for key in &keys {
            pipeline.cmd("ZREM").arg(self.user(id)).arg(key).ignore();
        }
        if !keys.is_empty() {
            self.ask::<()>(&pipeline).await?;
        }
        Ok(keys.len())
    }
}

/// The kind of an error: its text could repeat a command.
fn words(error: &redis::RedisError) -> String {
    match error.code() {
        Some(code) => format!("Redis answers {code}"),
        None => error.to_string(),
    }
}

//! Which environment traffic goes to. The caller finds it out; nothing here looks for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use springtide_core::names::EnvironmentName;
use springtide_core::series::Series;

/// An environment and how it is reached. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Target {
    /// The environment.
    pub environment: EnvironmentName,
    /// Its Odoo series; for reports, never for decisions.
    pub series: Series,
    /// Where people reach it, such as `https://prod.localhost:8443`, without a slash at the end.
    pub url: String,
    /// What the host of `url` resolves to; no name service is asked.
    pub address: SocketAddr,
    /// Certificate of the authority that signed the entrance's, as PEM; the machine's authorities if none.
    pub authority_pem: Option<String>,
    /// The database.
    pub database: String,
    /// Login of an administrator.
    pub admin: String,
    /// His password.
    pub password: SecretString,
    /// Direct way to the database for facts, if the target is on this machine.
    pub postgres: Option<PostgresSocket>,
}

/// PostgreSQL's Unix socket. The user gets in by peer identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSocket {
    /// Folder of the socket.
    pub folder: PathBuf,
    /// Port, which is part of the socket's name.
    pub port: u16,
    /// User of the database.
    pub user: String,
}

//! Workloads: what a driver runs for a role, in words that no driver owns.
//!
//! A [`WorkloadSpec`] is made by pure functions from checked spec and an [`crate::layout::Slot`]; it
//! is complete, so a driver has no choice left. Secrets stand in it as references only
//! ([`Text`]); the executor resolves them at the last moment, for the driver alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::EnvironmentName;
use crate::role::Role;
use crate::series::Series;

/// Names one workload: `prod/web`, or just `proxy` for a part of the whole estate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// The environment it belongs to; none for parts of the whole estate.
    pub environment: Option<EnvironmentName>,
    /// The role it plays.
    pub role: Role,
}

impl WorkloadId {
    /// The workload of `role` in `environment`.
    pub fn of(environment: &EnvironmentName, role: Role) -> Self {
        Self { environment: Some(environment.clone()), role }
    }
    /// A workload of the whole estate.
    pub fn estate(role: Role) -> Self {
        Self { environment: None, role }
    }
    /// A name fit for a folder: `prod.web`, `proxy`.
    pub fn folder(&self) -> String {
        match &self.environment {
            Some(environment) => format!("{environment}.{}", self.role),
            None => self.role.to_string(),
        }
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{environment}/{}", self.role),
            None => write!(f, "{}", self.role),
        }
    }
}

/// The text was not `environment/role` or `role`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a workload such as prod/web or proxy")]
pub struct WorkloadIdError(String);

impl FromStr for WorkloadId {
    type Err = WorkloadIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WorkloadIdError(text.to_owned());
        match text.split_once('/') {
            Some((environment, role)) => Ok(Self {
                environment: Some(environment.parse().map_err(|_| wrong())?),
                role: Role::from_word(role).ok_or_else(wrong)?,
            }),
            None => Ok(Self { environment: None, role: Role::from_word(text).ok_or_else(wrong)? }),
        }
    }
}

impl Serialize for WorkloadId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for WorkloadId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Text in which secrets are named, not shown. Plans, digests and logs hold only this form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Piece>);

/// A piece of [`Text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// Literal characters.
    Plain(String),
    /// The value of a secret, put in by the executor.
    Secret(SecretRef),
    /// What stands in a file of this machine that the estate file names, put in by the executor.
    File(FilePart),
}

/// A part of a file of this machine that the estate file names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Absolute path.
    pub path: String,
    /// Which part.
    pub part: FileWord,
}

/// What is taken out of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileWord {
    /// The value of its line `access_key = ...`; only root may read the file.
    AccessKey,
    /// The value of its line `secret_key = ...`; only root may read the file.
    SecretKey,
    /// All of it, which is certificates in PEM; no secret.
    Certificates,
}

impl Text {
    /// Text without any secret.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(vec![Piece::Plain(text.into())])
    }
    /// Appends literal characters.
    pub fn push(&mut self, text: &str) {
        if let Some(Piece::Plain(last)) = self.0.last_mut() {
            last.push_str(text);
        } else {
            self.0.push(Piece::Plain(text.to_owned()));
        }
    }
    /// Appends a reference to a secret.
    pub fn push_secret(&mut self, secret: SecretRef) {
        self.0.push(Piece::Secret(secret));
    }
    /// Appends a reference to a part of a file.
    pub fn push_file(&mut self, path: &str, part: FileWord) {
        self.0.push(Piece::File(FilePart { path: path.to_owned(), part }));
    }
}

/// Names a secret in the store: its owner (an environment, or the estate) and what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// The environment it belongs to; none for secrets of the whole estate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// What it is, such as `db-app` or `db-app-verifier`.
    pub name: SecretName,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{environment}/{}", self.name.as_str()),
            None => f.write_str(self.name.as_str()),
        }
    }
}

/// Every secret Springtide makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretName {
    /// Private key of the estate's own certificate authority (PEM).
    AuthorityKey,
    /// Certificate of that authority (PEM; not secret, kept beside its key).
    AuthorityCertificate,
    /// Private key of an environment's certificate, for users and for its data tier (PEM).
    CertificateKey,
    /// The environment's certificate chain (PEM; not secret, kept beside its key).
    Certificate,
    /// Password of the database role that owns the tables.
    DbOwner,
    /// Password of the role web, live and cron log in with.
    DbApp,
    /// Password of the role the jobs pool and its runner log in with.
    DbJobs,
    /// Password of the read-only reporting role.
    DbReport,
    /// Password of the monitoring role, also for the pooler's statistics.
    DbMonitor,
    /// Password of the backup role.
    DbBackup,
    /// SCRAM-SHA-256 verifier derived from the password of the same name.
    DbOwnerVerifier,
    /// Verifier of [`SecretName::DbApp`].
    DbAppVerifier,
    /// Verifier of [`SecretName::DbJobs`].
    DbJobsVerifier,
    /// Verifier of [`SecretName::DbReport`].
    DbReportVerifier,
    /// Verifier of [`SecretName::DbMonitor`].
    DbMonitorVerifier,
    /// Verifier of [`SecretName::DbBackup`].
    DbBackupVerifier,
    /// Odoo's database-manager password, as pbkdf2 hash of a value that is thrown away.
    OdooMasterHash,
    /// First password of Odoo's `admin` user.
    OdooAdmin,
    /// passlib pbkdf2-sha512 hash of [`SecretName::OdooAdmin`].
    OdooAdminHash,
    /// Odoo's `database.secret`, which signs its tokens.
    OdooDatabaseSecret,
    /// Keys that sessions are encrypted with, one a line, the newest first.
    SessionsKeys,
    /// Password of the Redis user that Odoo's roles and `springtide session` log in with.
    SessionsOdoo,
    /// Password of the Redis user that the readiness probe logs in with.
    SessionsMonitor,
    /// SHA-256 of [`SecretName::SessionsOdoo`] in hex, which is all that Redis is told.
    SessionsOdooVerifier,
    /// The same of [`SecretName::SessionsMonitor`].
    SessionsMonitorVerifier,
    /// Passphrase that the database's backups and write-ahead log are encrypted with.
    BackupCipher,
    /// age X25519 identity that the mirror of the files is encrypted to.
    FilesKey,
    /// Seed of the Ed25519 key that signs the estate's proofs, 32 bytes in base64.
    ProofKey,
}

impl SecretName {
    /// Secrets of an environment that is backed up, besides [`SecretName::ENVIRONMENT`]. They stay when the
    /// environment goes, as its backups do: without them nobody can read those.
    pub const BACKUP: [SecretName; 2] = [SecretName::BackupCipher, SecretName::FilesKey];

    /// All secrets that every environment has.
    pub const ENVIRONMENT: [SecretName; 23] = [
        SecretName::CertificateKey,
        SecretName::Certificate,
        SecretName::DbOwner,
        SecretName::DbApp,
        SecretName::DbJobs,
        SecretName::DbReport,
        SecretName::DbMonitor,
        SecretName::DbBackup,
        SecretName::DbOwnerVerifier,
        SecretName::DbAppVerifier,
        SecretName::DbJobsVerifier,
        SecretName::DbReportVerifier,
        SecretName::DbMonitorVerifier,
        SecretName::DbBackupVerifier,
        SecretName::OdooMasterHash,
        SecretName::OdooAdmin,
        SecretName::OdooAdminHash,
        SecretName::OdooDatabaseSecret,
        SecretName::SessionsKeys,
        SecretName::SessionsOdoo,
        SecretName::SessionsMonitor,
        SecretName::SessionsOdooVerifier,
        SecretName::SessionsMonitorVerifier,
    ];

    /// All of them, in their order.
    pub const ALL: [SecretName; 28] = {
        let mut all = [SecretName::AuthorityKey; 28];
        all[1] = SecretName::AuthorityCertificate;
        let mut at = 0;
        while at < Self::ENVIRONMENT.len() {
            all[at + 2] = Self::ENVIRONMENT[at];
            at += 1;
        }
        all[at + 2] = SecretName::BackupCipher;
        all[at + 3] = SecretName::FilesKey;
        all[at + 4] = SecretName::ProofKey;
        all
    };

    /// The name in file names and references.
    pub const fn as_str(self) -> &'static str {
        match self {
            SecretName::AuthorityKey => "authority-key",
            SecretName::AuthorityCertificate => "authority-certificate",
            SecretName::CertificateKey => "certificate-key",
            SecretName::Certificate => "certificate",
            SecretName::DbOwner => "db-owner",
            SecretName::DbApp => "db-app",
            SecretName::DbJobs => "db-jobs",
            SecretName::DbReport => "db-report",
            SecretName::DbMonitor => "db-monitor",
            SecretName::DbBackup => "db-backup",
            SecretName::DbOwnerVerifier => "db-owner-verifier",
            SecretName::DbAppVerifier => "db-app-verifier",
            SecretName::DbJobsVerifier => "db-jobs-verifier",
            SecretName::DbReportVerifier => "db-report-verifier",
            SecretName::DbMonitorVerifier => "db-monitor-verifier",
            SecretName::DbBackupVerifier => "db-backup-verifier",
            SecretName::OdooMasterHash => "odoo-master-hash",
            SecretName::OdooAdmin => "odoo-admin",
            SecretName::OdooAdminHash => "odoo-admin-hash",
            SecretName::OdooDatabaseSecret => "odoo-database-secret",
            SecretName::SessionsKeys => "sessions-keys",
            SecretName::SessionsOdoo => "sessions-odoo",
            SecretName::SessionsMonitor => "sessions-monitor",
            SecretName::SessionsOdooVerifier => "sessions-odoo-verifier",
            SecretName::SessionsMonitorVerifier => "sessions-monitor-verifier",
            SecretName::BackupCipher => "backup-cipher",
            SecretName::FilesKey => "files-key",
            SecretName::ProofKey => "proof-key",
        }
    }
}

/// All a driver needs to run one workload. Drivers destructure it field by field, so that a new
/// field breaks every driver until someone decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// Which workload this is.
    pub id: WorkloadId,
    /// Digest of the inputs that a role was rendered from; none for specs made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<Digest>,
    /// The file system it starts in.
    pub root: Root,
    /// Program and arguments; never holds a secret. Paths are as the workload sees them.
    pub command: Vec<String>,
    /// Environment variables; nothing is inherited.
    pub env: BTreeMap<String, Text>,
    /// Configuration files, seen read-only under [`CONFIG_PATH`].
    pub files: Vec<FileSpec>,
    /// Folders that outlive the workload.
    pub volumes: Vec<VolumeMount>,
    /// Folders that come with Springtide itself, seen read-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<BundleMount>,
    /// Folders of the machine that the estate file names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderMount>,
    /// Ports it listens on, by name.
    pub ports: BTreeMap<PortName, u16>,
    /// The identity it runs as.
    pub user: UserSpec,
    /// Roles of the same environment without which it would end at once: when it has ended by itself it
    /// is started again after these are ready. A plan starts workloads in its own order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Role>,
    /// Limits the driver enforces where it can.
    pub limits: Limits,
    /// When it counts as ready, and how long it may take from start to ready.
    pub ready: Probe,
    /// Deadline from start to ready, seconds.
    pub ready_within_s: u32,
    /// How it is stopped without harm.
    pub stop: StopRule,
}

/// Folder in which a workload finds its configuration files.
pub const CONFIG_PATH: &str = "/srv/springtide/config";

/// The file system a workload starts in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// The host's own files (process driver) or the role's image (others): PostgreSQL, PgBouncer, Traefik.
    Host,
    /// The root or image of an Odoo series.
    Odoo(Series),
    /// Springtide's own binary (the notice server).
    Springtide,
}

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// File name below [`CONFIG_PATH`], without folders.
    pub name: String,
    /// What is in it.
    pub content: Text,
    /// Whether a change can be taken over by `reload` instead of a restart.
    pub reloadable: bool,
}

/// A folder that outlives the workload, by name, at a path the workload sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Which volume.
    pub volume: Volume,
    /// Absolute path as the workload sees it, below `/srv/springtide`.
    pub at: String,
    /// Whether the workload may not write to it.
    pub read_only: bool,
}

/// A folder of files that are compiled into Springtide, by their content. A driver keeps one copy per
/// content, so that a workload goes on with the files it was started with while a newer Springtide
/// brings others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleMount {
    /// Digest of all its files; [`crate::roles::runtime::files`] has them.
    pub digest: Digest,
    /// Absolute path as the workload sees it, below `/srv/springtide`.
    pub at: String,
}

/// A folder of the machine that the estate file names, made for the workload's user below one that has to be
/// there. If that one is not there, its disk may be away: the workload runs without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderMount {
    /// Absolute path of the folder that has to be there.
    pub base: String,
    /// The folder below it, without a step up.
    pub inside: String,
    /// Absolute path as the workload sees it, below `/srv/springtide`.
    pub at: String,
}

/// Folders that hold what must not be lost, or what two workloads share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volume {
    /// PostgreSQL's data directory.
    PostgresData,
    /// Folder of PostgreSQL's Unix socket.
    PostgresSocket,
    /// Folder of PgBouncer's Unix socket, for its administration.
    PoolerSocket,
    /// What Redis writes, so that sessions survive its restart.
    SessionsData,
    /// Folder of Redis' Unix socket.
    SessionsSocket,
    /// Odoo's `data_dir`: the filestore.
    OdooData,
    /// Folder Traefik watches for routes.
    Routes,
    /// The repository of its database's backups in the state folder. It outlives the environment.
    BackupNear,
    /// What waits to be archived, locks and logs of the backups; worth nothing without its environment.
    BackupSpool,
}

impl Volume {
    /// Every volume.
    pub const ALL: [Volume; 9] = [
        Volume::PostgresData,
        Volume::PostgresSocket,
        Volume::PoolerSocket,
        Volume::SessionsData,
        Volume::SessionsSocket,
        Volume::OdooData,
        Volume::Routes,
        Volume::BackupNear,
        Volume::BackupSpool,
    ];

    /// Folder name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Volume::PostgresData => "postgres-data",
            Volume::PostgresSocket => "postgres-socket",
            Volume::PoolerSocket => "pooler-socket",
            Volume::SessionsData => "sessions-data",
            Volume::SessionsSocket => "sessions-socket",
            Volume::OdooData => "odoo-data",
            Volume::Routes => "routes",
            Volume::BackupNear => "backup-near",
            Volume::BackupSpool => "backup-spool",
        }
    }
}

/// Names of ports a workload listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortName {
    /// PostgreSQL wire protocol.
    Sql,
    /// HTTP for users (plain, behind the proxy).
    Http,
    /// HTTPS entrance of the proxy.
    Https,
    /// Odoo's gevent port.
    Event,
    /// Administration API of the proxy, loopback only.
    Admin,
}

/// The identity a workload runs as: one Unix user per environment and role, one group per environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id, shared by the roles of one environment.
    pub gid: u32,
}

/// Limits; `None` where the role has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a core.
    pub cpu_milli: Option<u32>,
    /// Bytes of resident memory, page cache of the group included.
    pub memory_bytes: Option<u64>,
}

/// How a driver finds out that a workload is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Probe {
    /// Alive for this many seconds without exiting (roles that listen on nothing).
    Alive {
        /// Seconds.
        seconds: u32,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// Which port.
        port: PortName,
    },
    /// GET answers with this status.
    Http {
        /// Which port.
        port: PortName,
        /// Path, with query.
        path: String,
        /// Value of the `Host` header.
        host: String,
        /// Cookie to send, for series that would otherwise make a new session per probe.
        cookie: Option<String>,
        /// Status that means ready.
        status: u16,
    },
    /// Redis answers PING with PONG on its socket, which it does not while it reads its data. The user
    /// may do nothing else; its password is one of the configuration files.
    Redis {
        /// User of Redis.
        user: String,
        /// Name of the configuration file with its password.
        password: String,
    },
    /// PostgreSQL answers a start-up packet with an authentication request, as `pg_isready` judges.
    Postgres {
        /// Which port.
        port: PortName,
    },
}

/// How a workload is stopped without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRule {
    /// First signal.
    pub signal: StopSignal,
    /// Seconds until it is killed.
    pub grace_s: u32,
}

/// Signals used for a graceful stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// Prefork Odoo, Traefik, PostgreSQL "smart".
    Term,
    /// PostgreSQL "fast": ends sessions, writes a checkpoint. PgBouncer: finishes transactions.
    Int,
}

impl WorkloadSpec {
    /// Digest over everything that decides how the workload runs: of what it was made from, else of
    /// itself. Two specs with one digest are the same workload; a driver keeps it as a label and
    /// observation returns it.
    pub fn digest(&self) -> Digest {
        self.made_from.unwrap_or_else(|| Digest::of(self))
    }
}

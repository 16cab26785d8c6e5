//! Places: where backups lie, in words that name one folder and nothing else.
//!
//! A place holds everything of one environment: `pg/` is the repository of its database, `files/` the
//! mirror of its files, `records/` what was proven. The rule that keeps it right: no two places overlap,
//! so whoever may write to one can harm no other; [`crate::check`] sees to it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::{BucketName, HostName};

/// A bucket of an S3 store, as the estate file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its name, which places say.
    pub name: BucketName,
    /// Host name or IPv4 address that answers, always by TLS.
    pub host: HostName,
    /// TCP port.
    pub port: u16,
    /// Region.
    pub region: String,
    /// Absolute path of a PEM file with the authority of its certificate; none means the machine's.
    pub authority: Option<String>,
    /// Absolute path of the file with its keys; only root may read it.
    pub credentials: String,
}

impl Store {
    /// Where it answers, such as `https://s3.example:9000`.
    pub fn endpoint(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }
}

/// Where the backups of one environment lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The environment's folder in the state folder, [`crate::workload::Volume::BackupNear`].
    Own,
    /// A folder of the machine: an absolute path that ends with the environment's name.
    Folder(String),
    /// A part of a bucket.
    Bucket {
        /// The bucket.
        store: Arc<Store>,
        /// What its objects begin with: no slash at either end, the environment's name last.
        prefix: String,
    },
}

impl Place {
    /// The store, if it is one.
    pub fn store(&self) -> Option<&Store> {
        match self {
            Place::Bucket { store, .. } => Some(store),
            Place::Own | Place::Folder(_) => None,
        }
    }
}

/// As the estate file says it, with the environment's name at the end.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Own => f.write_str("the state folder"),
            Place::Folder(path) => write!(f, "file://{path}"),
            Place::Bucket { store, prefix } => write!(f, "s3://{}/{prefix}", store.name),
        }
    }
}

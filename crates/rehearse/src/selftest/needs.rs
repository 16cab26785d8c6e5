//! What has to be on this machine for the rig to prove anything.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::{Check, Try};

/// A component that must be there.
#[derive(Debug, Clone, Serialize)]
pub struct Need {
    /// Its name for people.
    pub name: String,
    /// Where it must be.
    pub place: Place,
}

/// Where a component is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A file that can be run.
    Program(PathBuf),
    /// A folder with something in it.
    Folder(PathBuf),
    /// A port that accepts connections.
    Port(SocketAddr),
}

impl Need {
    /// Whether it is there.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn met(&self) -> Result<(), String> {
        let missing = |path: &Path, why: &str| Err(format!("{} is missing: {} {why}", self.name, path.display()));
        match &self.place {
            Place::Program(path) => match std::fs::metadata(path) {
                Ok(seen) if seen.is_file() && seen.permissions().mode() & 0o111 != 0 => Ok(()),
                Ok(_) => missing(path, "cannot be run"),
                Err(why) => missing(path, &why.to_string()),
            },
            Place::Folder(path) => match std::fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
                Ok(true) => Ok(()),
                Ok(false) => missing(path, "is empty"),
                Err(why) => missing(path, &why.to_string()),
            },
            Place::Port(address) => match TcpStream::connect_timeout(address, Duration::from_secs(2)) {
                Ok(_) => Ok(()),
                Err(why) => Err(format!("{} is missing: nothing answers at {address}: {why}", self.name)),
            },
        }
    }
}

/// Each need, and one that is planted as missing.
pub(super) fn tries(needs: &[Need], folder: &Path, seen: bool) -> Vec<Try> {
    let ground = || "this machine".to_owned();
    let mut tries: Vec<Try> = Vec::new();
    for need in needs {
        let met = need.met();
        let said = met.as_ref().map_or_else(Clone::clone, |()| "it is there".to_owned());
        tries.push(Try { check: None, ground: ground(), planted: need.name.clone(), said, passed: met.is_ok() });
    }
    let planted = Need { name: "a planted gap".into(), place: Place::Program(folder.join("not-there")) };
    let found = planted.met().err().filter(|_| seen);
    tries.push(Try {
        check: Some(Check::Missing),
        ground: ground(),
        planted: super::describe(Check::Missing).to_owned(),
        passed: found.is_some(),
        said: found.unwrap_or_else(|| "nothing found".into()),
    });
    tries
}

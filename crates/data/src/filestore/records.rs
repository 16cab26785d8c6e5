//! Since when objects are missing from Odoo: neither named by its database nor in its filestore.
//!
//! Kept on this machine, where no store's keys can change it, and written whole. Losing it only makes things stay.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::folders::write_whole;

use super::name::FileName;

/// First sightings of what is missing; times in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When somebody looked last.
    pub last_look: u64,
    /// Since when each has been missing at every look.
    pub since: BTreeMap<FileName, u64>,
}

impl Missing {
    /// What is kept at `path`; nothing if it is not there or cannot be understood, so that waiting begins anew.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        write_whole(path, &serde_json::to_vec(self)?, 0o600)
    }

    /// Odoo has these; returns whether one of them was missing.
    pub(super) fn seen<'a>(&mut self, names: impl Iterator<Item = &'a FileName>) -> bool {
        let before = self.since.len();
        if before > 0 {
            for name in names {
                self.since.remove(name);
            }
        }
        self.since.len() < before
    }
}

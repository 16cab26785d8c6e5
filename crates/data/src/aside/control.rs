//! What `pg_controldata` says of a stopped data directory.

use std::collections::BTreeMap;

use springtide_driver::{Driver, Generation};

use super::{Aside, AsideError, DATA_AT};

/// Seconds for a program that only reads.
const SECONDS: u32 = 120;

/// The control file, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control(BTreeMap<String, String>);

impl Control {
    /// Reads the lines `name: value` of `pg_controldata` in the locale C.
    pub fn parse(text: &str) -> Self {
        let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().into()));
        Self(text.lines().filter_map(pair).collect())
    }
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
    /// `shut down`, `in archive recovery`, …; empty if it was not told.
    pub fn state(&self) -> &str {
        self.get("Database cluster state")
    }
    /// Whether the server was stopped and wrote everything, as primary or in recovery.
    pub fn stopped_clean(&self) -> bool {
        matches!(self.state(), "shut down" | "shut down in recovery")
    }
    /// Whether pages have checksums.
    pub fn checksums(&self) -> bool {
        !matches!(self.get("Data page checksum version"), "" | "0")
    }
    /// Timeline of the newest checkpoint.
    pub fn timeline(&self) -> Option<u32> {
        self.get("Latest checkpoint's TimeLineID").parse().ok()
    }
    /// Settings that a server in recovery may not have lower than its primary had.
    pub(super) fn least(&self) -> Vec<(&'static str, u32)> {
        let pairs = [
            ("max_connections setting", "max_connections", 100),
            ("max_worker_processes setting", "max_worker_processes", 8),
            ("max_wal_senders setting", "max_wal_senders", 10),
            ("max_prepared_xacts setting", "max_prepared_transactions", 0),
            ("max_locks_per_xact setting", "max_locks_per_transaction", 256),
        ];
        pairs.map(|(told, name, least)| (name, self.get(told).parse::<u32>().unwrap_or(0).max(least))).into()
    }
}

impl Aside {
    /// Reads the control file.
    pub async fn control(&self, driver: &dyn Driver, generation: Generation) -> Result<Control, AsideError> {
        let command = vec![self.program("pg_controldata"), "-D".into(), DATA_AT.into()];
        let told = self.run(driver, generation, "pg_controldata", &self.tool("control", command, SECONDS)).await?;
        Ok(Control::parse(&told.tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_is_read() {
        let control = Control::parse(
            "pg_control version number:            1300\n\
             Database cluster state:               shut down in recovery\n\
             Latest checkpoint's TimeLineID:       3\n\
             max_connections setting:              350\n\
             max_worker_processes setting:         2\n\
             Data page checksum version:           1\n",
        );
        assert!(control.stopped_clean() && control.checksums());
        assert_eq!(control.timeline(), Some(3));
        let least: BTreeMap<_, _> = control.least().into_iter().collect();
        assert_eq!((least["max_connections"], least["max_worker_processes"]), (350, 8));
        let silent = Control::parse("");
        assert!(!silent.stopped_clean() && !silent.checksums(), "what is not told is not taken for good");
        assert!(!Control::parse("Data page checksum version: 0").checksums());
    }
}

//! How far the engine is, from its own log as it grows: at detail it writes a line per file, with the part of all
//! bytes that is done.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use super::{Phase, Progress};

/// Most that is read at one look; what is older is passed over.
const LOOK_BYTES: u64 = 1 << 20;

/// A log that grows.
pub(super) struct LogTail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    /// Hundredths of a percent.
    done: u64,
    phase: Phase,
    total: u64,
}

impl LogTail {
    /// Follows a log of which nothing was read yet.
    pub fn new(path: PathBuf, phase: Phase, total: u64) -> Self {
        Self { path, offset: 0, rest: Vec::new(), done: 0, phase, total }
    }

    /// Reads what was added, and tells how far it is.
    pub fn look(&mut self) -> Progress {
        if let Ok(mut file) = File::open(&self.path) {
            let length = file.metadata().map_or(0, |meta| meta.len());
            self.offset = self.offset.max(length.saturating_sub(LOOK_BYTES)).min(length);
            if file.seek(SeekFrom::Start(self.offset)).is_ok() {
                let read = file.take(LOOK_BYTES).read_to_end(&mut self.rest).unwrap_or(0);
                self.offset += read as u64;
            }
        }
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = self.rest.drain(..=end).collect();
            let newest = String::from_utf8_lossy(&lines).lines().rev().find_map(hundredths);
            self.done = self.done.max(newest.unwrap_or(0));
        }
        let done = u64::try_from(u128::from(self.total) * u128::from(self.done) / 10_000).unwrap_or(self.total);
        Progress { phase: self.phase, done, total: self.total }
    }
}

/// The part in `... restore file /data/1259 (bundle 1/20, 8KB, 12.34%) checksum ...`, as 1234.
fn hundredths(line: &str) -> Option<u64> {
    if !line.contains(" file ") {
        return None;
    }
    let (before, _) = line.rsplit_once("%)")?;
    let (whole, part) = before.rsplit_once(", ")?.1.split_once('.')?;
    let (whole, part): (u64, u64) = (whole.parse().ok()?, part.get(..2)?.parse().ok()?);
    (whole <= 100 && part < 100).then_some(whole * 100 + part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn lines_tell_how_far_it_is() {
        let line = "2026-11-24 03:15:01.120 P01 DETAIL: restore file /srv/x/base/5/1255 (bundle 1/20, 8KB, 12.34%) checksum ab";
        assert_eq!(hundredths(line), Some(1234));
        assert_eq!(hundredths("P01 DETAIL: backup file /x/y (1MB, 100.00%) checksum cd"), Some(10_000));
        for bad in ["", "P00 INFO: new backup label", "x file y (8KB, 300.00%)", "x file y (8KB, 1%)", "file (, .%)"] {
            assert_eq!(hundredths(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_growing_log_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = LogTail::new(path.clone(), Phase::Fetch, 2000);
        assert_eq!(tail.look().done, 0);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"P01 DETAIL: restore file /a (1kB, 25.00%) checksum a\nP01 DETAIL: restore fi").unwrap();
        assert_eq!(tail.look(), Progress { phase: Phase::Fetch, done: 500, total: 2000 });
        file.write_all(b"le /b (1kB, 50.50%) checksum b\n").unwrap();
        assert_eq!(tail.look().done, 1010);
        file.write_all(b"P00   INFO: something else\n").unwrap();
        assert_eq!(tail.look().done, 1010);
    }
}

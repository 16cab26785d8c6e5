//! A line of the file: number, checksum, entry as JSON. Pure.
//!
//! Rule: a line that is not exactly as it was written is not read. The number shows lines that are gone,
//! the checksum lines that were changed or torn.

use sha2::{Digest, Sha256};

use super::Entry;

/// First line of every ledger.
pub(super) const HEAD: &str = "springtide-ledger 1\n";

/// An entry as a line with its newline; lines are numbered from 1.
pub(super) fn write(number: u64, entry: &Entry, into: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let json = serde_json::to_string(entry)?;
    into.extend_from_slice(format!("{number} {} {json}\n", checksum(number, &json)).as_bytes());
    Ok(())
}

/// The entry of a line without its newline, or what is wrong with it.
pub(super) fn read(number: u64, line: &[u8]) -> Result<Entry, String> {
    let line = str::from_utf8(line).map_err(|_| "it is not text")?;
    let mut parts = line.splitn(3, ' ');
    let (Some(found), Some(sum), Some(json)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it has no number, checksum and entry".into());
    };
    if found.parse() != Ok(number) {
        return Err(format!("it should have the number {number}"));
    }
    if sum != checksum(number, json) {
        return Err("its checksum does not fit".into());
    }
    serde_json::from_str(json).map_err(|error| format!("its entry cannot be read: {error}"))
}

fn checksum(number: u64, json: &str) -> String {
    let digest = Sha256::new().chain_update(number.to_le_bytes()).chain_update(json).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

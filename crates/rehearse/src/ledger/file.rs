//! Reads a ledger's file.
//!
//! Rule: the last line may be torn, because the machine or the run may have died in the middle of it; it
//! was never acknowledged to anybody. Anything else that is not as it was written is damage, and a damaged
//! ledger judges nobody.

use std::path::Path;

use super::{Entry, Ledger, LedgerError, line};

/// What a ledger holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// In the order in which they were written.
    pub entries: Vec<Entry>,
    /// Bytes of a last line that was not written to its end; they are left out.
    pub torn: u64,
    /// Bytes up to the end of the last whole line.
    pub(super) whole: u64,
}

impl Ledger {
    /// All entries of a ledger, which may be in use. A torn last line is left out, with a warning in the
    /// log; [`Ledger::read_all`] tells it as a value.
    ///
    /// # Errors
    /// It cannot be opened, or is damaged elsewhere than at its end.
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<Entry>, LedgerError> {
        let path = path.as_ref();
        let reading = Ledger::read_all(path)?;
        if reading.torn > 0 {
            tracing::warn!(path = %path.display(), bytes = reading.torn, "the ledger's last line is torn and left out");
        }
        Ok(reading.entries)
    }

    /// What a ledger holds, with what is torn at its end.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub fn read_all(path: impl AsRef<Path>) -> Result<Reading, LedgerError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| LedgerError::Open { path: path.to_owned(), reason: error.to_string() })?;
        parse(&bytes).map_err(|(line, reason)| LedgerError::Damaged { path: path.to_owned(), line, reason })
    }
}

/// The entries in a file's bytes, or the line that is damaged and what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Reading, (usize, String)> {
    let head = line::HEAD.as_bytes();
    if bytes.len() < head.len() && head.starts_with(bytes) {
        return Ok(Reading { torn: bytes.len() as u64, ..Reading::default() });
    }
    if !bytes.starts_with(head) {
        return Err((1, "it does not begin like a ledger".into()));
    }
    let mut reading = Reading { whole: head.len() as u64, ..Reading::default() };
    let mut rest = &bytes[head.len()..];
    let mut number = 0;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        number += 1;
        match line::read(number, &rest[..end]) {
            Ok(entry) => reading.entries.push(entry),
            // After a crash of the machine a last line may have its end and not its middle.
            Err(_) if end + 1 == rest.len() && rest[..end].contains(&0) => break,
            Err(reason) => return Err((number as usize + 1, reason)),
        }
        reading.whole += end as u64 + 1;
        rest = &rest[end + 1..];
    }
    reading.torn = rest.len() as u64;
    Ok(reading)
}

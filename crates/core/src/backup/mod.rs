//! Backups and what can be restored from them, all pure: positions and segments of WAL, sets, the choice of
//! one for a target, retention, and the text of pgBackRest's configuration.
//!
//! `conf` (what the engine is told) · `lsn`, `wal`, `history` (names) · `info` (the engine's own word, as
//! [`set::BackupSet`]s) · `continuity` (what the archive really holds) · `select` (the set for a target) ·
//! `canary` (a person's time as a position) · `retention` (what may go).
//!
//! The rule that keeps it right: what can be restored is reckoned from segments that were seen in the archive,
//! never from the engine's word that it is fine.

pub mod conf;

//! Backups and what can be restored from them, all pure: positions and segments of WAL, sets, the choice of
//! one for a target, retention, and the text of pgBackRest's configuration.
//!
//! `conf` (what the engine is told) · `lsn`, `wal`, `history` (names) · `info` (the engine's own word, as
//! [`set::BackupSet`]s) · `continuity` (what the archive really holds) · `select` (the set for a target) ·
//! `canary` (a person's time as a position) · `retention` (what may go) · `schedule` (what is due) · `alarm` (what is
//! wrong).
//!
//! The rule that keeps it right: what can be restored is reckoned from segments that were seen in the archive,
//! never from the engine's word that it is fine.

pub mod alarm;
pub mod canary;
pub mod conf;
pub mod continuity;
pub mod history;
pub mod info;
pub mod lsn;
pub mod retention;
pub mod schedule;
pub mod select;
pub mod set;
pub mod wal;

pub use canary::{Canary, Moment, NoMoment, moment};
pub use conf::RepoKey;
pub use continuity::{Archive, Continuity, continuity};
pub use history::Line;
pub use info::Info;
pub use lsn::{Lsn, Timeline};
pub use retention::{Expiry, Keep, expire};
pub use select::{Choice, NoSet, PointName, Target, select};
pub use set::{BackupSet, Kind, Label};
pub use wal::Segment;

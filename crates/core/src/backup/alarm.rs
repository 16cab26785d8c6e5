//! What is wrong with an environment's recovery, from what was seen and a `now` that is handed in.
//!
//! The rule: what is absent alarms as what has failed does. A backup that was not taken, a proof that was not tried
//! and an archive that says nothing raise the same alarm as one that went wrong.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::schedule::{Rhythm, later};
use super::set::BackupSet;
use super::wal::Segment;
use crate::units::Span;

/// Longest time without a proof.
pub const UNPROVEN: Span = Span::from_seconds(48 * 3_600);
/// Longest time that a segment may wait for the archive. The server closes one every minute, so this is two of them.
pub const UNARCHIVED: Span = Span::from_seconds(120);
/// Most segments that may wait for the archive.
pub const WAITING: u32 = 3;
/// Longest time by which the far copy may be behind.
pub const FAR_BEHIND: Span = Span::from_seconds(3_600);

/// What was seen. Unknown is `None` and alarms nothing by itself, unless it was unknown for too long.
#[derive(Debug, Clone, Default)]
pub struct Seen<'a> {
    /// When backups were switched on.
    pub since: Option<Timestamp>,
    /// Sets of the near place.
    pub near: &'a [BackupSet],
    /// When the newest set of the far place was whole, if there is a far place.
    pub far: Option<Option<Timestamp>>,
    /// When the newest segment was archived, and how many wait.
    pub archived: Option<(Timestamp, u32)>,
    /// The first segment that is missing in the middle.
    pub gap: Option<Segment>,
    /// When the last proof ended that proved something.
    pub proven: Option<Timestamp>,
    /// What the newest proof found, if it failed.
    pub failed: Option<String>,
}

/// Something that somebody must look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "alarm")]
pub enum Alarm {
    /// The newest backup is older than twice its rhythm, or there is none.
    BackupOld {
        /// When it was whole.
        newest: Option<Timestamp>,
    },
    /// The archive does not take the log.
    ArchiveStuck {
        /// When it last took some.
        since: Timestamp,
        /// Segments that wait.
        waiting: u32,
    },
    /// A segment is missing: nothing after it can be restored from sets before it.
    ArchiveGap {
        /// The first that is missing.
        missing: Segment,
    },
    /// Nothing was proven for too long.
    NotProven {
        /// The last proof, if there was one.
        last: Option<Timestamp>,
    },
    /// The newest proof failed.
    ProofFailed {
        /// What it found.
        found: String,
    },
    /// The far copy is behind, or there is nothing in it.
    FarBehind {
        /// When its newest set was whole.
        newest: Option<Timestamp>,
    },
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Alarm::BackupOld { newest: Some(at) } => write!(f, "the newest backup is of {at}"),
            Alarm::BackupOld { newest: None } => f.write_str("there is no backup"),
            Alarm::ArchiveStuck { since, waiting } => {
                write!(f, "the archive took no log since {since}; {waiting} segments wait")
            }
            Alarm::ArchiveGap { missing } => write!(f, "segment {missing} is missing in the archive"),
            Alarm::NotProven { last: Some(at) } => write!(f, "no restore was proven since {at}"),
            Alarm::NotProven { last: None } => f.write_str("no restore was ever proven"),
            Alarm::ProofFailed { found } => write!(f, "the newest proof failed: {found}"),
            Alarm::FarBehind { newest: Some(at) } => write!(f, "the newest far backup is of {at}"),
            Alarm::FarBehind { newest: None } => f.write_str("there is no backup in the far place"),
        }
    }
}

/// Everything that is wrong, the worst first.
pub fn alarms(seen: &Seen<'_>, rhythm: Rhythm, tested: bool, now: Timestamp) -> Vec<Alarm> {
    let mut found = Vec::new();
    let over = |since: Option<Timestamp>, limit: Span| {
        // What was never there is as old as the wish for it.
        since.or(seen.since).is_none_or(|since| later(since, limit) < now)
    };
    let twice = Span::from_seconds(u32::try_from(rhythm.incremental.seconds().saturating_mul(2)).unwrap_or(u32::MAX));
    if let Some(missing) = seen.gap {
        found.push(Alarm::ArchiveGap { missing });
    }
    if let Some(found_there) = &seen.failed {
        found.push(Alarm::ProofFailed { found: found_there.clone() });
    }
    if let Some((since, waiting)) = seen.archived
        && waiting > 0
        && (waiting > WAITING || later(since, UNARCHIVED) < now)
    {
        found.push(Alarm::ArchiveStuck { since, waiting });
    }
    let newest = seen.near.iter().filter(|set| !set.error).map(|set| set.stopped).max();
    if over(newest, twice) {
        found.push(Alarm::BackupOld { newest });
    }
    if tested && over(seen.proven, UNPROVEN) {
        found.push(Alarm::NotProven { last: seen.proven });
    }
    if let Some(newest) = seen.far {
        let behind =
            Span::from_seconds(u32::try_from(twice.seconds().saturating_add(FAR_BEHIND.seconds())).unwrap_or(u32::MAX));
        if over(newest, behind) {
            found.push(Alarm::FarBehind { newest });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::set::tests::set;

    const RHYTHM: Rhythm = Rhythm { full: Span::from_seconds(7 * 86_400), incremental: Span::from_seconds(6 * 3_600) };

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_793_491_200 + hour * 3_600).unwrap()
    }

    #[test]
    fn a_young_environment_is_quiet_and_one_that_nothing_was_done_for_is_not() {
        let seen = Seen { since: Some(hour(0)), far: Some(None), ..Seen::default() };
        assert_eq!(alarms(&seen, RHYTHM, true, hour(1)), []);
        let late = alarms(&seen, RHYTHM, true, hour(49));
        let absent =
            [Alarm::BackupOld { newest: None }, Alarm::NotProven { last: None }, Alarm::FarBehind { newest: None }];
        assert_eq!(late, absent);
        assert_eq!(alarms(&Seen { since: None, ..seen }, RHYTHM, true, hour(0)), absent, "nobody knows since when");
    }

    #[test]
    fn each_trouble_has_its_alarm_and_health_has_none() {
        let sets = [set(0, None)];
        let good = Seen {
            since: Some(hour(0)),
            near: &sets,
            far: Some(Some(hour(0))),
            archived: Some((hour(5), 0)),
            proven: Some(hour(0)),
            ..Seen::default()
        };
        assert_eq!(alarms(&good, RHYTHM, true, hour(6)), []);
        let stuck = Seen { archived: Some((hour(5), 1)), ..good.clone() };
        assert_eq!(alarms(&stuck, RHYTHM, true, hour(6)), [Alarm::ArchiveStuck { since: hour(5), waiting: 1 }]);
        let many = Seen { archived: Some((hour(6), 4)), ..good.clone() };
        assert_eq!(alarms(&many, RHYTHM, true, hour(6)), [Alarm::ArchiveStuck { since: hour(6), waiting: 4 }]);
        let failed = Seen { failed: Some("a file".into()), ..good.clone() };
        assert_eq!(alarms(&failed, RHYTHM, true, hour(6)), [Alarm::ProofFailed { found: "a file".into() }]);
        let old = alarms(&good, RHYTHM, true, hour(60));
        assert_eq!(old.len(), 3, "{old:?}");
        assert_eq!(alarms(&good, RHYTHM, false, hour(60)).len(), 2, "nobody asked for proofs");
    }
}

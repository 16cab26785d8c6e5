//! Which set a restore takes, for a target. The engine's own choice is not used: for a named point it takes the
//! newest set, also when that one is younger than the point.
//!
//! The rule: the newest set that was consistent before the target, whose chain is there and good, and from whose
//! start every segment up to the target is in the archive. What is refused is refused with what could be had.

use super::continuity::{Archive, Continuity};
use super::history::Line;
use super::lsn::Lsn;
use super::set::{BackupSet, Broken, Chains, Label};
use super::wal::Segment;

/// Where a restore ends.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// With what ended at or before a position; nothing that begins at or after it.
    Lsn(Lsn),
    /// At a point that was named in the log. A name alone chooses no set, so it comes with its position.
    Name {
        /// The name, as it was given to `pg_create_restore_point`.
        name: PointName,
        /// What that function answered.
        lsn: Lsn,
    },
}

impl Target {
    /// Its position.
    pub fn lsn(&self) -> Lsn {
        match self {
            Target::Lsn(lsn) | Target::Name { lsn, .. } => *lsn,
        }
    }
}

/// Name of a point in the log: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, so that it is safe wherever it goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct PointName(String);

/// The text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name for a point: use 1 to 63 of a-z, A-Z, 0-9, dots, underscores and hyphens")]
pub struct PointNameError(String);

impl PointName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PointName {
    type Err = PointNameError;
    fn from_str(text: &str) -> Result<Self, PointNameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=63).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PointNameError(text.chars().take(80).collect()))
        }
    }
}

impl<'de> serde::Deserialize<'de> for PointName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A set and how it gets to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The set.
    pub set: &'a BackupSet,
    /// The line of timelines to replay along.
    pub line: Line,
    /// Bytes of log between the set's start and the target.
    pub replay_bytes: u64,
}

/// Why one set was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// It was consistent only at or after the target.
    Newer,
    /// It or what it builds on is broken or gone.
    Broken(Broken),
    /// It is of another cluster than the archive.
    OtherCluster,
    /// It was taken on a timeline that this line left before.
    OtherLine,
    /// A segment that its replay needs is gone.
    Gap(Segment),
    /// The archive ends before the target.
    ArchiveEnds(Lsn),
}

/// Why there is no set for a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSet {
    /// There is no set at all.
    #[error("there is no backup set yet")]
    Empty,
    /// Every set was consistent only at or after the target.
    #[error("the target lies before the first backup set, {label}, which begins to be restorable after {earliest}")]
    BeforeFirst {
        /// The earliest set that is good.
        label: Label,
        /// Its end, and so the earliest position there is.
        earliest: Lsn,
    },
    /// The archive does not reach the target.
    #[error("the target lies after {newest}, where the archived log ends")]
    AfterNewest {
        /// Where it ends.
        newest: Lsn,
    },
    /// A segment between the sets and the target is gone.
    #[error("WAL segment {missing} is not in the archive; what can be restored ends before {up_to}")]
    Gap {
        /// The segment.
        missing: Segment,
        /// What can be had instead.
        up_to: Lsn,
    },
    /// Sets are old enough, and none is whole.
    #[error("none of {} backup sets before the target is whole", .sets.len())]
    NoneWhole {
        /// Each with why.
        sets: Vec<(Label, NotTaken)>,
    },
}

/// Chooses the set for a target from the sets of one repository, along the newest timeline of its archive.
pub fn select<'a>(sets: &'a [BackupSet], archive: &Archive, target: &Target) -> Result<Choice<'a>, NoSet> {
    let newest = archive.newest_timeline().or(sets.iter().map(|set| set.timeline).max());
    let line = newest.map_or(Line::alone(super::lsn::Timeline::FIRST), |timeline| archive.line(timeline));
    select_along(sets, archive, &line, target)
}

/// Chooses the set for a target along a line of one's own choice.
pub fn select_along<'a>(
    sets: &'a [BackupSet],
    archive: &Archive,
    line: &Line,
    target: &Target,
) -> Result<Choice<'a>, NoSet> {
    let chains = Chains::new(sets);
    let lsn = target.lsn();
    let mut order: Vec<&BackupSet> = sets.iter().collect();
    order.sort_by(|a, b| (b.stop_lsn, &b.label).cmp(&(a.stop_lsn, &a.label)));
    let mut refused = Vec::new();
    for set in order {
        match fits(set, &chains, archive, line, lsn) {
            Ok(()) => return Ok(Choice { set, line: line.clone(), replay_bytes: lsn.since(set.start_lsn) }),
            Err(why) => refused.push((set, why)),
        }
    }
    Err(no_set(refused))
}

fn fits(set: &BackupSet, chains: &Chains<'_>, archive: &Archive, line: &Line, target: Lsn) -> Result<(), NotTaken> {
    chains.needs(set).map_err(NotTaken::Broken)?;
    if set.archive != archive.name {
        return Err(NotTaken::OtherCluster);
    }
    if !line.holds(set.timeline, set.stop_lsn) {
        return Err(NotTaken::OtherLine);
    }
    if set.stop_lsn >= target {
        return Err(NotTaken::Newer);
    }
    match archive.continuity(line, set.start_lsn) {
        // Replay ends before the record that begins at the target, so that one must be there too.
        Continuity::Whole { up_to } | Continuity::Gap { up_to, .. } if target < up_to => Ok(()),
        Continuity::Whole { up_to } => Err(NotTaken::ArchiveEnds(up_to)),
        Continuity::Gap { missing, .. } => Err(NotTaken::Gap(missing)),
        Continuity::Nothing { wanted } => Err(NotTaken::Gap(wanted)),
    }
}

/// The reason that helps most: the newest set that is old enough decides. `refused` is newest first.
fn no_set(refused: Vec<(&BackupSet, NotTaken)>) -> NoSet {
    let old_enough = |why: &NotTaken| !matches!(why, NotTaken::Newer);
    let whole = |why: &NotTaken| matches!(why, NotTaken::ArchiveEnds(_) | NotTaken::Gap(_));
    if let Some((_, why)) = refused.iter().find(|(_, why)| whole(why)) {
        return match why {
            NotTaken::ArchiveEnds(newest) => NoSet::AfterNewest { newest: *newest },
            NotTaken::Gap(missing) => NoSet::Gap { missing: *missing, up_to: missing.start() },
            _ => NoSet::Empty,
        };
    }
    let sets: Vec<(Label, NotTaken)> =
        refused.iter().filter(|(_, why)| old_enough(why)).map(|(set, why)| (set.label.clone(), why.clone())).collect();
    match refused.iter().rev().find(|(_, why)| !old_enough(why)) {
        Some((set, _)) if sets.is_empty() => NoSet::BeforeFirst { label: set.label.clone(), earliest: set.stop_lsn },
        _ if sets.is_empty() => NoSet::Empty,
        _ => NoSet::NoneWhole { sets },
    }
}

#[cfg(test)]
mod tests {
    use super::super::lsn::Timeline;
    use super::super::set::tests::set;
    use super::super::wal::SEGMENT_BYTES;
    use super::*;
    use proptest::prelude::*;

    /// Segments so that `hours` hours of log are there; a set of an hour begins with its 16 segments.
    fn archive(hours: u64, gone: &[u64]) -> Archive {
        let segments = (0..hours * 16).filter(|number| !gone.contains(number));
        Archive {
            name: "15-1".into(),
            segments: segments.map(|number| Segment::numbered(Timeline::FIRST, number).unwrap()).collect(),
            ..Archive::default()
        }
    }

    fn hour(hour: u64) -> Target {
        Target::Lsn(Lsn::new(hour * 16 * SEGMENT_BYTES))
    }

    fn three() -> Vec<BackupSet> {
        let full = set(2, None);
        let incr = set(8, Some(&full));
        let next = set(14, Some(&incr));
        vec![full, incr, next]
    }

    #[test]
    fn the_newest_set_before_the_target_is_taken() {
        let sets = three();
        let archive = archive(20, &[]);
        let taken = |target| select(&sets, &archive, &target).unwrap().set.label.clone();
        assert_eq!(taken(hour(19)), sets[2].label);
        assert_eq!(taken(hour(14)), sets[1].label);
        assert_eq!(taken(Target::Lsn(sets[1].stop_lsn)), sets[0].label, "it is not before its own end");
        let name = Target::Name { name: "before-import".parse().unwrap(), lsn: hour(3).lsn() };
        assert_eq!(taken(name), sets[0].label, "also by name it is not the newest");
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_what_can() {
        let sets = three();
        let label = sets[0].label.clone();
        let earliest = sets[0].stop_lsn;
        assert_eq!(select(&sets, &archive(20, &[]), &hour(1)), Err(NoSet::BeforeFirst { label, earliest }));
        let newest = hour(20).lsn();
        assert_eq!(select(&sets, &archive(20, &[]), &hour(20)), Err(NoSet::AfterNewest { newest }));
        assert_eq!(select(&[], &archive(20, &[]), &hour(20)), Err(NoSet::Empty));
        let missing = Segment::numbered(Timeline::FIRST, 15 * 16).unwrap();
        let gap = NoSet::Gap { missing, up_to: missing.start() };
        assert_eq!(select(&sets, &archive(20, &[15 * 16]), &hour(16)), Err(gap));
        // Before the hole all is well.
        let last = Target::Lsn(Lsn::new(missing.start().byte() - 1));
        assert!(select(&sets, &archive(20, &[15 * 16]), &last).is_ok());
    }

    #[test]
    fn a_broken_set_gives_way_to_an_older_one() {
        let mut sets = three();
        sets[2].error = true;
        assert_eq!(select(&sets, &archive(20, &[]), &hour(19)).unwrap().set.label, sets[1].label);
        sets.remove(0);
        let Err(NoSet::NoneWhole { sets: refused }) = select(&sets, &archive(20, &[]), &hour(19)) else { panic!() };
        assert_eq!(refused.len(), 2);
    }

    #[test]
    fn a_set_of_another_cluster_is_not_taken() {
        let mut sets = three();
        sets[2].archive = "15-2".into();
        assert_eq!(select(&sets, &archive(20, &[]), &hour(19)).unwrap().set.label, sets[1].label);
    }

    #[test]
    fn a_set_of_a_line_that_was_left_is_not_taken() {
        let sets = three();
        let two = Timeline::new(2).unwrap();
        let left = hour(10).lsn();
        let mut archive = archive(20, &[]);
        archive.segments.extend((160..320).map(|number| Segment::numbered(two, number).unwrap()));
        archive.lines.insert(two, Line::parse(two, &format!("1\t{left}\tx")).unwrap());
        let choice = select(&sets, &archive, &hour(19)).unwrap();
        assert_eq!((&choice.set.label, choice.line.timeline()), (&sets[1].label, two));
    }

    #[test]
    fn names_of_points_are_harmless() {
        for bad in ["", "a b", "x'", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<PointName>().is_err());
        }
    }

    fn world() -> impl Strategy<Value = (Vec<BackupSet>, Archive)> {
        let sets = prop::collection::vec(
            (1u32..40, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1)),
            0..8,
        );
        (sets, prop::collection::btree_set(0u64..640, 0..6)).prop_map(|(plan, gone)| {
            let mut hours: Vec<_> = plan;
            hours.sort_by_key(|(hour, ..)| *hour);
            hours.dedup_by_key(|(hour, ..)| *hour);
            let mut sets: Vec<BackupSet> = Vec::new();
            for (hour, builds, error, _) in &hours {
                let mut next = set(*hour, sets.last().filter(|_| *builds));
                next.error = *error;
                sets.push(next);
            }
            // Some disappear, also ones that others need.
            let mut keep = hours.iter().map(|(.., gone)| !gone);
            sets.retain(|_| keep.next().unwrap_or(true));
            let gone: Vec<u64> = gone.into_iter().collect();
            (sets, archive(40, &gone))
        })
    }

    proptest! {
        #[test]
        fn what_is_chosen_can_be_restored_and_nothing_newer_could((sets, archive) in world(), target in 0u64..700 * SEGMENT_BYTES) {
            let target = Target::Lsn(Lsn::new(target));
            // Said anew and plainly.
            let good = |set: &BackupSet| {
                let there = |label: &Label| sets.iter().any(|other| other.label == *label && !other.error);
                let first = set.start_lsn.byte() / SEGMENT_BYTES;
                let last = target.lsn().byte() / SEGMENT_BYTES;
                let holds = |number| archive.segments.contains(&Segment::numbered(Timeline::FIRST, number).unwrap());
                !set.error && set.references.iter().all(there) && set.stop_lsn < target.lsn() && (first..=last).all(holds)
            };
            match select(&sets, &archive, &target) {
                Ok(choice) => {
                    prop_assert!(good(choice.set));
                    prop_assert!(!sets.iter().any(|set| good(set) && set.stop_lsn > choice.set.stop_lsn));
                }
                Err(why) => {
                    prop_assert!(!sets.iter().any(good), "{why}");
                    if let NoSet::Gap { missing, .. } = why {
                        prop_assert!(!archive.segments.contains(&missing));
                    }
                }
            }
        }
    }
}

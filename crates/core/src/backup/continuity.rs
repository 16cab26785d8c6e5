//! Whether the archive holds every segment between a set and its newest, found from the names that are really
//! there. The engine itself tells only the first and the last, so a segment that is gone between them shows
//! nowhere else before a restore ends at the hole.

use std::collections::{BTreeMap, BTreeSet};

use super::history::Line;
use super::lsn::{Lsn, Timeline};
use super::wal::Segment;

/// What lies in the archive of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archive {
    /// Its name, such as `15-1`: one per cluster.
    pub name: String,
    /// Segments that are there, each once.
    pub segments: BTreeSet<Segment>,
    /// Segments that are there twice with different content; the engine fetches neither, so they count as gone.
    pub doubled: BTreeSet<Segment>,
    /// Histories of timelines that began at a restore.
    pub lines: BTreeMap<Timeline, Line>,
}

/// What can be replayed from a position on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuity {
    /// Every segment is there.
    Whole {
        /// End of the newest one.
        up_to: Lsn,
    },
    /// One is not, and later ones are.
    Gap {
        /// The first that is gone.
        missing: Segment,
        /// How many are gone between the position and the newest.
        count: u64,
        /// What can still be restored: up to the first byte of that segment.
        up_to: Lsn,
        /// Where the archive goes on after the first hole.
        resumes: Lsn,
    },
    /// There is none at the position nor after it.
    Nothing {
        /// The segment that would have to be the first.
        wanted: Segment,
    },
}

impl Continuity {
    /// The end of what can be replayed; none if that is nothing.
    pub fn up_to(&self) -> Option<Lsn> {
        match self {
            Continuity::Whole { up_to } | Continuity::Gap { up_to, .. } => Some(*up_to),
            Continuity::Nothing { .. } => None,
        }
    }
}

/// Follows `line` from `from` through the segments that were seen, to the newest on the line.
pub fn continuity(seen: &BTreeSet<Segment>, line: &Line, from: Lsn) -> Continuity {
    let first = Segment::holding(line.timeline(), from).number();
    let nothing =
        || Continuity::Nothing { wanted: line.segment(first).unwrap_or(Segment::holding(line.timeline(), from)) };
    // Numbers that are there on the line; walked instead of counted through, since a name may claim any number.
    let there: BTreeSet<u64> = seen
        .iter()
        .filter(|segment| segment.number() >= first && line.segment(segment.number()) == Some(**segment))
        .map(|segment| segment.number())
        .collect();
    let Some(newest) = there.last().copied() else { return nothing() };
    let mut expected = first;
    let mut hole: Option<(u64, u64)> = None;
    for number in &there {
        if *number != expected && hole.is_none() {
            hole = Some((expected, *number));
        }
        expected = number + 1;
    }
    let on_line = |number: u64| line.segment(number);
    match hole {
        None => on_line(newest).map_or_else(nothing, |segment| Continuity::Whole { up_to: segment.end() }),
        Some((gone, resumes)) => match (on_line(gone), on_line(resumes)) {
            (Some(missing), Some(resumes)) => Continuity::Gap {
                missing,
                count: (newest - first + 1) - there.len() as u64,
                up_to: missing.start().max(from),
                resumes: resumes.start(),
            },
            _ => nothing(),
        },
    }
}

impl Archive {
    /// The line of a timeline: with its history if the archive holds one.
    pub fn line(&self, timeline: Timeline) -> Line {
        self.lines.get(&timeline).cloned().unwrap_or(Line::alone(timeline))
    }

    /// The newest timeline that a segment or a history is there of.
    pub fn newest_timeline(&self) -> Option<Timeline> {
        let segment = self.segments.iter().next_back().map(|segment| segment.timeline());
        segment.max(self.lines.keys().next_back().copied())
    }

    /// What can be replayed along `line` from `from` on.
    pub fn continuity(&self, line: &Line, from: Lsn) -> Continuity {
        if self.doubled.is_empty() {
            return continuity(&self.segments, line, from);
        }
        let good: BTreeSet<Segment> = self.segments.difference(&self.doubled).copied().collect();
        continuity(&good, line, from)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wal::SEGMENT_BYTES;
    use super::*;
    use proptest::prelude::*;

    fn at(number: u64) -> Segment {
        Segment::numbered(Timeline::FIRST, number).unwrap()
    }

    fn seen(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Segment> {
        numbers.into_iter().map(at).collect()
    }

    const ALONE: Line = Line::alone(Timeline::FIRST);

    #[test]
    fn a_missing_middle_is_named() {
        let from = Lsn::new(3 * SEGMENT_BYTES + 40);
        let whole = continuity(&seen(1..9), &ALONE, from);
        assert_eq!(whole, Continuity::Whole { up_to: at(8).end() });
        let mut gone = seen(1..9);
        gone.remove(&at(5));
        gone.remove(&at(7));
        let gap = Continuity::Gap { missing: at(5), count: 2, up_to: at(5).start(), resumes: at(6).start() };
        assert_eq!(continuity(&gone, &ALONE, from), gap);
        // A hole before the set is no matter of it.
        assert_eq!(continuity(&gone, &ALONE, at(8).start()), Continuity::Whole { up_to: at(8).end() });
    }

    #[test]
    fn without_its_first_segment_a_set_is_worth_nothing() {
        let from = Lsn::new(3 * SEGMENT_BYTES + 40);
        assert_eq!(continuity(&seen([1, 2]), &ALONE, from), Continuity::Nothing { wanted: at(3) });
        let gap = Continuity::Gap { missing: at(3), count: 1, up_to: from, resumes: at(4).start() };
        assert_eq!(continuity(&seen([4, 5]), &ALONE, from), gap);
    }

    #[test]
    fn a_claim_of_a_far_segment_costs_nothing() {
        let far = Segment::numbered(Timeline::FIRST, u64::MAX / SEGMENT_BYTES).unwrap();
        let mut seen = seen([1, 2]);
        seen.insert(far);
        let Continuity::Gap { missing, count, .. } = continuity(&seen, &ALONE, at(1).start()) else { panic!() };
        assert_eq!((missing, count), (at(3), far.number() - 3));
    }

    #[test]
    fn a_line_goes_over_timelines() {
        let two = Timeline::new(2).unwrap();
        let line = Line::parse(two, &format!("1\t{}\tx\n", Lsn::new(4 * SEGMENT_BYTES + 7))).unwrap();
        let second = |number| Segment::numbered(two, number).unwrap();
        let mut archive = Archive { name: "15-1".into(), segments: seen(1..6), ..Archive::default() };
        archive.segments.extend([second(4), second(5), second(6)]);
        archive.lines.insert(two, line.clone());
        assert_eq!(archive.newest_timeline(), Some(two));
        assert_eq!(archive.line(two), line);
        assert_eq!(archive.continuity(&line, at(2).start()), Continuity::Whole { up_to: second(6).end() });
        // The old timeline's own segment of that number does not stand in for the new one's.
        archive.segments.remove(&second(4));
        let Continuity::Gap { missing, .. } = archive.continuity(&line, at(2).start()) else { panic!() };
        assert_eq!(missing, second(4));
    }

    #[test]
    fn a_doubled_segment_counts_as_gone() {
        let archive = Archive { segments: seen(1..6), doubled: seen([3]), ..Archive::default() };
        let Continuity::Gap { missing, .. } = archive.continuity(&ALONE, at(1).start()) else { panic!() };
        assert_eq!(missing, at(3));
    }

    proptest! {
        /// Against the plainest way to say it: count up until one is not there.
        #[test]
        fn it_is_what_counting_says(numbers in prop::collection::btree_set(0u64..40, 0..40), first in 0u64..40) {
            let all = seen(numbers.iter().copied());
            let from = at(first).start();
            let newest = numbers.iter().next_back().copied().filter(|newest| *newest >= first);
            let result = continuity(&all, &ALONE, from);
            match newest {
                None => prop_assert_eq!(result, Continuity::Nothing { wanted: at(first) }),
                Some(newest) => match (first..=newest).find(|number| !numbers.contains(number)) {
                    None => prop_assert_eq!(result, Continuity::Whole { up_to: at(newest).end() }),
                    Some(gone) => {
                        let count = (first..=newest).filter(|number| !numbers.contains(number)).count() as u64;
                        let next = (gone..).find(|number| numbers.contains(number)).unwrap();
                        let expected =
                            Continuity::Gap { missing: at(gone), count, up_to: at(gone).start(), resumes: at(next).start() };
                        prop_assert_eq!(result, expected);
                    }
                },
            }
        }
    }
}

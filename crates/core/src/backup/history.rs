//! Histories of timelines: where each one branched off, and so which segment serves which part of a restore.
//!
//! PostgreSQL begins a new timeline's first segment as a copy of the one it branched off in. So a restore along
//! a line takes each segment from the newest timeline that has begun by then, and the unfinished last segment
//! of an older timeline is never needed.

use super::lsn::{Lsn, Timeline};
use super::wal::Segment;

/// Longer ones are refused: a database has few timelines, and a hostile file must not fill memory.
const MOST_LINES: usize = 10_000;

/// One line of a history: at which position a timeline was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The timeline that was left.
    pub timeline: Timeline,
    /// Where.
    pub at: Lsn,
    /// Why, in PostgreSQL's words, such as `before LSN 0/3000060`.
    pub reason: String,
}

/// The text is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the history of timeline {timeline} is not one that PostgreSQL writes")]
pub struct HistoryError {
    /// Whose history.
    pub timeline: Timeline,
    /// Which line, from 1.
    pub line: usize,
}

/// A timeline with where it came from: what a restore along it replays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Older timelines, in order.
    branches: Vec<Branch>,
    /// The newest.
    timeline: Timeline,
}

impl Line {
    /// A timeline without ancestors.
    pub const fn alone(timeline: Timeline) -> Self {
        Self { branches: Vec::new(), timeline }
    }

    /// Reads the history file of `timeline`.
    pub fn parse(timeline: Timeline, text: &str) -> Result<Self, HistoryError> {
        let mut branches: Vec<Branch> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = HistoryError { timeline, line: index + 1 };
            let mut fields = line.splitn(3, '\t');
            let of = fields.next().and_then(|text| Timeline::new(text.trim().parse().ok()?));
            let at = fields.next().and_then(|text| text.trim().parse::<Lsn>().ok());
            let (Some(of), Some(at)) = (of, at) else { return Err(wrong) };
            let ordered = branches.last().is_none_or(|last| last.timeline < of && last.at <= at);
            if !ordered || of >= timeline || branches.len() >= MOST_LINES {
                return Err(wrong);
            }
            branches.push(Branch { timeline: of, at, reason: fields.next().unwrap_or_default().trim().to_owned() });
        }
        Ok(Self { branches, timeline })
    }

    /// The newest timeline.
    pub const fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Where older timelines were left, in order.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// Whether a position of a timeline lies on this line.
    pub fn holds(&self, timeline: Timeline, lsn: Lsn) -> bool {
        timeline == self.timeline || self.branches.iter().any(|branch| branch.timeline == timeline && lsn <= branch.at)
    }

    /// The segment of a number that a restore along this line takes.
    pub fn segment(&self, number: u64) -> Option<Segment> {
        // A timeline begins in the segment in which the one before it was left.
        let passed = self
            .branches
            .iter()
            .take_while(|branch| Segment::holding(branch.timeline, branch.at).number() <= number)
            .count();
        let timeline = self.branches.get(passed).map_or(self.timeline, |branch| branch.timeline);
        Segment::numbered(timeline, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO_RESTORES: &str = "1\t0/3000060\tbefore LSN 0/3000060\n\n2\t0/6000000\tno recovery target specified\n";

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    #[test]
    fn a_history_says_which_segment_is_taken() {
        let line = Line::parse(timeline(3), TWO_RESTORES).unwrap();
        assert_eq!(line.branches()[0].reason, "before LSN 0/3000060");
        let names: Vec<String> = (1..8).map(|number| line.segment(number).unwrap().to_string()).collect();
        assert_eq!(
            names,
            [
                "000000010000000000000001",
                "000000010000000000000002",
                "000000020000000000000003",
                "000000020000000000000004",
                "000000020000000000000005",
                "000000030000000000000006",
                "000000030000000000000007"
            ]
        );
    }

    #[test]
    fn what_came_after_a_branch_is_not_on_the_line() {
        let line = Line::parse(timeline(3), TWO_RESTORES).unwrap();
        let at = |text: &str| text.parse::<Lsn>().unwrap();
        assert!(line.holds(timeline(1), at("0/3000060")) && !line.holds(timeline(1), at("0/3000061")));
        assert!(line.holds(timeline(3), at("FF/0")) && !line.holds(timeline(4), at("0/0")));
    }

    #[test]
    fn a_crooked_history_is_refused() {
        for (bad, line) in [
            ("1 0/3000060", 1),
            ("1\tnowhere\tx", 1),
            ("3\t0/3000060\tx", 1),
            ("0\t0/1\tx", 1),
            ("# fine\n2\t0/6\tx\n1\t0/7\tx", 3),
            ("1\t0/6\tx\n2\t0/5\tx", 2),
        ] {
            assert_eq!(Line::parse(timeline(3), bad), Err(HistoryError { timeline: timeline(3), line }), "{bad:?}");
        }
        assert_eq!(Line::parse(timeline(1), "").unwrap(), Line::alone(timeline(1)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in "([0-9]{1,3}\t[0-9A-F]{1,3}/[0-9A-F]{1,9}\t.{0,9}\n|.{0,20}\n){0,6}", number: u64) {
            if let Ok(line) = Line::parse(timeline(7), &text) {
                let _ = line.segment(number);
            }
        }
    }
}

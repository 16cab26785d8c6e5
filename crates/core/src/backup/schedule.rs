//! What is due: a backup, a proof, by what was seen last and a `now` that is handed in.
//!
//! The rule: what counts is what is there, never what was once begun. So a run that failed or was cut off is due
//! again at once, and how soon it is tried again is the caller's matter (it pauses after failures).

use jiff::{SignedDuration, Timestamp};

use super::set::{BackupSet, Kind};
use crate::units::Span;

/// How often what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Time between two full backups.
    pub full: Span,
    /// Time between two backups of any kind.
    pub incremental: Span,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due<T> {
    /// This, now.
    Now(T),
    /// Nothing before this time.
    At(Timestamp),
}

/// The backup that is due. Sets that are not good do not count, nor do those that ended after `now`: a clock that
/// went back must not end the backups.
pub fn backup(rhythm: Rhythm, sets: &[BackupSet], now: Timestamp) -> Due<Kind> {
    let ended = |full: bool| {
        let wanted = |set: &&BackupSet| !set.error && set.stopped <= now && (!full || set.kind == Kind::Full);
        sets.iter().filter(wanted).map(|set| set.started).max()
    };
    let Some(full) = ended(true) else { return Due::Now(Kind::Full) };
    let full = later(full, rhythm.full);
    if full <= now {
        return Due::Now(Kind::Full);
    }
    // A full one is a backup of any kind, so there is one.
    let any = later(ended(false).unwrap_or(now), rhythm.incremental);
    if any <= now { Due::Now(Kind::Incr) } else { Due::At(any.min(full)) }
}

/// Whether a proof is due, by when the last one ended that came to a verdict; never without a set to prove.
pub fn proof(every: Span, last: Option<Timestamp>, sets: &[BackupSet], now: Timestamp) -> Due<()> {
    if !sets.iter().any(|set| !set.error) {
        return Due::At(later(now, every));
    }
    match last.filter(|last| *last <= now).map(|last| later(last, every)) {
        Some(next) if next > now => Due::At(next),
        _ => Due::Now(()),
    }
}

/// A time so much later; the last one there is, if that is beyond it.
pub fn later(time: Timestamp, by: Span) -> Timestamp {
    let seconds = i64::try_from(by.seconds()).unwrap_or(i64::MAX);
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::set::tests::set;

    const RHYTHM: Rhythm = Rhythm { full: Span::from_seconds(7 * 86_400), incremental: Span::from_seconds(6 * 3_600) };

    /// So many hours after the first set of [`set`] began.
    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_793_491_200 + hour * 3_600).unwrap()
    }

    #[test]
    fn the_first_is_full_and_then_whatever_is_over_first() {
        assert_eq!(backup(RHYTHM, &[], hour(0)), Due::Now(Kind::Full));
        let full = set(0, None);
        let late = set(6 * 24 + 20, Some(&full));
        assert_eq!(backup(RHYTHM, std::slice::from_ref(&full), hour(1)), Due::At(hour(6)));
        assert_eq!(backup(RHYTHM, std::slice::from_ref(&full), hour(6)), Due::Now(Kind::Incr));
        assert_eq!(backup(RHYTHM, &[full.clone(), late.clone()], hour(6 * 24 + 21)), Due::At(hour(7 * 24)));
        assert_eq!(backup(RHYTHM, &[full, late], hour(7 * 24)), Due::Now(Kind::Full));
    }

    #[test]
    fn a_bad_set_and_one_of_the_future_do_not_count() {
        let bad = BackupSet { error: true, ..set(0, None) };
        assert_eq!(backup(RHYTHM, &[bad], hour(1)), Due::Now(Kind::Full));
        assert_eq!(backup(RHYTHM, &[set(50, None)], hour(1)), Due::Now(Kind::Full));
    }

    #[test]
    fn a_proof_is_due_when_the_last_verdict_is_old_and_there_is_something_to_prove() {
        let sets = [set(0, None)];
        assert_eq!(proof(Span::DAY, None, &sets, hour(1)), Due::Now(()));
        assert_eq!(proof(Span::DAY, Some(hour(0)), &sets, hour(1)), Due::At(hour(24)));
        assert_eq!(proof(Span::DAY, Some(hour(0)), &sets, hour(24)), Due::Now(()));
        assert_eq!(proof(Span::DAY, Some(hour(48)), &sets, hour(24)), Due::Now(()), "it ended after now");
        assert_eq!(proof(Span::DAY, None, &[], hour(1)), Due::At(hour(25)));
    }
}

//! A person's time as a position in the log.
//!
//! The log's own times are those of commits, and the engine stops at the first commit past a time; which one that
//! is nobody can tell beforehand. So a canary row `(position, time)` is written again and again, and a time means
//! the last canary at or before it. What was committed between that canary and the time is not in the restore, and
//! [`Moment`] says how long that is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lsn::Lsn;

/// That the log had come to this position at this time, by the database host's clock. Whatever was committed
/// before the canary was written ends at or before its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Position.
    pub lsn: Lsn,
    /// Time.
    pub time: Timestamp,
}

/// A time as a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// What was asked for.
    pub asked: Timestamp,
    /// The canary that stands for it: a restore to its position holds what was committed up to its time.
    pub canary: Canary,
    /// The next canary, if there is one: what was committed after it is surely not in the restore.
    pub next: Option<Canary>,
    /// Whether the clock went back somewhere before the canary, so that a time stands for two moments. Then the
    /// later one is meant.
    pub doubtful: bool,
}

impl Moment {
    /// Seconds before the asked time of which work may be missing, rounded up.
    pub fn missing_seconds(&self) -> u64 {
        let nanoseconds = self.asked.as_nanosecond() - self.canary.time.as_nanosecond();
        u64::try_from(
            nanoseconds.max(0).div_euclid(1_000_000_000) + i128::from(nanoseconds.rem_euclid(1_000_000_000) > 0),
        )
        .unwrap_or(u64::MAX)
    }
}

/// Why a time has no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMoment {
    /// There is no canary at all.
    #[error("nothing tells at which time the log was where: there is no canary")]
    NoCanary,
    /// All are later.
    #[error("{asked} lies before {first}, the first time that a position is known of")]
    TooEarly {
        /// What was asked for.
        asked: Timestamp,
        /// Time of the first canary.
        first: Timestamp,
    },
}

/// The position for a time; canaries in any order.
pub fn moment(canaries: &[Canary], asked: Timestamp) -> Result<Moment, NoMoment> {
    // The log orders what happened; the clock only labels it.
    let reached = canaries.iter().filter(|canary| canary.time <= asked).max_by_key(|canary| canary.lsn);
    let Some(canary) = reached.copied() else {
        let first = canaries.iter().map(|canary| canary.time).min().ok_or(NoMoment::NoCanary)?;
        return Err(NoMoment::TooEarly { asked, first });
    };
    let next = canaries.iter().filter(|other| other.lsn > canary.lsn).min_by_key(|other| other.lsn).copied();
    let doubtful = canaries.iter().any(|other| other.lsn < canary.lsn && other.time > canary.time);
    Ok(Moment { asked, canary, next, doubtful })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn canary(lsn: u64, time: i64) -> Canary {
        Canary { lsn: Lsn::new(lsn), time: second(time) }
    }

    #[test]
    fn the_last_canary_at_or_before_stands_for_a_time() {
        let canaries = [canary(30, 120), canary(10, 0), canary(20, 60)];
        let exact = moment(&canaries, second(60)).unwrap();
        assert_eq!((exact.canary, exact.missing_seconds(), exact.next), (canary(20, 60), 0, Some(canary(30, 120))));
        let between = moment(&canaries, second(119)).unwrap();
        assert_eq!((between.canary, between.missing_seconds(), between.doubtful), (canary(20, 60), 59, false));
        let part = moment(&canaries, Timestamp::from_millisecond(60_001).unwrap()).unwrap();
        assert_eq!(part.missing_seconds(), 1);
        assert_eq!(moment(&canaries, second(-1)), Err(NoMoment::TooEarly { asked: second(-1), first: second(0) }));
        assert_eq!(moment(&[], second(1)), Err(NoMoment::NoCanary));
    }

    #[test]
    fn a_clock_that_went_back_is_told() {
        let canaries = [canary(10, 0), canary(20, 3600), canary(30, 600), canary(40, 700)];
        let moment = moment(&canaries, second(650)).unwrap();
        assert_eq!((moment.canary, moment.doubtful), (canary(30, 600), true));
    }

    proptest! {
        #[test]
        fn nothing_that_came_later_is_in_it(times in prop::collection::vec(0i64..500, 0..20), asked in 0i64..500) {
            let mut times = times;
            times.sort_unstable();
            let canaries: Vec<Canary> = times.iter().enumerate().map(|(at, time)| canary(at as u64 * 10, *time)).collect();
            match moment(&canaries, second(asked)) {
                Ok(moment) => {
                    prop_assert!(moment.canary.time <= second(asked) && !moment.doubtful);
                    prop_assert!(moment.next.is_none_or(|next| next.time > second(asked)));
                }
                Err(_) => prop_assert!(times.iter().all(|time| *time > asked)),
            }
        }
    }
}

//! Which sets may go. The engine's own counts are not used: they know neither what was proven nor what somebody
//! wants kept.
//!
//! A set goes only if nothing speaks for it: it is not inside the window, no instant of the window needs it, no set
//! that stays builds on it, nobody holds it, and at least two proven sets that stay are newer. So an environment
//! whose backups were never proven keeps everything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::set::{BackupSet, Chains, Label};
use crate::units::Span;

/// Proven sets that must be left, newer than any set that goes.
pub const PROVEN_AT_LEAST: usize = 2;

/// Why a set stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keep {
    /// It ended inside the window, or after now.
    Window,
    /// The beginning of the window is restored from it.
    Beginning,
    /// A set that stays builds on it.
    Needed,
    /// Somebody holds it.
    Held,
    /// Fewer than two proven sets that stay are newer.
    TooFewProven,
}

/// What may go and what stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expiry {
    /// Sets that may go, the newest first, so that none goes before what builds on it.
    pub go: Vec<Label>,
    /// Sets that stay, with the first reason.
    pub stay: BTreeMap<Label, Keep>,
}

/// Decides over the sets of one repository. `window` reaches back from `now`; `proven` are the sets from which a
/// restore was proven; `holds` those that somebody wants kept.
pub fn expire(
    sets: &[BackupSet],
    window: Span,
    proven: &BTreeSet<Label>,
    holds: &BTreeSet<Label>,
    now: Timestamp,
) -> Expiry {
    let chains = Chains::new(sets);
    let begins = begin(window, now);
    let mut stay: BTreeMap<&Label, Keep> = BTreeMap::new();
    let good = |set: &BackupSet| chains.needs(set).is_ok();
    let before = || sets.iter().filter(|set| set.stopped <= begins && good(set));
    // The newest that is good, and the newest that was shown to be: they may differ.
    let beginning = before().max_by_key(|set| (set.stopped, set.stop_lsn));
    let shown = before().filter(|set| proven.contains(&set.label)).max_by_key(|set| (set.stopped, set.stop_lsn));
    for set in sets {
        if set.stopped > begins {
            stay.insert(&set.label, Keep::Window);
        } else if [beginning, shown].iter().flatten().any(|one| one.label == set.label) {
            stay.insert(&set.label, Keep::Beginning);
        } else if holds.contains(&set.label) {
            stay.insert(&set.label, Keep::Held);
        }
    }
    keep_needed(sets, &chains, &mut stay);
    // Each set that stays for want of proven ones may be proven itself and free an older one: from new to old.
    let mut order: Vec<&BackupSet> = sets.iter().collect();
    order.sort_by(|a, b| (b.stopped, &b.label).cmp(&(a.stopped, &a.label)));
    for set in &order {
        let newer = |label: &&&Label| {
            proven.contains(**label)
                && order.iter().any(|other| other.label == ***label && other.stopped > set.stopped && good(other))
        };
        if !stay.contains_key(&set.label) && stay.keys().filter(newer).count() < PROVEN_AT_LEAST {
            stay.insert(&set.label, Keep::TooFewProven);
            keep_needed(sets, &chains, &mut stay);
        }
    }
    let mut go: Vec<Label> =
        sets.iter().filter(|set| !stay.contains_key(&set.label)).map(|set| set.label.clone()).collect();
    go.sort_by(|a, b| b.cmp(a));
    go.dedup();
    Expiry { go, stay: stay.into_iter().map(|(label, keep)| (label.clone(), keep)).collect() }
}

/// The window's beginning; the beginning of time if it reaches further.
fn begin(window: Span, now: Timestamp) -> Timestamp {
    let seconds = i64::try_from(window.seconds()).unwrap_or(i64::MAX);
    Timestamp::from_second(now.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN)
}

fn keep_needed<'a>(sets: &'a [BackupSet], chains: &Chains<'a>, stay: &mut BTreeMap<&'a Label, Keep>) {
    for set in sets {
        if stay.contains_key(&set.label) {
            for needed in chains.reach(set) {
                stay.entry(needed).or_insert(Keep::Needed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::set::tests::set;
    use super::*;
    use proptest::prelude::*;

    fn labels(sets: &[&BackupSet]) -> BTreeSet<Label> {
        sets.iter().map(|set| set.label.clone()).collect()
    }

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_793_491_200 + hour * 3600).unwrap()
    }

    /// Three weeks of a full set and an incremental one, each a day apart, at 0, 24, 168, 192, 336, 360.
    fn weeks() -> Vec<BackupSet> {
        let mut sets = Vec::new();
        for week in 0..3 {
            let full = set(week * 168, None);
            let incr = set(week * 168 + 24, Some(&full));
            sets.extend([full, incr]);
        }
        sets
    }

    const WEEK: Span = Span::from_seconds(7 * 86_400);

    #[test]
    fn what_nobody_needs_goes_with_what_builds_on_it() {
        let sets = weeks();
        let proven = labels(&[&sets[3], &sets[5]]);
        let expiry = expire(&sets, WEEK, &proven, &BTreeSet::new(), hour(380));
        assert_eq!(expiry.go, [sets[1].label.clone(), sets[0].label.clone()]);
        // The window begins at hour 212: restored from the incremental set of hour 192, which builds on 168.
        assert_eq!(expiry.stay[&sets[3].label], Keep::Beginning);
        assert_eq!(expiry.stay[&sets[2].label], Keep::Needed);
        assert_eq!(expiry.stay[&sets[4].label], Keep::Window);
    }

    #[test]
    fn without_two_newer_proven_sets_nothing_goes() {
        let sets = weeks();
        for proven in [vec![], vec![&sets[5]], vec![&sets[5], &sets[0]]] {
            let expiry = expire(&sets, WEEK, &labels(&proven), &BTreeSet::new(), hour(380));
            assert!(expiry.go.is_empty(), "{expiry:?}");
            assert_eq!(expiry.stay[&sets[1].label], Keep::TooFewProven);
        }
    }

    #[test]
    fn a_held_set_stays_with_all_it_needs() {
        let sets = weeks();
        let proven = labels(&[&sets[3], &sets[5]]);
        let expiry = expire(&sets, WEEK, &proven, &labels(&[&sets[1]]), hour(380));
        assert!(expiry.go.is_empty());
        assert_eq!((expiry.stay[&sets[1].label], expiry.stay[&sets[0].label]), (Keep::Held, Keep::Needed));
    }

    #[test]
    fn a_broken_set_is_no_beginning() {
        let mut sets = weeks();
        sets[2].error = true;
        let proven = labels(&[&sets[4], &sets[5]]);
        let expiry = expire(&sets, WEEK, &proven, &BTreeSet::new(), hour(380));
        assert_eq!(expiry.stay[&sets[1].label], Keep::Beginning);
        assert_eq!(expiry.go, [sets[3].label.clone(), sets[2].label.clone()]);
    }

    #[test]
    fn a_window_longer_than_time_keeps_all() {
        let sets = weeks();
        let all = sets.iter().map(|set| set.label.clone()).collect();
        let expiry = expire(&sets, "9999999w".parse().unwrap(), &all, &BTreeSet::new(), hour(380));
        assert!(expiry.go.is_empty());
    }

    type World = (Vec<BackupSet>, BTreeSet<Label>, BTreeSet<Label>);

    fn world() -> impl Strategy<Value = World> {
        let one =
            (0u32..500, prop::bool::weighted(0.7), prop::bool::weighted(0.1), any::<bool>(), prop::bool::weighted(0.1));
        prop::collection::vec(one, 0..14).prop_map(|mut plan| {
            plan.sort_by_key(|(hour, ..)| *hour);
            plan.dedup_by_key(|(hour, ..)| *hour);
            let (mut sets, mut proven, mut holds): World = Default::default();
            for (hour, builds, error, is_proven, held) in plan {
                let mut next = set(hour, sets.last().filter(|_| builds));
                next.error = error;
                if is_proven {
                    proven.insert(next.label.clone());
                }
                if held {
                    holds.insert(next.label.clone());
                }
                sets.push(next);
            }
            (sets, proven, holds)
        })
    }

    proptest! {
        #[test]
        fn no_instant_of_the_window_is_lost((sets, proven, holds) in world(), now in 0i64..520, window in 0u32..520) {
            let window_hours = i64::from(window);
            let expiry = expire(&sets, Span::from_seconds(window * 3600), &proven, &holds, hour(now));
            prop_assert_eq!(expiry.go.len() + expiry.stay.len(), sets.len());
            let left: Vec<BackupSet> = sets.iter().filter(|set| !expiry.go.contains(&set.label)).cloned().collect();
            // The set that an instant is restored from, said anew: the newest good one that had ended.
            let source = |sets: &[BackupSet], at: Timestamp| {
                let good = |set: &&BackupSet| !set.error && set.references.iter().all(|label| sets.iter().any(|other| other.label == *label && !other.error));
                sets.iter().filter(good).filter(|set| set.stopped <= at).max_by_key(|set| set.stopped).map(|set| set.label.clone())
            };
            for quarter in (now - window_hours).max(-1) * 4..=now * 4 {
                let at = Timestamp::from_second(hour(0).as_second() + quarter * 900).unwrap();
                prop_assert_eq!(source(&sets, at), source(&left, at), "{}", at);
            }
            for set in sets.iter().filter(|set| expiry.go.contains(&set.label)) {
                let newer = left.iter().filter(|other| proven.contains(&other.label) && other.stopped > set.stopped).count();
                prop_assert!(newer >= PROVEN_AT_LEAST);
                prop_assert!(!holds.contains(&set.label));
                prop_assert!(left.iter().all(|other| other.prior.as_ref() != Some(&set.label) && !other.references.contains(&set.label)));
            }
            // A second time, from what is left, nothing more goes.
            prop_assert_eq!(expire(&left, Span::from_seconds(window * 3600), &proven, &holds, hour(now)).go, Vec::<Label>::new());
        }
    }
}

//! Removing what nobody can need any more. Deciding is pure; acting believes nothing but the decision and what it sees.
//!
//! An object goes only after it has been missing from Odoo (named by no row of the live database, and not in its
//! filestore) at every look for longer than the recovery window and a day, and never under a legal hold. Between two
//! looks nothing is known, so after a pause of more than a day, or a jump of the clock, waiting begins anew. A file
//! that came and went between two looks was in the filestore of some push in between, because Odoo's collection waits
//! for the mirror; pushes forget it as missing.

use std::collections::BTreeSet;
use std::time::Duration;

use object_store::ObjectStoreExt as _;

use super::error::{FilesError, local_error};
use super::index::Index;
use super::mirror::{Mirror, apart, now};
use super::name::FileName;
use super::records::Missing;
use super::scan::Filestore;

/// What is added to the recovery window, and the longest pause between two looks, in seconds.
const DAY: u64 = 24 * 3600;

/// What decides how long an object stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The time that a restore may go back to.
    pub window: Duration,
    /// Nothing is removed while somebody holds the data.
    pub legal_hold: bool,
}

/// Objects that may be removed. Made by [`collect`] only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due(BTreeSet<FileName>);

impl Due {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &FileName> {
        self.0.iter()
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// To be kept for the next look.
    pub missing: Missing,
    /// What may be removed now.
    pub due: Due,
    /// Whether waiting began anew, because the last look was too long ago or in the future.
    pub anew: bool,
}

/// Decides what of `stored` may be removed at `now` (seconds since 1970). `named` is all that the live database names
/// or the live filestore has.
pub fn collect(
    keep: &Keep,
    now: u64,
    before: &Missing,
    stored: &BTreeSet<FileName>,
    named: &BTreeSet<FileName>,
) -> Collected {
    let anew = now.checked_sub(before.last_look).is_none_or(|pause| pause > DAY);
    let since = stored.difference(named).map(|name| {
        let known = if anew { None } else { before.since.get(name) };
        (*name, known.copied().unwrap_or(now))
    });
    let missing = Missing { last_look: now, since: since.collect() };
    let wait = keep.window.as_secs().saturating_add(DAY);
    let over = |since: u64| now.checked_sub(since).is_some_and(|waited| waited > wait);
    let due = match keep.legal_hold {
        true => BTreeSet::new(),
        false => missing.since.iter().filter(|(_, since)| over(**since)).map(|(name, _)| *name).collect(),
    };
    Collected { missing, due: Due(due), anew }
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Removed {
    /// Objects that are gone.
    pub removed: Vec<FileName>,
    /// Objects that Odoo has again, and that stay.
    pub back: Vec<FileName>,
    /// Objects that the store did not remove, with why. A locked version is one.
    pub failed: Vec<(FileName, String)>,
}

impl Mirror {
    /// Looks what of the mirror is missing from Odoo, and keeps since when. `named` is all that the live database
    /// names; what the live filestore has is added here.
    ///
    /// # Errors
    /// If store, filestore or the record cannot be read. Then nothing may be removed.
    pub async fn look(
        &self,
        keep: &Keep,
        filestore: &Filestore,
        mut named: BTreeSet<FileName>,
    ) -> Result<Collected, FilesError> {
        let _held = self.hold()?;
        let stored: BTreeSet<FileName> = self.list().await?.into_keys().collect();
        let filestore = filestore.clone();
        named.extend(apart(move || filestore.scan(|_| false)).await??.files.into_keys());
        let path = self.missing_path();
        let before = Missing::read(&path).map_err(local_error("read", &path))?;
        let collected = collect(keep, now(), &before, &stored, &named);
        collected.missing.write(&path).map_err(local_error("write", &path))?;
        Ok(collected)
    }

    /// Removes what is due, but for what the live filestore has by now. In a store with versions the bytes stay until
    /// the store's own rules take them.
    ///
    /// # Errors
    /// If filestore or index cannot be used; then nothing was removed.
    pub async fn remove(&self, due: Due, filestore: &Filestore) -> Result<Removed, FilesError> {
        let _held = self.hold()?;
        let id = self.known_id().await?.unwrap_or_default();
        let filestore = filestore.clone();
        let live = apart(move || filestore.scan(|_| false)).await??.files;
        let (back, going): (Vec<FileName>, Vec<FileName>) = due.0.into_iter().partition(|it| live.contains_key(it));
        // First forgotten, then removed: a push that comes next sends again what Odoo has again.
        let path = self.index_path();
        if let Some(mut index) = Index::read(&path, &id).map_err(local_error("read", &path))? {
            index.forget(going.iter()).map_err(local_error("write", &path))?;
        }
        let mut done = Removed { back, ..Removed::default() };
        for name in going {
            match self.0.store.delete(&name.object()).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => done.removed.push(name),
                Err(error) => done.failed.push((name, self.failed("remove a file", &error).to_string())),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sha1::sha1_of;
    use super::*;

    const WINDOW: u64 = 14 * DAY;
    const KEEP: Keep = Keep { window: Duration::from_secs(WINDOW), legal_hold: false };

    fn name(number: u8) -> FileName {
        sha1_of(&[number])
    }

    #[test]
    fn it_waits_for_window_and_a_day_and_not_a_second_less() {
        let stored = BTreeSet::from([name(1), name(2)]);
        let named = BTreeSet::from([name(2)]);
        let began = 1_000_000;
        let mut missing = collect(&KEEP, began, &Missing::default(), &stored, &named).missing;
        for hour in 1..15 * 24 {
            let looked = collect(&KEEP, began + hour * 3600, &missing, &stored, &named);
            assert_eq!(looked.due, Due::default(), "after {hour} hours");
            missing = looked.missing;
        }
        let exact = collect(&KEEP, began + WINDOW + DAY, &missing, &stored, &named);
        assert_eq!(exact.due, Due::default());
        let over = collect(&KEEP, began + WINDOW + DAY + 1, &missing, &stored, &named);
        assert_eq!(over.due, Due([name(1)].into()));
        let held = Keep { legal_hold: true, ..KEEP };
        assert_eq!(collect(&held, began + WINDOW + DAY + 1, &missing, &stored, &named).due, Due::default());
    }

    #[test]
    fn after_a_long_pause_or_a_jump_of_the_clock_waiting_begins_anew() {
        let stored = BTreeSet::from([name(1)]);
        let none = BTreeSet::new();
        let before = Missing { last_look: 50 * DAY, since: [(name(1), 10 * DAY)].into() };
        let soon = collect(&KEEP, 50 * DAY + 60, &before, &stored, &none);
        assert!(!soon.anew && soon.due == Due(stored.clone()), "the control: without a pause it is due");
        for now in [51 * DAY + 1, 400 * DAY, 50 * DAY - 1, 0] {
            let looked = collect(&KEEP, now, &before, &stored, &none);
            assert!(looked.anew && looked.due == Due::default(), "at {now}");
            assert_eq!(looked.missing.since[&name(1)], now);
        }
    }

    proptest! {
        /// Whatever happens, what is due was missing at every look for longer than window and a day, with no pause
        /// between looks of more than a day.
        #[test]
        fn nothing_goes_that_a_restore_could_need(
            looks in proptest::collection::vec((0_u64..40 * 3600, proptest::collection::btree_set(0_u8..6, 0..6)), 1..60),
            window_days in 0_u64..20,
            holds in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let stored: BTreeSet<FileName> = (0..6).map(name).collect();
            let (mut missing, mut now) = (Missing::default(), 100 * DAY);
            let mut seen: Vec<(u64, BTreeSet<FileName>)> = Vec::new();
            for ((pause, named), legal_hold) in looks.into_iter().zip(holds) {
                now += pause;
                let named: BTreeSet<FileName> = named.into_iter().map(name).collect();
                let keep = Keep { window: Duration::from_secs(window_days * DAY), legal_hold };
                let looked = collect(&keep, now, &missing, &stored, &named);
                seen.push((now, named.clone()));
                prop_assert!(!legal_hold || looked.due == Due::default());
                for due in looked.due.names() {
                    prop_assert!(!named.contains(due));
                    let (mut at, mut oldest) = (now, now);
                    for (then, had) in seen.iter().rev() {
                        if had.contains(due) || at - then > DAY {
                            break;
                        }
                        (at, oldest) = (*then, *then);
                    }
                    prop_assert!(now - oldest > (window_days + 1) * DAY, "{due} waited {} s", now - oldest);
                }
                // The same answer for the same question, and nothing named is remembered as missing.
                prop_assert_eq!(&looked, &collect(&keep, now, &missing, &stored, &named));
                prop_assert!(looked.missing.since.keys().all(|it| !named.contains(it)));
                missing = looked.missing;
            }
        }

        /// And it does go at last: a mirror that keeps everything would be no collection.
        #[test]
        fn what_stays_missing_goes(window_days in 0_u64..20, every in 600_u64..DAY) {
            let (stored, none) = (BTreeSet::from([name(1)]), BTreeSet::new());
            let keep = Keep { window: Duration::from_secs(window_days * DAY), legal_hold: false };
            let (mut missing, mut now) = (Missing::default(), 7);
            let end = now + (window_days + 1) * DAY + 2 * DAY;
            let mut went = false;
            while now < end && !went {
                let looked = collect(&keep, now, &missing, &stored, &none);
                (missing, went, now) = (looked.missing, looked.due.names().count() == 1, now + every);
            }
            prop_assert!(went);
        }
    }
}

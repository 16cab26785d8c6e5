//! What a person asks for, as a set and a position: nothing is left to choose when the restore begins.

use std::str::FromStr;

use jiff::Timestamp;
use springtide_core::backup::{BackupSet, Lsn, Moment, NoMoment, NoSet, PointName, RepoKey, Target, moment, select};
use springtide_core::observe::Seed;
use springtide_data::backup::BackupEngine as _;

use super::{Subject, word};
use crate::execute::Failure;

/// Bytes a second that fetching is reckoned with until a proof has measured it.
const FETCH_BYTES_S: u64 = 50 << 20;
/// Bytes of log a second that replaying is reckoned with until a proof has measured it.
const REPLAY_BYTES_S: u64 = 25 << 20;
/// Seconds that a restore takes besides: starting and stopping PostgreSQL, reading rows, syncing.
const BESIDES_S: u64 = 30;

/// A moment as a person says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The newest that surely can be had.
    Newest,
    /// A time.
    Time(Timestamp),
    /// A position in the log.
    Lsn(Lsn),
    /// A point that was named.
    Name(PointName),
}

/// The text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no moment: write newest, a time with its offset such as 2026-11-24T03:15:00Z, a position such as \
     0/3000060, or the name of a restore point"
)]
pub struct NotAMoment(String);

impl FromStr for Asked {
    type Err = NotAMoment;
    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let wrong = || NotAMoment(text.chars().take(80).collect());
        if text == "newest" {
            return Ok(Asked::Newest);
        }
        if let Ok(time) = text.parse() {
            return Ok(Asked::Time(time));
        }
        if text.contains('/') {
            return text.parse().map(Asked::Lsn).map_err(|_| wrong());
        }
        // What begins like a date and is no time was meant as one; a name of it would be found nowhere.
        if text.len() >= 10 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit) && text.as_bytes()[4] == b'-' {
            return Err(wrong());
        }
        text.parse().map(Asked::Name).map_err(|_| wrong())
    }
}

/// Why there is nothing to restore from.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// A time has no position.
    #[error(transparent)]
    NoMoment(#[from] NoMoment),
    /// No set serves.
    #[error("nothing can be restored to that moment from the {place} place: {why}")]
    NoSet {
        /// Which place.
        place: &'static str,
        /// Why.
        #[source]
        why: NoSet,
    },
    /// There is no point of that name.
    #[error("there is no restore point {0:?}")]
    NoPoint(String),
}

/// What will be restored.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The set.
    pub set: BackupSet,
    /// Where it ends.
    pub target: Target,
    /// How a time was understood, if one was asked for.
    pub moment: Option<Moment>,
    /// Bytes of log to replay.
    pub replay_bytes: u64,
    /// Seconds that it will take, roughly.
    pub estimate_s: u64,
}

impl Subject<'_> {
    /// Chooses from what lies in a place.
    ///
    /// # Errors
    /// [`ChooseError`] where nothing serves; the engine's where the place cannot be read.
    pub async fn choose(&self, repo: RepoKey, asked: &Asked) -> Result<Chosen, Failure> {
        let engine = self.engine()?;
        let sets: Vec<BackupSet> = engine.list(repo).await?.sets.into_iter().filter(|set| set.repo == repo).collect();
        let archive = engine.archive(repo).await?;
        let canaries = self.canaries()?;
        let no_set = |why| ChooseError::NoSet { place: word(repo), why };
        let (target, moment) = match asked {
            Asked::Lsn(lsn) => (Target::Lsn(*lsn), None),
            Asked::Name(name) => {
                let points = self.estate.store.points(self.name())?;
                let found = points.iter().find(|(known, ..)| known == name.as_str());
                let lsn = found.map(|(_, lsn, _)| Lsn::new(*lsn));
                let lsn = lsn.ok_or_else(|| ChooseError::NoPoint(name.as_str().to_owned()))?;
                (Target::Name { name: name.clone(), lsn }, None)
            }
            Asked::Time(time) => {
                let moment = moment(&canaries, *time).map_err(ChooseError::NoMoment)?;
                (Target::Lsn(moment.canary.lsn), Some(moment))
            }
            Asked::Newest => {
                // The newest canary whose log is in the archive: what is not there yet cannot be had.
                let had = canaries.iter().rev().find(|it| select(&sets, &archive, &Target::Lsn(it.lsn)).is_ok());
                match had {
                    Some(canary) => (Target::Lsn(canary.lsn), None),
                    None => {
                        let newest = canaries.last().ok_or(ChooseError::NoMoment(NoMoment::NoCanary))?;
                        let refused = select(&sets, &archive, &Target::Lsn(newest.lsn));
                        return Err(no_set(refused.err().unwrap_or(NoSet::Empty)).into());
                    }
                }
            }
        };
        let choice = select(&sets, &archive, &target).map_err(no_set)?;
        let (set, replay_bytes) = (choice.set.clone(), choice.replay_bytes);
        let estimate_s = set.bytes / FETCH_BYTES_S + replay_bytes / REPLAY_BYTES_S + BESIDES_S;
        Ok(Chosen { set, target, moment, replay_bytes, estimate_s })
    }

    /// What an environment that has no data is to be filled with.
    pub fn seed(&self, repo: RepoKey, chosen: &Chosen, neutralise: bool) -> Seed {
        let (set, target) = (chosen.set.label.clone(), chosen.target.clone());
        Seed { from: self.name().clone(), repo, set, target, neutralise }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_position_or_a_name_and_a_half_time_is_none_of_them() {
        assert_eq!("newest".parse(), Ok(Asked::Newest));
        assert!(matches!("2026-11-24T03:15:00Z".parse(), Ok(Asked::Time(_))));
        assert!(matches!("2026-11-24T04:15:00+01:00".parse(), Ok(Asked::Time(_))));
        assert_eq!("0/3000060".parse(), Ok(Asked::Lsn(Lsn::new(0x300_0060))));
        assert!(matches!("before-upgrade".parse(), Ok(Asked::Name(_))));
        for bad in ["2026-11-24T03:15:00", "2026-11-24", "2026-13-01T00:00:00Z", "0/x", "a b", "", "';--", "../x"] {
            assert!(bad.parse::<Asked>().is_err(), "{bad:?}");
        }
    }
}

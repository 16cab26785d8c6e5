//! Backup sets: what the engine holds of one environment in one repository.
//!
//! A set is a full copy of the data directory, or what changed since an earlier set; then that one is needed
//! too. A [`Label`] can only hold what pgBackRest itself would write, so it is safe as an argument and a path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::conf::RepoKey;
use super::lsn::{Lsn, Timeline};

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything.
    Full,
    /// What changed since the last full set.
    Diff,
    /// What changed since the last set of any kind.
    Incr,
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Full => "full",
            Kind::Diff => "diff",
            Kind::Incr => "incr",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Name of a set: `20261124-031500F`, or `20261124-031500F_20261124-091500I` for one that builds on it.
/// Sets of one repository order by it as they were begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label(String);

/// The text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a backup set")]
pub struct LabelError(String);

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it holds, by its last letter.
    pub fn kind(&self) -> Kind {
        match self.0.as_bytes().last() {
            Some(b'D') => Kind::Diff,
            Some(b'I') => Kind::Incr,
            _ => Kind::Full,
        }
    }

    /// When it was begun, as digits that order.
    fn begun(&self) -> &str {
        self.0.rsplit('_').next().unwrap_or(&self.0)
    }
}

/// `20261124-031500` and one of the letters.
fn is_part(text: &str, letters: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 16
        && letters.contains(&bytes[15])
        && bytes[8] == b'-'
        && bytes[..15].iter().enumerate().all(|(at, byte)| at == 8 || byte.is_ascii_digit())
}

impl FromStr for Label {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Self, LabelError> {
        let good = match text.split_once('_') {
            None => is_part(text, b"F"),
            Some((full, later)) => is_part(full, b"F") && is_part(later, b"DI"),
        };
        if good { Ok(Self(text.to_owned())) } else { Err(LabelError(text.chars().take(60).collect())) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.begun(), &self.0).cmp(&(other.begun(), &other.0))
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSet {
    /// Its name.
    pub label: Label,
    /// What it holds.
    pub kind: Kind,
    /// The set it builds on; none for a full one.
    pub prior: Option<Label>,
    /// Every set it takes files from.
    pub references: BTreeSet<Label>,
    /// Position at which replay begins.
    pub start_lsn: Lsn,
    /// Position from which it is consistent; a restore cannot end before.
    pub stop_lsn: Lsn,
    /// When it was begun, by the database host's clock.
    pub started: Timestamp,
    /// When it was whole.
    pub stopped: Timestamp,
    /// Timeline it was taken on.
    pub timeline: Timeline,
    /// Bytes of the data directory that a restore of it writes.
    pub bytes: u64,
    /// Bytes in the repository that this set added.
    pub repo_bytes: u64,
    /// Where it lies.
    pub repo: RepoKey,
    /// Identity of the database cluster.
    pub system_id: u64,
    /// Major version of PostgreSQL.
    pub postgres: u32,
    /// Name of the archive that its log is in, such as `15-1`; a cluster that was made anew gets another.
    pub archive: String,
    /// Whether the engine found broken pages while it took it. Such a set is never chosen.
    pub error: bool,
}

/// Why a set cannot be restored, whatever the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Broken pages were found in it, or in one that it needs.
    Error(Label),
    /// A set that it needs is not there.
    Absent(Label),
}

/// Sets by name, for questions about what needs what.
pub struct Chains<'a>(BTreeMap<&'a Label, &'a BackupSet>);

impl<'a> Chains<'a> {
    /// The chains of these sets, which are of one repository.
    pub fn new(sets: &'a [BackupSet]) -> Self {
        Self(sets.iter().map(|set| (&set.label, set)).collect())
    }

    /// Every set that `set` needs, itself included; the error names the first that is not there or is broken.
    pub fn needs(&self, set: &'a BackupSet) -> Result<BTreeSet<&'a Label>, Broken> {
        let mut needed = BTreeSet::new();
        let mut open = vec![set];
        while let Some(set) = open.pop() {
            if set.error {
                return Err(Broken::Error(set.label.clone()));
            }
            if !needed.insert(&set.label) {
                continue;
            }
            for other in set.prior.iter().chain(&set.references) {
                open.push(self.0.get(other).ok_or_else(|| Broken::Absent(other.clone()))?);
            }
        }
        Ok(needed)
    }

    /// Every set that `set` names as needed and that is there, itself included, whether they are good or not.
    pub fn reach(&self, set: &'a BackupSet) -> BTreeSet<&'a Label> {
        let mut reached = BTreeSet::new();
        let mut open = vec![set];
        while let Some(set) = open.pop() {
            if reached.insert(&set.label) {
                open.extend(set.prior.iter().chain(&set.references).filter_map(|other| self.0.get(other)));
            }
        }
        reached
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A set of the hour `hour` whose WAL is the hour's bytes; `prior` as hours.
    pub(crate) fn set(hour: u32, prior: Option<&BackupSet>) -> BackupSet {
        let stamp = format!("202611{:02}-{:02}0000", 1 + hour / 24, hour % 24);
        let label = match prior {
            None => format!("{stamp}F"),
            Some(prior) => format!("{}_{stamp}I", prior.label.as_str().split('_').next().unwrap()),
        };
        let started = Timestamp::from_second(1_793_491_200 + i64::from(hour) * 3600).unwrap();
        let start = u64::from(hour) * 16 * super::super::wal::SEGMENT_BYTES;
        BackupSet {
            label: label.parse().unwrap(),
            kind: if prior.is_some() { Kind::Incr } else { Kind::Full },
            prior: prior.map(|prior| prior.label.clone()),
            references: prior
                .map(|prior| prior.references.iter().cloned().chain([prior.label.clone()]).collect())
                .unwrap_or_default(),
            start_lsn: Lsn::new(start + 40),
            stop_lsn: Lsn::new(start + 400),
            started,
            stopped: Timestamp::from_second(started.as_second() + 600).unwrap(),
            timeline: Timeline::FIRST,
            bytes: 1 << 30,
            repo_bytes: 1 << 27,
            repo: RepoKey::Near,
            system_id: 7_300_000_000_000_000_000,
            postgres: 15,
            archive: "15-1".into(),
            error: false,
        }
    }

    #[test]
    fn labels_are_exactly_what_the_engine_writes() {
        for (good, kind) in [
            ("20261124-031500F", Kind::Full),
            ("20261124-031500F_20261124-091500I", Kind::Incr),
            ("20261124-031500F_20261124-091500D", Kind::Diff),
        ] {
            let label: Label = good.parse().unwrap();
            assert_eq!((label.as_str(), label.kind()), (good, kind));
        }
        for bad in [
            "",
            "latest",
            "20261124-031500I",
            "20261124-031500F_20261124-091500F",
            "20261124-031500F/../..",
            "20261124-031500F_",
            "20261124_031500F",
            "2026112４-03150F",
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_order_by_their_beginning() {
        let [full, incr, next]: [Label; 3] =
            ["20261124-031500F", "20261124-031500F_20261126-000000I", "20261125-000000F"]
                .map(|text| text.parse().unwrap());
        assert!(full < next && next < incr);
    }

    #[test]
    fn a_chain_is_as_good_as_its_links() {
        let full = set(0, None);
        let first = set(6, Some(&full));
        let second = set(12, Some(&first));
        let all = [full.clone(), first.clone(), second.clone()];
        assert_eq!(Chains::new(&all).needs(&all[2]).unwrap().len(), 3);
        let without = [full.clone(), second.clone()];
        assert_eq!(Chains::new(&without).needs(&without[1]), Err(Broken::Absent(first.label.clone())));
        let broken = [BackupSet { error: true, ..full.clone() }, first, second];
        assert_eq!(Chains::new(&broken).needs(&broken[2]), Err(Broken::Error(full.label)));
        assert_eq!(Chains::new(&broken).reach(&broken[2]).len(), 3);
    }

    #[test]
    fn a_circle_of_priors_ends() {
        let full = set(0, None);
        let mut one = set(1, Some(&full));
        let two = set(2, Some(&one));
        one.prior = Some(two.label.clone());
        let all = [full, one, two];
        assert_eq!(Chains::new(&all).needs(&all[2]).unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn no_label_makes_it_fall(text in "[0-9]{0,9}-?[0-9]{0,7}F?_?.{0,20}") {
            if let Ok(label) = text.parse::<Label>() {
                prop_assert_eq!(label.as_str(), text);
            }
        }
    }
}

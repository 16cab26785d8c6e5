//! Observations: what was seen, and when. Unknown is a value of its own, never "down" or zero.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::backup::{Label, RepoKey, Target};
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::{EnvironmentName, ModuleName};
use crate::role::ByRole;
use crate::series::Series;
use crate::workload::{SecretName, SecretRef};

/// Something that was seen, or could not be seen and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed<T> {
    /// It could not be seen.
    Unknown(String),
    /// It was seen.
    Known(T),
}

impl<T> Observed<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Observed::Known(value) => Some(value),
            Observed::Unknown(_) => None,
        }
    }
}

/// Facts of the machine that workloads run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Logical processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Free bytes on the file system that holds the state.
    pub free_disk_bytes: u64,
    /// Odoo series whose root is here, with the package version.
    pub odoo_roots: BTreeMap<Series, String>,
    /// Major version of the PostgreSQL server programs here; `None` if there are none.
    pub postgres_major: Option<u16>,
    /// Programs that are needed and missing, by package name.
    pub missing: BTreeSet<String>,
    /// TCP ports of Springtide's range or of the ingress that somebody else listens on, with who.
    pub foreign_ports: BTreeMap<u16, String>,
}

/// State of a workload's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadState {
    /// Started; its probe has not said ready yet.
    Starting,
    /// Its probe says ready.
    Ready,
    /// It was ready and its probe fails now.
    Unready,
    /// It ended and waits for its next start.
    Backoff,
    /// It ended too often; a person must look.
    GaveUp,
    /// Stopped on purpose.
    Stopped,
    /// Nobody watches it: the supervisor is away. The process may run.
    Unwatched,
}

/// A configuration file that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditedFile {
    /// Its name below the configuration path.
    pub name: String,
    /// Whether putting it back needs no restart.
    pub reloadable: bool,
}

/// What was seen of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadObservation {
    /// Digest of the spec it runs with.
    pub digest: Digest,
    /// State.
    pub state: WorkloadState,
    /// Process id of the running process.
    pub pid: Option<i32>,
    /// Starts since it was last changed on purpose, less one.
    pub restarts: u32,
    /// Seconds since the process started.
    pub up_s: Option<u64>,
    /// Resident bytes of the process and its children.
    pub resident_bytes: Option<u64>,
    /// Why it is in this state, in words.
    pub why: String,
    /// Its configuration files that somebody changed by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<EditedFile>,
}

/// How a module that is half way belongs to others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfModule {
    /// What it needs that is half way too.
    pub needs: BTreeSet<ModuleName>,
    /// What of that makes Odoo install it without being asked; none if it has to be asked. With nothing left
    /// in it Odoo would have installed it by now, or it is there and was being updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comes_with: Option<BTreeSet<ModuleName>>,
}

/// What was seen of an environment's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseObservation {
    /// Fingerprint left by the last completed configuration step; `None` if never completed.
    pub configured: Option<Digest>,
    /// Modules in state `installed`.
    pub modules: BTreeSet<ModuleName>,
    /// Modules that an installation which was cut off left half way. Odoo runs no scheduled action
    /// while there are any.
    #[serde(default)]
    pub half: BTreeMap<ModuleName, HalfModule>,
    /// Settings that somebody changed over what Springtide wants, with ALTER SYSTEM (the name alone), or at a
    /// role or database (the name and ` of ` what).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub overridden: BTreeSet<String>,
}

/// What was seen of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentObservation {
    /// Its slot.
    pub slot: Slot,
    /// Series its data was made with.
    pub series: Option<Series>,
    /// Whether its data directory is there, whole.
    pub data: bool,
    /// Major version of PostgreSQL that the data directory is of, as far as it can be told.
    #[serde(default)]
    pub data_major: Option<u16>,
    /// Host name its certificate is for, and when it ends (seconds since 1970).
    pub certificate: Option<(String, i64)>,
    /// Why its data may be removed, once a destroy has passed the point of no return.
    #[serde(default)]
    pub destroying: Option<String>,
    /// Its database.
    pub database: Observed<DatabaseObservation>,
    /// Its workloads.
    pub workloads: ByRole<WorkloadObservation>,
    /// Digest of its route as the proxy has it; none if it has none.
    pub route: Observed<Option<Digest>>,
    /// Names the places of its backups that were prepared, as recorded; none if none ever were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Digest>,
}

/// A process that runs as a user of an environment and that Springtide did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Process id.
    pub pid: i32,
    /// Slot whose user it runs as.
    pub slot: Slot,
    /// Name of its program, as the kernel has it.
    pub program: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}) was not started by Springtide and runs as one of its users", self.pid, self.program)
    }
}

/// Secrets that exist, by name only: for each owner one bit for each name. A set of their references would
/// take twenty times the memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsSeen(BTreeMap<Option<EnvironmentName>, u32>);

impl SecretsSeen {
    const fn bit(name: SecretName) -> u32 {
        1 << name as u32
    }

    /// Whether this one exists.
    pub fn contains(&self, secret: &SecretRef) -> bool {
        self.0.get(&secret.environment).is_some_and(|names| names & Self::bit(secret.name) != 0)
    }

    /// Adds one.
    pub fn insert(&mut self, secret: SecretRef) {
        *self.0.entry(secret.environment).or_default() |= Self::bit(secret.name);
    }

    /// Takes all secrets of an environment out.
    pub fn remove_all(&mut self, environment: &EnvironmentName) {
        self.0.remove(&Some(environment.clone()));
    }

    /// Takes those secrets of an environment out that go with it; the keys of its backups stay.
    pub fn remove_environment(&mut self, environment: &EnvironmentName) {
        let kept = SecretName::BACKUP.iter().fold(0, |bits, name| bits | Self::bit(*name));
        let owner = Some(environment.clone());
        let left = self.0.remove(&owner).unwrap_or_default() & kept;
        if left != 0 {
            self.0.insert(owner, left);
        }
    }

    /// Environments that have all of `names`, in order.
    pub fn that_have<'a>(&'a self, names: &[SecretName]) -> impl Iterator<Item = &'a EnvironmentName> + use<'a> {
        let all = names.iter().fold(0, |bits, name| bits | Self::bit(*name));
        self.0.iter().filter(move |(_, bits)| *bits & all == all).filter_map(|(owner, _)| owner.as_ref())
    }

    /// All of them, in the order of owners and names.
    pub fn iter(&self) -> impl Iterator<Item = SecretRef> {
        self.0.iter().flat_map(|(owner, bits)| {
            let names = SecretName::ALL.into_iter().filter(move |name| bits & Self::bit(*name) != 0);
            names.map(|name| SecretRef { environment: owner.clone(), name })
        })
    }
}

impl FromIterator<SecretRef> for SecretsSeen {
    fn from_iter<I: IntoIterator<Item = SecretRef>>(all: I) -> Self {
        let mut seen = Self::default();
        all.into_iter().for_each(|secret| seen.insert(secret));
        seen
    }
}

impl Serialize for SecretsSeen {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for SecretsSeen {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Vec::<SecretRef>::deserialize(d)?.into_iter().collect())
    }
}

/// What an environment that has no data yet is filled from, instead of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The environment whose backups they are.
    pub from: EnvironmentName,
    /// Which of its places.
    pub repo: RepoKey,
    /// The backup set.
    pub set: Label,
    /// Up to where its write-ahead log is replayed.
    pub target: Target,
    /// Whether it is made harmless before it starts: a clone, that must reach nobody.
    #[serde(default)]
    pub neutralise: bool,
}

/// Everything the planner may know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When it was made, seconds since 1970.
    pub at: i64,
    /// The machine.
    pub host: HostFacts,
    /// Secrets that exist (names only).
    pub secrets: SecretsSeen,
    /// Templates that are whole.
    pub templates: BTreeSet<String>,
    /// Environments that hold anything: data, workloads, secrets, routes or a record.
    pub environments: BTreeMap<EnvironmentName, EnvironmentObservation>,
    /// Workloads of the estate itself.
    pub estate: ByRole<WorkloadObservation>,
    /// Processes that run as users of the estate or of these environments and that nobody declared. They are
    /// told and left: no plan depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<Stranger>,
    /// Environments, there or yet to come, that are to be filled from a restore.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seeds: BTreeMap<EnvironmentName, Seed>,
}

impl Observation {
    /// Strangers among the users of an environment, or of the estate's own parts.
    pub fn strangers_of(&self, environment: Option<&EnvironmentName>) -> impl Iterator<Item = &Stranger> {
        let slot = match environment {
            Some(name) => self.environments.get(name).map(|it| it.slot),
            None => Some(Slot::ESTATE),
        };
        self.strangers.iter().filter(move |it| Some(it.slot) == slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_seen_are_those_that_were_put_in() {
        let (prod, shop): (EnvironmentName, EnvironmentName) = ("prod".parse().unwrap(), "shop".parse().unwrap());
        let of = |environment: Option<&EnvironmentName>, name| SecretRef { environment: environment.cloned(), name };
        let all: BTreeSet<SecretRef> = SecretName::ALL
            .into_iter()
            .flat_map(|name| [of(None, name), of(Some(&shop), name)])
            .chain([of(Some(&prod), SecretName::DbApp), of(Some(&prod), SecretName::DbOwner)])
            .collect();
        let mut seen: SecretsSeen = all.iter().cloned().collect();
        assert!(seen.iter().eq(all.iter().cloned()), "each of them once, in the same order");
        assert_eq!(serde_json::to_value(&seen).unwrap(), serde_json::to_value(&all).unwrap());
        assert_eq!(serde_json::from_value::<SecretsSeen>(serde_json::to_value(&all).unwrap()).unwrap(), seen);
        for name in SecretName::ALL {
            let there = matches!(name, SecretName::DbApp | SecretName::DbOwner);
            assert_eq!(seen.contains(&of(Some(&prod), name)), there, "{name:?}");
        }
        assert!(seen.that_have(&[SecretName::DbApp, SecretName::DbOwner]).eq([&prod, &shop]));
        assert!(seen.that_have(&[SecretName::DbApp, SecretName::DbBackup]).eq([&shop]));
        seen.remove_all(&shop);
        assert!(seen.that_have(&[]).eq([&prod]));
    }
}

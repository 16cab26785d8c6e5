//! What a plan was made from, as one digest: a plan is stale when it no longer holds.
//!
//! What changes by itself (time, memory, pids) is left out. The rule that keeps it right: estate
//! and observations are taken apart field by field, so a new field breaks the build until someone
//! decides.

use serde::{Serialize, Serializer};

use super::sight::Seen;
use crate::check::{CheckedEnvironment, CheckedEstate};
use crate::digest::{Digest, Digester};
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::observe::{
    DatabaseObservation, EnvironmentObservation, HostFacts, Observation, WorkloadObservation, WorkloadState,
};
use crate::role::ByRole;
use crate::series::Series;

/// Collects what a plan is made from, while it is made.
pub(super) struct Inputs(Digester);

impl Inputs {
    /// All that is there once.
    pub fn of(estate: &CheckedEstate, seen: &Observation) -> Self {
        let CheckedEstate { name, platform, stores: _, environments: _, peaks, notes } = estate;
        let Observation { at: _, host, secrets: _, templates, environments: _, estate: parts, strangers: _, seeds: _ } =
            seen;
        let HostFacts { cpus, memory_bytes, free_disk_bytes: _, odoo_roots, postgres_major, missing, foreign_ports } =
            host;
        let host = (cpus, memory_bytes, odoo_roots, postgres_major, missing, foreign_ports);
        let mut digester = Digester::default();
        digester.add(&(name, platform, peaks, notes, host, templates, Workloads(parts)));
        Self(digester)
    }

    /// An environment of the file, and what was seen of it.
    pub fn declared(&mut self, declared: &CheckedEnvironment, seen: Seen<'_>) {
        self.0.add(&(true, declared, Stable::of(seen), seen.seed));
    }

    /// An environment that is not in the file.
    pub fn undeclared(&mut self, name: &EnvironmentName, seen: Seen<'_>) {
        self.0.add(&(false, name, Stable::of(seen)));
    }

    pub fn digest(self) -> Digest {
        self.0.digest()
    }
}

/// What of an environment stays as it is until somebody changes it.
#[derive(Serialize)]
struct Stable<'a> {
    slot: Slot,
    series: Option<Series>,
    data: bool,
    data_major: Option<u16>,
    secrets: bool,
    certificate: Option<&'a (String, i64)>,
    destroying: Option<&'a str>,
    database: Option<&'a DatabaseObservation>,
    workloads: Workloads<'a>,
    route: Option<Option<&'a Digest>>,
    repository: Option<Digest>,
}

impl<'a> Stable<'a> {
    fn of(Seen { observed, secrets, seed: _ }: Seen<'a>) -> Option<Self> {
        let EnvironmentObservation {
            slot,
            series,
            data,
            data_major,
            certificate,
            destroying,
            database,
            workloads,
            route,
            repository,
        } = observed?;
        Some(Self {
            slot: *slot,
            series: *series,
            data: *data,
            data_major: *data_major,
            secrets,
            certificate: certificate.as_ref(),
            destroying: destroying.as_deref(),
            database: database.known(),
            workloads: Workloads(workloads),
            route: route.known().map(Option::as_ref),
            repository: *repository,
        })
    }
}

struct Workloads<'a>(&'a ByRole<WorkloadObservation>);

impl Serialize for Workloads<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(role, seen)| {
            let down = matches!(seen.state, WorkloadState::Stopped | WorkloadState::GaveUp | WorkloadState::Unwatched);
            (role, seen.digest, down, !seen.edited.is_empty())
        }))
    }
}

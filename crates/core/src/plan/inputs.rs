//! What a plan was made from, as one digest: a plan is stale when it no longer holds.
//!
//! What changes by itself (time, memory, pids) is left out. The rule that keeps it right: each
//! observation is taken apart field by field, so a new field breaks the build until someone decides.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::sight::Sight;
use crate::check::CheckedEstate;
use crate::digest::Digest;
use crate::layout::Slot;
use crate::names::EnvironmentName;
use crate::observe::{
    DatabaseObservation, EnvironmentObservation, HostFacts, Observation, WorkloadObservation, WorkloadState,
};
use crate::role::Role;
use crate::series::Series;

/// Digest of `estate` and of what is stable in `seen`.
pub(super) fn inputs(estate: &CheckedEstate, seen: &Observation, sight: &Sight<'_>) -> Digest {
    let Observation { at: _, host, secrets: _, templates, environments, estate: parts } = seen;
    let HostFacts { cpus, memory_bytes, free_disk_bytes: _, odoo_roots, postgres_major, missing, foreign_ports } = host;
    let host = (cpus, memory_bytes, odoo_roots, postgres_major, missing, foreign_ports);
    let environments = Environments(environments, sight);
    Digest::of(&(estate, environments, Workloads(parts), host, templates))
}

struct Environments<'a>(&'a BTreeMap<EnvironmentName, EnvironmentObservation>, &'a Sight<'a>);

impl Serialize for Environments<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(name, seen)| {
            let EnvironmentObservation { slot, series, data, certificate, destroying, database, workloads, route } =
                seen;
            let (secrets, database) = (self.1.has_secrets(name), database.known());
            Stable {
                name,
                slot: *slot,
                series: *series,
                data: *data,
                secrets,
                certificate: certificate.as_ref(),
                destroying: destroying.as_deref(),
                database,
                workloads: Workloads(workloads),
                route: route.known().map(Option::as_ref),
            }
        }))
    }
}

/// What of an environment stays as it is until somebody changes it.
#[derive(Serialize)]
struct Stable<'a> {
    name: &'a EnvironmentName,
    slot: Slot,
    series: Option<Series>,
    data: bool,
    secrets: bool,
    certificate: Option<&'a (String, i64)>,
    destroying: Option<&'a str>,
    database: Option<&'a DatabaseObservation>,
    workloads: Workloads<'a>,
    route: Option<Option<&'a Digest>>,
}

struct Workloads<'a>(&'a BTreeMap<Role, WorkloadObservation>);

impl Serialize for Workloads<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(role, seen)| {
            let down = [WorkloadState::Stopped, WorkloadState::GaveUp, WorkloadState::Unwatched];
            (role, seen.digest, !down.contains(&seen.state))
        }))
    }
}

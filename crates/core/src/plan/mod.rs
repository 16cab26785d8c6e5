//! Plan: pure functions from a checked estate, an observation and a `now` to the exact steps that
//! are left. Same input, same plan; execution has no choice left.
//!
//! `step` holds the nouns, `environment` decides for one environment, `destroy` takes one away,
//! `codes` explains refusals.
//! What is not done stands in the plan too, with what it waits for.

mod codes;
pub mod destroy;
pub mod environment;
mod step;

pub use codes::{EXPLANATIONS, explanation};
pub use step::{Action, EnvironmentPlan, Plan, Refusal, Risk, Step};

use std::collections::BTreeSet;

use serde::Serialize;

use crate::check::CheckedEstate;
use crate::digest::Digest;
use crate::layout::Slot;
use crate::observe::{Observation, WorkloadObservation, WorkloadState};
use crate::role::Role;
use crate::roles::proxy;
use crate::sizing::size;
use crate::workload::{SecretName, SecretRef, WorkloadId, WorkloadSpec};

/// Plans everything that `estate` needs, at `now` (seconds since 1970).
pub fn plan(estate: &CheckedEstate, seen: &Observation, now: i64) -> Plan {
    let mut taken: BTreeSet<Slot> = seen.environments.values().map(|environment| environment.slot).collect();
    let mut environments = vec![estate_parts(estate, seen)];
    let mut refusals = Vec::new();
    let mut templates = seen.templates.clone();
    for environment in &estate.environments {
        let observed = seen.environments.get(&environment.name);
        let slot = match observed {
            Some(observed) => observed.slot,
            None => {
                let free =
                    (1..).map(Slot).find(|slot| !taken.contains(slot)).expect("u16 slots outnumber environments");
                taken.insert(free);
                free
            }
        };
        let sized = size(environment, &estate.peaks, slot, &seen.host, estate.environments.len(), now);
        match environment::plan(estate, &sized, observed, seen, now, &mut templates) {
            Ok(planned) => environments.push(planned),
            Err(refused) => refusals.extend(refused),
        }
    }
    let declared: BTreeSet<_> = estate.environments.iter().map(|environment| &environment.name).collect();
    let undeclared = seen.environments.keys().filter(|name| !declared.contains(name)).cloned().collect();
    // The parts of the estate are of no use alone, and a refused estate changes nothing at all.
    if !refusals.is_empty() {
        environments.clear();
    }
    environments.retain(|planned| !planned.steps.is_empty() || !planned.waits.is_empty());
    let inputs = inputs(estate, seen);
    let digest = Digest::of_json(&(&inputs, &environments, &refusals));
    Plan { id: format!("p-{}", digest.short()), inputs, environments, refusals, undeclared }
}

/// Authority, notice server and entrance.
fn estate_parts(estate: &CheckedEstate, seen: &Observation) -> EnvironmentPlan {
    let mut steps = Vec::new();
    let authority = SecretRef { environment: None, name: SecretName::AuthorityCertificate };
    if !seen.secrets.contains(&authority) {
        steps.push(Step::quiet(Action::EnsureAuthority, "no certificate authority yet"));
    }
    for spec in [proxy::notice(), proxy::proxy(&estate.platform.ingress)] {
        steps.extend(workload_step(&spec, seen.estate.get(&spec.id.role)));
    }
    EnvironmentPlan { environment: None, steps, waits: Vec::new() }
}

/// The step that brings a workload to `spec`, if one is needed.
fn workload_step(spec: &WorkloadSpec, observed: Option<&WorkloadObservation>) -> Option<Step> {
    let digest = spec.digest();
    let id: WorkloadId = spec.id.clone();
    let action = Action::EnsureWorkload { id, digest };
    let Some(observed) = observed else {
        return Some(Step::quiet(action, "it does not exist"));
    };
    if observed.digest != digest {
        let (risk, seconds) = interruption(spec.id.role);
        return Some(Step { action, risk, interruption_s: seconds, reason: "its configuration differs".into() });
    }
    match observed.state {
        WorkloadState::Stopped => Some(Step::quiet(action, "it is stopped")),
        WorkloadState::GaveUp => Some(Step::quiet(action, format!("it gave up: {}", observed.why))),
        WorkloadState::Unwatched => Some(Step::quiet(action, "nobody watches it; the next supervisor adopts it")),
        WorkloadState::Starting | WorkloadState::Ready | WorkloadState::Unready | WorkloadState::Backoff => None,
    }
}

/// What users notice while a role is replaced on one machine, where it runs once.
fn interruption(role: Role) -> (Risk, u32) {
    match role {
        Role::Postgres => (Risk::Restart, 15),
        Role::Pooler => (Risk::Restart, 3),
        Role::Web => (Risk::Restart, 8),
        Role::Live => (Risk::Restart, 5),
        Role::Proxy => (Risk::Restart, 3),
        Role::Cron | Role::Jobs | Role::Notice => (Risk::Rolling, 0),
    }
}

/// Digest of what the plan was made from, without what changes by itself (time, memory, pids).
fn inputs(estate: &CheckedEstate, seen: &Observation) -> Digest {
    #[derive(Serialize)]
    struct Stable<'a>(Vec<(&'a str, Slot, bool, Option<&'a (String, i64)>, Vec<(Role, Digest, bool)>, String)>);
    let runs = |observed: &WorkloadObservation| {
        !matches!(observed.state, WorkloadState::Stopped | WorkloadState::GaveUp | WorkloadState::Unwatched)
    };
    let stable = Stable(
        seen.environments
            .iter()
            .map(|(name, it)| {
                let workloads = it.workloads.iter().map(|(role, seen)| (*role, seen.digest, runs(seen))).collect();
                let rest = format!("{:?} {:?}", it.database.known(), it.route.known());
                (name.as_str(), it.slot, it.data, it.certificate.as_ref(), workloads, rest)
            })
            .collect(),
    );
    let parts: Vec<_> = seen.estate.iter().map(|(role, seen)| (*role, seen.digest, runs(seen))).collect();
    let host = (seen.host.cpus, seen.host.memory_bytes, &seen.host.odoo_roots);
    Digest::of_json(&(estate, stable, parts, host, &seen.templates))
}

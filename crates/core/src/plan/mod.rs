//! Plan: pure functions from a checked estate, an observation and a `now` to the exact steps that
//! are left. Same input, same plan; execution has no choice left.
//!
//! `step` holds the nouns, `sight` arranges the observation, `environment` decides for one environment,
//! `destroy` takes one away, `peaks` tells a peak's own changes from others, `wanted` names what is asked
//! for in one digest, `codes` explains refusals and `commands` what else a command may say. What is not done stands in the plan too, with what it
//! waits for.

mod codes;
mod commands;
pub mod destroy;
pub mod environment;
mod inputs;
mod peaks;
mod sight;
mod step;
pub mod wanted;

pub use codes::{EXPLANATIONS, explanation};
pub use commands::COMMANDS;
pub use step::{Action, EnvironmentPlan, Plan, Refusal, Risk, Step, Undo};

use std::borrow::Cow;

use self::inputs::Inputs;
use self::sight::{Seen, Sight};
use crate::check::{CheckedEstate, DriverKind};
use crate::digest::Digest;
use crate::layout::{LAST_SLOT, Slot};
use crate::observe::{EditedFile, Observation, WorkloadObservation, WorkloadState};
use crate::role::Role;
use crate::roles::proxy;
use crate::workload::{SecretName, SecretRef, WorkloadId};

/// Plans everything that `estate` needs, at `now` (seconds since 1970).
pub fn plan(estate: &CheckedEstate, seen: &Observation, now: i64) -> Plan {
    plan_with_rest(estate, seen, now).0
}

/// The same, and beside it what a refusal keeps from being done: the parts of the other environments.
/// Nobody applies those as a plan; what is put right in them was approved before.
pub fn plan_with_rest(estate: &CheckedEstate, seen: &Observation, now: i64) -> (Plan, Vec<EnvironmentPlan>) {
    let sight = Sight::of(estate, seen);
    let mut inputs = Inputs::of(estate, seen);
    let last = last_slot(estate.platform.driver);
    let mut free = (1..=last).map(Slot).filter(|slot| sight.is_free(*slot));
    let mut environments = vec![estate_parts(estate, seen)];
    let mut refusals = Vec::new();
    let mut templates = seen.templates.clone();
    let mut outside = Vec::new();
    for (declared, found) in estate.environments.iter().zip(&sight.declared) {
        inputs.declared(declared, *found);
        let Seen { observed, secrets, seed } = *found;
        let slot = observed.map(|observed| observed.slot).or_else(|| free.next());
        let Some(slot) = slot.filter(|slot| slot.0 <= last) else {
            outside.push(&declared.name);
            continue;
        };
        let place = environment::Place { estate, declared, slot, observed, secrets, seed, host: &seen.host, now };
        match place.plan(&mut templates) {
            Ok(planned) if planned.steps.is_empty() && planned.waits.is_empty() => {}
            Ok(planned) => environments.push(planned),
            Err(refused) => refusals.extend(refused),
        }
    }
    if let Some(first) = outside.first() {
        refusals.push(Refusal {
            code: "E0708".into(),
            environment: (*first).clone(),
            text: format!(
                "this machine has room for {last} environments at once; {} of the estate have none, this is the first",
                outside.len()
            ),
            hint: "Declare fewer environments, or divide the estate between machines.".into(),
        });
    }
    // The parts of the estate are of no use alone, and a refused estate changes nothing at all.
    environments.retain(|planned| !planned.steps.is_empty() || !planned.waits.is_empty());
    let rest = if refusals.is_empty() { Vec::new() } else { std::mem::take(&mut environments) };
    for (name, found) in &sight.undeclared {
        inputs.undeclared(name, *found);
    }
    let inputs = inputs.digest();
    let undeclared = sight.undeclared.iter().map(|(name, _)| (*name).clone()).collect();
    let digest = Digest::of(&(&inputs, &environments, &refusals));
    (Plan { id: format!("p-{}", digest.short()), inputs, environments, refusals, undeclared }, rest)
}

/// The highest slot an environment may hold: where processes of one machine listen, ports end.
fn last_slot(driver: DriverKind) -> u16 {
    match driver {
        DriverKind::Process => LAST_SLOT,
        DriverKind::Docker | DriverKind::Kubernetes => u16::MAX,
    }
}

/// Why a workload changes that has no better reason.
const DIFFERS: &str = "its configuration differs";

/// Authority, notice server and entrance.
fn estate_parts(estate: &CheckedEstate, seen: &Observation) -> EnvironmentPlan {
    let mut steps = Vec::new();
    let authority = SecretRef { environment: None, name: SecretName::AuthorityCertificate };
    if !seen.secrets.contains(&authority) {
        steps.push(Step::quiet(Action::EnsureAuthority, "no certificate authority yet"));
    }
    let parts = [(Role::Notice, proxy::notice_digest()), (Role::Proxy, proxy::proxy_digest(&estate.platform.ingress))];
    for (role, digest) in parts {
        let observed = seen.estate.get(&role);
        steps.extend(workload_step(WorkloadId::estate(role), digest, observed, |_| DIFFERS.into()));
    }
    EnvironmentPlan { environment: None, steps, waits: Vec::new() }
}

/// The step that brings a workload to `digest`, if one is needed; `why` says, for what runs, why
/// it changes.
fn workload_step(
    id: WorkloadId,
    digest: Digest,
    observed: Option<&WorkloadObservation>,
    why: impl FnOnce(Digest) -> Cow<'static, str>,
) -> Option<Step> {
    let role = id.role;
    let action = Action::EnsureWorkload { id, digest };
    let Some(observed) = observed else {
        return Some(Step::quiet(action, "it does not exist"));
    };
    match observed.state {
        // Nobody is interrupted by a change to what does not run.
        WorkloadState::Stopped => Some(Step::quiet(action, "it is stopped")),
        WorkloadState::GaveUp => Some(Step::quiet(action, format!("it gave up: {}", observed.why))),
        _ if observed.digest != digest => {
            let (risk, interruption_s) = interruption(role);
            Some(Step { action, risk, interruption_s, reason: why(observed.digest) })
        }
        WorkloadState::Unwatched => Some(Step::quiet(action, "nobody watches it; the next supervisor adopts it")),
        _ if !observed.edited.is_empty() => Some(put_back(action, role, &observed.edited)),
        WorkloadState::Starting | WorkloadState::Ready | WorkloadState::Unready | WorkloadState::Backoff => None,
    }
}

/// The step that puts files back which somebody edited. One that a process reads only when it starts may
/// have been read since, by a start that nobody saw; so such a role is started again.
fn put_back(action: Action, role: Role, edited: &[EditedFile]) -> Step {
    let names: Vec<&str> = edited.iter().map(|file| file.name.as_str()).collect();
    let reason = format!("{} was edited by hand", names.join(", ")).into();
    let (risk, interruption_s) = match edited.iter().all(|file| file.reloadable) {
        true => (Risk::Reload, 0),
        false => interruption(role),
    };
    Step { action, risk, interruption_s, reason }
}

/// What users notice while a role is replaced on one machine, where it runs once.
fn interruption(role: Role) -> (Risk, u32) {
    match role {
        Role::Postgres => (Risk::Restart, 15),
        Role::Pooler => (Risk::Restart, 3),
        Role::Sessions => (Risk::Restart, 1),
        Role::Web => (Risk::Restart, 8),
        Role::Live => (Risk::Restart, 5),
        Role::Proxy => (Risk::Restart, 3),
        Role::Cron | Role::Jobs | Role::Notice => (Risk::Rolling, 0),
    }
}

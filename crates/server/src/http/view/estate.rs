//! The estate on the wire, and each of its environments in short.

use springtide_api::{
    BudgetBar, EnvironmentSummary, EstateView, HeldView, HostView, NoteView, OperationView, PeakView, RoleState,
};
use springtide_core::check::{CheckedEnvironment, CheckedPeak};
use springtide_core::layout::Slot;
use springtide_core::names::EnvironmentName;
use springtide_core::observe::EnvironmentObservation;
use springtide_core::plan::environment::{base_url, certificate_until};
use springtide_core::role::Role;
use springtide_core::sizing::{SizedEnvironment, size};

use super::{drift, plan_summary, role};
use crate::control::Snapshot;
use crate::health::health;

/// The estate. `last` tells the newest operation of an environment, or of all.
pub fn estate(
    snapshot: &Snapshot,
    held: Option<HeldView>,
    last: impl Fn(Option<&EnvironmentName>) -> Option<OperationView>,
) -> EstateView {
    let Snapshot { at, checked, declared, seen, plan, drift: drifted, refusal, .. } = snapshot;
    let declared_ones =
        checked.environments.iter().map(|it| summary(snapshot, &it.name, Some(it), last(Some(&it.name))));
    let others = plan.undeclared.iter().map(|name| summary(snapshot, name, None, last(Some(name))));
    EstateView {
        name: checked.name.to_string(),
        at: *at,
        declared: declared.to_string(),
        refusal: refusal.clone(),
        held,
        host: HostView {
            cpus: seen.host.cpus,
            memory_bytes: seen.host.memory_bytes,
            free_disk_bytes: seen.host.free_disk_bytes,
        },
        parts: Role::ESTATE.into_iter().map(|one| role(one, seen.estate.get(&one))).collect(),
        environments: declared_ones.chain(others).collect(),
        plan: plan_summary(snapshot),
        drift: drifted.iter().filter(|it| it.environment.is_none()).map(drift).collect(),
        notes: checked.notes.iter().map(|note| NoteView { code: note.code.into(), text: note.text.clone() }).collect(),
        last_operation: last(None),
    }
}

/// The declaration of an environment.
pub(super) fn declaration<'a>(snapshot: &'a Snapshot, name: &EnvironmentName) -> Option<&'a CheckedEnvironment> {
    snapshot.checked.environments.iter().find(|it| &it.name == name)
}

/// A declared environment with its numbers.
pub(super) fn sized<'a>(
    snapshot: &'a Snapshot,
    declared: &'a CheckedEnvironment,
    observed: Option<&EnvironmentObservation>,
) -> SizedEnvironment<'a> {
    let Snapshot { at, checked, seen, .. } = snapshot;
    let until = certificate_until(declared, observed, *at);
    // No number that is shown follows from the slot.
    let slot = observed.map_or(Slot(0), |it| it.slot);
    size(declared, &checked.peaks, slot, &seen.host, checked.environments.len(), *at, until)
}

/// One environment in short.
pub(super) fn summary(
    snapshot: &Snapshot,
    name: &EnvironmentName,
    declared: Option<&CheckedEnvironment>,
    last_operation: Option<OperationView>,
) -> EnvironmentSummary {
    let Snapshot { at, checked, seen, plan, drift, .. } = snapshot;
    let observed = seen.environments.get(name);
    let budget = declared.map(|declared| {
        let budget = sized(snapshot, declared, observed).budget;
        BudgetBar { demand: budget.demand, reserve: budget.reserve, max_connections: budget.max_connections }
    });
    let roles = Role::ENVIRONMENT.into_iter().map(|one| {
        let seen = role(one, observed.and_then(|it| it.workloads.get(&one)));
        RoleState { role: seen.role, state: seen.state }
    });
    let left = plan.environments.iter().find(|part| part.environment.as_ref() == Some(name));
    let series = observed.and_then(|it| it.series).or(declared.map(|it| it.series));
    EnvironmentSummary {
        name: name.to_string(),
        declared: declared.is_some(),
        stage: declared.and_then(|it| Some(serde_json::to_value(it.stage).ok()?.as_str()?.to_owned())),
        series: series.map(|it| it.to_string()),
        url: declared.map(|it| base_url(checked, &it.host)),
        health: health(observed),
        roles: roles.collect(),
        budget,
        steps_left: left.map_or(0, |part| part.steps.len() as u64),
        drifted: drift.iter().filter(|it| it.environment.as_ref() == Some(name)).count() as u64,
        peak: peak(&checked.peaks, name, *at),
        last_operation,
    }
}

/// The peak that is on now, or else the next one.
fn peak(peaks: &[CheckedPeak], name: &EnvironmentName, at: i64) -> Option<PeakView> {
    let ahead = peaks.iter().filter(|peak| peak.touches(name) && peak.to > at);
    let first = ahead.min_by_key(|peak| (!peak.active(name, at), peak.from))?;
    Some(PeakView {
        name: first.name.to_string(),
        active: first.active(name, at),
        from: first.from,
        to: first.to,
        multiplier: first.multiplier,
        freeze: first.freeze,
    })
}

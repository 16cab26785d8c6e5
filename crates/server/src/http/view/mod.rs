//! From the control plane's own types to those of the wire: the one place that does it.
//!
//! Everything here is a function of what it is given; the console calls the same functions as the handlers,
//! so that a page shows nothing the API does not tell.

mod environment;
mod estate;
mod plan;
mod signals;

pub use environment::environment;
pub use estate::estate;
pub use plan::{environment_plan, plan, summary as plan_summary};
pub use signals::signals;

use springtide_api::{
    DriftRule, DriftView, EventView, HeldView, OperationState, OperationView, RoleView, State, StepView,
};
use springtide_core::observe::{WorkloadObservation, WorkloadState};
use springtide_core::role::Role;
use springtide_data::mask::Mask;

use crate::control::{self, Drift, Event, Held};
use crate::store::{DONE, OperationRecord, StepRecord};

/// The stop switch.
pub fn held(held: &Held) -> HeldView {
    HeldView { reason: held.reason.clone(), by: held.by.clone(), since: held.since }
}

/// Something that differs from what was applied.
pub fn drift(drift: &Drift) -> DriftView {
    let rule = match drift.rule {
        control::DriftRule::Heal => DriftRule::Heal,
        control::DriftRule::Report => DriftRule::Report,
    };
    let environment = drift.environment.as_ref().map(ToString::to_string);
    DriftView { environment, what: drift.what.clone(), since: drift.since, rule }
}

/// A role as it was seen.
pub fn role(role: Role, seen: Option<&WorkloadObservation>) -> RoleView {
    let name = role.as_str().to_owned();
    let Some(seen) = seen else {
        return RoleView {
            role: name,
            state: State::Absent,
            why: "it does not exist".into(),
            digest: None,
            pid: None,
            restarts: 0,
            up_s: None,
            resident_bytes: None,
        };
    };
    RoleView {
        role: name,
        state: state(seen.state),
        why: seen.why.clone(),
        digest: Some(seen.digest.to_string()),
        pid: seen.pid,
        restarts: seen.restarts,
        up_s: seen.up_s,
        resident_bytes: seen.resident_bytes,
    }
}

/// A state.
pub fn state(state: WorkloadState) -> State {
    match state {
        WorkloadState::Starting => State::Starting,
        WorkloadState::Ready => State::Ready,
        WorkloadState::Unready => State::Unready,
        WorkloadState::Backoff => State::Backoff,
        WorkloadState::GaveUp => State::GaveUp,
        WorkloadState::Stopped => State::Stopped,
        WorkloadState::Unwatched => State::Unwatched,
    }
}

/// How the journal begins to tell of an operation that was stopped between two steps.
const STOPPED: [&str; 3] = ["stopped", "cancelled by ", "held: "];

/// A recorded operation.
pub fn operation(record: &OperationRecord, mask: &Mask) -> OperationView {
    let state = match record.outcome.as_deref() {
        None if record.ended.is_none() => OperationState::Running,
        Some(DONE) => OperationState::Done,
        None | Some("cut off") => OperationState::CutOff,
        Some(text) if STOPPED.iter().any(|word| text.starts_with(word)) => OperationState::Stopped,
        Some(_) => OperationState::Failed,
    };
    OperationView {
        id: record.id,
        plan: record.plan.clone(),
        environment: record.environment.clone(),
        by: record.by.clone(),
        began: record.began,
        ended: record.ended,
        state,
        outcome: record.outcome.as_deref().map(|text| mask.apply(text)),
        steps_begun: record.steps.0,
        steps_done: record.steps.1,
    }
}

/// A recorded step; what it says is masked.
pub fn step(record: &StepRecord, mask: &Mask) -> StepView {
    StepView {
        number: record.number,
        environment: record.environment.clone(),
        title: record.title.clone(),
        began: record.began,
        ended: record.ended,
        error: record.error.as_deref().map(|text| mask.apply(text)),
    }
}

/// Something that happened; texts in it are masked.
pub fn event(event: &Event, mask: &Mask) -> EventView {
    EventView {
        id: event.id,
        at: event.at,
        kind: event.kind.as_str().to_owned(),
        environment: event.environment.clone(),
        operation: event.operation,
        data: masked(&event.data, mask),
    }
}

fn masked(value: &serde_json::Value, mask: &Mask) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(mask.apply(text)),
        Value::Array(items) => items.iter().map(|item| masked(item, mask)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), masked(value, mask))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

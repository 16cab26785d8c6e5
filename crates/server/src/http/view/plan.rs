//! Plans on the wire.

use springtide_api::{
    EnvironmentPlanView, PlanStepView, PlanSummary, PlanView, RefusalView, Risk, Undo, UndoView, Verdict,
};
use springtide_core::plan::{self as core, EnvironmentPlan, Step};

use crate::control::{self, Snapshot};

/// What is left to do.
pub fn plan(snapshot: &Snapshot) -> PlanView {
    let plan = &snapshot.plan;
    PlanView {
        id: plan.id.clone(),
        inputs: plan.inputs.to_string(),
        summary: summary(snapshot),
        environments: plan.environments.iter().map(|part| environment_plan(snapshot, part)).collect(),
        refusals: plan
            .refusals
            .iter()
            .map(|refusal| RefusalView {
                code: refusal.code.clone(),
                environment: refusal.environment.to_string(),
                text: refusal.text.clone(),
                hint: refusal.hint.clone(),
            })
            .collect(),
        undeclared: plan.undeclared.iter().map(ToString::to_string).collect(),
    }
}

/// What is left to do, in numbers.
pub fn summary(snapshot: &Snapshot) -> PlanSummary {
    let plan = &snapshot.plan;
    let count = |wanted: &dyn Fn(&&Step) -> bool| plan.steps().filter(wanted).count() as u64;
    let waiting = |it: &&control::Verdict| matches!(it, control::Verdict::Waits(control::Why::Approval));
    PlanSummary {
        id: plan.id.clone(),
        steps: plan.steps().count() as u64,
        interrupting: count(&|step| step.interruption_s > 0),
        interruption_s: plan.steps().map(|step| u64::from(step.interruption_s)).sum(),
        destructive: count(&|step| step.risk == core::Risk::Destructive),
        refusals: plan.refusals.len() as u64,
        approvals: snapshot.verdicts.values().filter(waiting).count() as u64,
    }
}

/// The steps of one environment.
pub fn environment_plan(snapshot: &Snapshot, part: &EnvironmentPlan) -> EnvironmentPlanView {
    EnvironmentPlanView {
        environment: part.environment.as_ref().map(ToString::to_string),
        steps: part.steps.iter().map(step).collect(),
        waits: part.waits.clone(),
        verdict: snapshot.verdicts.get(&part.environment).map(verdict),
    }
}

fn verdict(verdict: &control::Verdict) -> Verdict {
    use control::Why;
    match verdict {
        control::Verdict::GoOn => Verdict::GoOn,
        control::Verdict::Heal => Verdict::Heal,
        control::Verdict::Finish => Verdict::Finish,
        control::Verdict::Waits(Why::Held) => Verdict::Held,
        control::Verdict::Waits(Why::Running) => Verdict::Running,
        control::Verdict::Waits(Why::Approval) => Verdict::Approval,
        control::Verdict::Waits(Why::Report) => Verdict::Report,
        control::Verdict::Waits(Why::Freeze) => Verdict::Freeze,
        control::Verdict::Waits(Why::Pause) => Verdict::Pause,
    }
}

fn step(step: &Step) -> PlanStepView {
    let risk = match step.risk {
        core::Risk::None => Risk::None,
        core::Risk::Reload => Risk::Reload,
        core::Risk::Rolling => Risk::Rolling,
        core::Risk::Restart => Risk::Restart,
        core::Risk::Destructive => Risk::Destructive,
    };
    PlanStepView {
        title: step.action.title(),
        // Our own types have string keys only.
        action: serde_json::to_value(&step.action).unwrap_or_default(),
        risk,
        interruption_s: step.interruption_s,
        reason: step.reason.clone().into_owned(),
        undo: undo(step.action.undo()),
    }
}

fn undo(undo: core::Undo) -> UndoView {
    match undo {
        core::Undo::By(what) => UndoView { is: Undo::By, by: Some(what.to_owned()) },
        core::Undo::Repeat => UndoView { is: Undo::Repeat, by: None },
        core::Undo::PointOfNoReturn => UndoView { is: Undo::PointOfNoReturn, by: None },
    }
}

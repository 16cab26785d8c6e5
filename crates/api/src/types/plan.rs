//! What is left to do, step by step, and its approval.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// What is left to do, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanSummary {
    /// Its short name.
    pub id: String,
    /// Steps.
    pub steps: u64,
    /// Steps that users notice.
    pub interrupting: u64,
    /// Interruption to expect if the steps are done one by one, seconds.
    pub interruption_s: u64,
    /// Steps that remove something for good.
    pub destructive: u64,
    /// Environments that cannot be planned; with any, nothing is applied.
    pub refusals: u64,
    /// Environments (the estate's own parts count as one) whose steps wait for somebody's approval.
    pub approvals: u64,
}

/// What is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// Its short name; approving names it.
    pub id: String,
    /// Digest of estate file and observation that it was made from.
    pub inputs: String,
    /// The same in numbers.
    pub summary: PlanSummary,
    /// Per environment, the estate's own parts first.
    pub environments: Vec<EnvironmentPlanView>,
    /// Environments that cannot be planned; with any, nothing is applied.
    pub refusals: Vec<RefusalView>,
    /// Environments that exist here and are not declared; they are left alone.
    pub undeclared: Vec<String>,
}

/// Steps of one environment, or of the estate's own parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentPlanView {
    /// Which environment; none for the estate's own parts.
    pub environment: Option<String>,
    /// Steps in order.
    pub steps: Vec<PlanStepView>,
    /// What is not done, and what it waits for.
    pub waits: Vec<String>,
    /// What becomes of the steps; none if there are none.
    pub verdict: Option<Verdict>,
}

/// What becomes of steps that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// They were approved and not brought to their end: they go on without asking.
    GoOn,
    /// They put drift right, without asking.
    Heal,
    /// They finish a destruction past the point of no return.
    Finish,
    /// They wait: the stop switch is set.
    Held,
    /// They wait: an operation has the environment in hand.
    Running,
    /// They wait for somebody's approval.
    Approval,
    /// They wait: the environment's rule says that drift is only told.
    Report,
    /// They wait: a freeze lets nothing through that interrupts people.
    Freeze,
    /// They wait a while, because it failed just now.
    Pause,
}

/// A step that is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanStepView {
    /// What it does, for people.
    pub title: String,
    /// What it does, exactly: `do` names the kind of step, the rest is its own.
    #[schema(value_type = Object)]
    pub action: serde_json::Value,
    /// What it does to users.
    pub risk: Risk,
    /// Interruption to expect, seconds.
    pub interruption_s: u32,
    /// Why it is needed.
    pub reason: String,
    /// What takes it back.
    pub undo: UndoView,
}

/// What takes a step back that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UndoView {
    /// Whether anything does.
    pub is: Undo,
    /// What, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Whether a step can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// `by` takes it back.
    By,
    /// It needs no taking back: it may be repeated, and what it leaves disturbs nothing.
    Repeat,
    /// Nothing takes it back.
    PointOfNoReturn,
}

/// What a step does to those who work in the environment; the order is the order of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nobody notices.
    None,
    /// A process takes over new settings without ending.
    Reload,
    /// Replaced without users noticing.
    Rolling,
    /// Replaced with some seconds of interruption.
    Restart,
    /// Something is removed for good.
    Destructive,
}

/// Why an environment cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalView {
    /// Code for `springtide explain`.
    pub code: String,
    /// Which environment.
    pub environment: String,
    /// What does not work, with the numbers.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// Approves a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The plan that was seen; refused if it is no longer the one that would be made now.
    #[schema(min_length = 1, max_length = 80)]
    pub plan: String,
    /// Only these environments; none for all. The estate's own parts go with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 10000)]
    pub environments: Option<Vec<String>>,
}

/// A plan was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approved {
    /// Numbers of the operations that began.
    pub operations: Vec<u64>,
    /// What could not be begun after others had; none if all was. It is not approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_begun: Option<NotBegun>,
}

/// Parts of an approved plan that could not be begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotBegun {
    /// Which environments.
    pub environments: Vec<String>,
    /// Why, and what to do.
    pub why: Problem,
}

/// The plan as the planner made it; for those who check or keep it.
impl TryFrom<&PlanView> for springtide_core::plan::Plan {
    type Error = serde_json::Error;

    fn try_from(view: &PlanView) -> Result<Self, Self::Error> {
        serde_json::from_value(serde_json::to_value(view)?)
    }
}

//! What was done, or is being done.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    /// Its number.
    pub id: u64,
    /// Name of its plan.
    pub plan: String,
    /// The environment it is for; none for the estate's own parts, or if it is for several.
    pub environment: Option<String>,
    /// Who asked for it; none in journals of the first release.
    pub by: Option<String>,
    /// When it began, seconds since 1970.
    pub began: i64,
    /// When it ended, seconds since 1970; none while it runs or if it was cut off.
    pub ended: Option<i64>,
    /// How it is, or how it ended.
    pub state: OperationState,
    /// How it ended, in words; none while it runs.
    pub outcome: Option<String>,
    /// Steps begun so far.
    pub steps_begun: u64,
    /// Steps done so far.
    pub steps_done: u64,
}

/// How an operation is, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// It is under way; or it was cut off and nobody has noticed yet.
    Running,
    /// Every step was done.
    Done,
    /// A step failed.
    Failed,
    /// It was stopped between two steps, by a person or the stop switch.
    Stopped,
    /// Its controller went away; the next pass plans from what is seen.
    CutOff,
}

impl OperationState {
    /// The word itself.
    pub const fn as_str(self) -> &'static str {
        match self {
            OperationState::Running => "running",
            OperationState::Done => "done",
            OperationState::Failed => "failed",
            OperationState::Stopped => "stopped",
            OperationState::CutOff => "cut-off",
        }
    }
}

/// An operation with its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationDetail {
    /// The operation.
    pub operation: OperationView,
    /// Its steps so far, in order.
    pub steps: Vec<StepView>,
}

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its number from 0.
    pub number: u64,
    /// Its environment; none for the estate's own parts.
    pub environment: Option<String>,
    /// What it did.
    pub title: String,
    /// When it began, seconds since 1970.
    pub began: i64,
    /// When it ended, seconds since 1970; none while it runs or if it was cut off.
    pub ended: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A page of operations, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationPage {
    /// The operations.
    pub items: Vec<OperationView>,
    /// Ask with this `cursor` for the next page; none at the end.
    pub next: Option<String>,
}

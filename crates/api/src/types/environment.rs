//! One environment in full: its roles, the numbers behind them and the reason for each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EnvironmentPlanView, EnvironmentSummary, OperationView, State};

/// One environment in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentView {
    /// When it was looked at, seconds since 1970.
    pub at: i64,
    /// The same in short.
    pub summary: EnvironmentSummary,
    /// Its roles in starting order.
    pub roles: Vec<RoleView>,
    /// Numbers that were reckoned, each with its reason; none if it is not declared.
    pub numbers: Vec<NumberView>,
    /// The connection budget; none if it is not declared.
    pub budget: Option<BudgetView>,
    /// Its database.
    pub database: DatabaseView,
    /// Its certificate, if it has one.
    pub certificate: Option<CertificateView>,
    /// Whether the proxy has its route; none if that cannot be seen.
    pub routed: Option<bool>,
    /// Ports and Unix ids follow from this number; none if it does not exist yet.
    pub slot: Option<u16>,
    /// Why its data may be removed, once that was decided for good.
    pub destroying: Option<String>,
    /// What differs from what was applied.
    pub drift: Vec<DriftView>,
    /// What is left to do in it, if anything.
    pub plan: Option<EnvironmentPlanView>,
    /// The newest operations that touched it, newest first, at most 10.
    pub operations: Vec<OperationView>,
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleView {
    /// The role, such as `web`.
    pub role: String,
    /// Its state.
    pub state: State,
    /// Why it is in this state, in words.
    pub why: String,
    /// Digest of what it runs with; none if it does not exist.
    pub digest: Option<String>,
    /// Process id of the running process.
    pub pid: Option<i32>,
    /// Starts since it was last changed on purpose, less one.
    pub restarts: u32,
    /// Seconds since the process started.
    pub up_s: Option<u64>,
    /// Resident memory of the process and its children, bytes.
    pub resident_bytes: Option<u64>,
}

/// A number and why it is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NumberView {
    /// What it counts, such as `web workers`.
    pub what: String,
    /// The number.
    pub value: u64,
    /// Its unit: empty for plain counts, `bytes` for sizes.
    pub unit: String,
    /// The rule it follows from, such as `60 users / 6 per worker`.
    pub why: String,
}

/// The connection budget: what all roles may hold at PostgreSQL at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetView {
    /// The sum, line by line.
    pub lines: Vec<BudgetLineView>,
    /// Sum of all lines, connections.
    pub demand: u32,
    /// Connections held back.
    pub reserve: u32,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u32,
    /// Whether the demand fits beside the reserve.
    pub fits: bool,
    /// The whole sum as one line of text.
    pub arithmetic: String,
}

/// One line of the connection budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetLineView {
    /// What it is for, such as `web`.
    pub what: String,
    /// The arithmetic, such as `4 workers x 2`.
    pub how: String,
    /// Connections.
    pub connections: u32,
}

/// What is seen of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseView {
    /// Why it could not be looked at; none if it could.
    pub unknown: Option<String>,
    /// Installed modules.
    pub modules: Vec<String>,
    /// Modules that an installation which was cut off left half way.
    pub half: Vec<String>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The host name it is for.
    pub host: String,
    /// When it ends, seconds since 1970.
    pub until: i64,
}

/// Something that differs from what was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriftView {
    /// Where; none for the estate's own parts.
    pub environment: Option<String>,
    /// What differs, such as `web is not running`.
    pub what: String,
    /// Since when it is seen, seconds since 1970.
    pub since: i64,
    /// What is done about it.
    pub rule: DriftRule,
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftRule {
    /// It is put right without asking.
    Heal,
    /// It is shown and left.
    Report,
}

//! The estate as a whole: what is declared, what is seen, what is held.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DriftView, OperationView, PlanSummary, RoleView};

/// The estate as the server sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EstateView {
    /// Its name.
    pub name: String,
    /// When it was looked at, seconds since 1970.
    pub at: i64,
    /// Digest of what the estate file declares.
    pub declared: String,
    /// Why the estate file as it is now is not valid; the last valid one is in force then.
    pub refusal: Option<String>,
    /// Set while nothing may be begun.
    pub held: Option<HeldView>,
    /// The machine it runs on.
    pub host: HostView,
    /// The parts that belong to the whole estate, in starting order.
    pub parts: Vec<RoleView>,
    /// Its environments in the order of the file, then those that are there and not declared.
    pub environments: Vec<EnvironmentSummary>,
    /// What is left to do, in numbers.
    pub plan: PlanSummary,
    /// What differs from what was applied, in the estate's own parts.
    pub drift: Vec<DriftView>,
    /// What is accepted in the estate file and worth knowing.
    pub notes: Vec<NoteView>,
    /// The newest operation, if there was one.
    pub last_operation: Option<OperationView>,
}

/// One environment in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentSummary {
    /// Its name.
    pub name: String,
    /// Whether the estate file declares it.
    pub declared: bool,
    /// What it is for: `production`, `staging`, `test` or `dev`; none if it is not declared.
    pub stage: Option<String>,
    /// Odoo series, such as `19.0`; none if neither declared nor seen.
    pub series: Option<String>,
    /// The address users type; none if it is not declared.
    pub url: Option<String>,
    /// What users notice of it, in one word.
    pub health: Health,
    /// Its roles and their states, in starting order.
    pub roles: Vec<RoleState>,
    /// How its database connections are spoken for; none if it is not declared.
    pub budget: Option<BudgetBar>,
    /// Steps that are left to do in it.
    pub steps_left: u64,
    /// How many things differ from what was applied.
    pub drifted: u64,
    /// The peak that is on now, or else the next one.
    pub peak: Option<PeakView>,
    /// The newest operation that touched it.
    pub last_operation: Option<OperationView>,
}

/// A role and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleState {
    /// The role, such as `web`.
    pub role: String,
    /// Its state.
    pub state: State,
}

/// What users notice of an environment, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Everything is ready and users are routed to it.
    Up,
    /// Nothing failed; something is not ready yet.
    Starting,
    /// Users are served; something else is not as it should be.
    Degraded,
    /// Users are not served.
    Down,
    /// A part gave up; a person must look.
    Broken,
    /// Stopped on purpose.
    Stopped,
    /// The supervisor is away.
    Unwatched,
    /// Everything is ready; whether users are routed to it cannot be seen.
    Unknown,
    /// Its destruction was begun and is not finished.
    Destroying,
    /// Declared; the plan makes it.
    Planned,
}

impl Health {
    /// The word itself.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Up => "up",
            Health::Starting => "starting",
            Health::Degraded => "degraded",
            Health::Down => "down",
            Health::Broken => "broken",
            Health::Stopped => "stopped",
            Health::Unwatched => "unwatched",
            Health::Unknown => "unknown",
            Health::Destroying => "destroying",
            Health::Planned => "planned",
        }
    }
}

/// State of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It does not exist.
    Absent,
    /// Started; its probe has not said ready yet.
    Starting,
    /// Its probe says ready.
    Ready,
    /// It was ready and its probe fails now.
    Unready,
    /// It ended and waits for its next start.
    Backoff,
    /// It ended too often; a person must look.
    GaveUp,
    /// Stopped on purpose.
    Stopped,
    /// Nobody watches it: the supervisor is away. The process may run.
    Unwatched,
}

impl State {
    /// The word itself.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Absent => "absent",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Unready => "unready",
            State::Backoff => "backoff",
            State::GaveUp => "gave-up",
            State::Stopped => "stopped",
            State::Unwatched => "unwatched",
        }
    }
}

/// How many database connections are spoken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetBar {
    /// Connections that all roles may hold at once.
    pub demand: u32,
    /// Connections held back.
    pub reserve: u32,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u32,
}

/// A dated surge, as far as one environment is concerned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeakView {
    /// Its name.
    pub name: String,
    /// Whether it is on now.
    pub active: bool,
    /// First second, seconds since 1970.
    pub from: i64,
    /// End, seconds since 1970; no longer part of it.
    pub to: i64,
    /// Factor on the number of users.
    pub multiplier: f64,
    /// Whether changes are frozen while it is on.
    pub freeze: bool,
}

/// The machine that workloads run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    /// Logical processors.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Free bytes on the file system that holds the state.
    pub free_disk_bytes: u64,
}

/// Something accepted and worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteView {
    /// Its code, such as `W0401`.
    pub code: String,
    /// What is noted, one line.
    pub text: String,
}

/// The stop switch is on: nothing is begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when, seconds since 1970.
    pub since: i64,
}

/// Whether the estate is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldStatus {
    /// Set while nothing may be begun.
    pub held: Option<HeldView>,
}

/// Asks to hold the estate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// Why, for those who find it held.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// How the server itself is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerHealth {
    /// Version of the program.
    pub version: String,
    /// Whether it has seen the estate since it started.
    pub ready: bool,
    /// When it last looked, seconds since 1970.
    pub looked: Option<i64>,
}

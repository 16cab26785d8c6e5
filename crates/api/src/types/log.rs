//! Lines of a workload's log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lines of a workload's log, secrets masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogView {
    /// The workload, such as `prod/web`.
    pub workload: String,
    /// The lines, oldest first.
    pub lines: Vec<String>,
    /// Ask with this `after` for the lines that come next.
    pub next: String,
}

//! What an answer holds when something failed: RFC 9457, with the four things people are told
//! everywhere: what failed, its code, what is unchanged, and what to do next.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem, such as `urn:springtide:E0801`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What failed this time, in words.
    pub detail: String,
    /// Code for `springtide explain`, such as `E0801`.
    pub code: String,
    /// What is unchanged.
    pub unchanged: String,
    /// What to do next.
    pub next: String,
    /// Number of the request, as in the header `x-request-id` and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

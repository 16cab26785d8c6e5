//! Springtide's nouns and decisions, all pure: no clock, no network, no file, no environment.
//!
//! `spec` (what people write) → `check` (what may travel) → `plan` (what to do, given an
//! [`observe::Observation`] and a `now`) → `lint` (a grade of the plan by another hand).
//! Execution lives elsewhere and has no choice left.

pub mod digest;
pub mod layout;
pub mod names;
pub mod role;
pub mod series;
pub mod units;
pub mod workload;
pub mod observe;
pub mod check;
pub mod merge;
pub mod spec;
pub mod roles;
pub mod sizing;
pub mod plan;
pub mod lint;

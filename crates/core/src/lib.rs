//! Springtide's nouns and decisions, all pure: no clock, no network, no file, no environment.
//!
//! `spec` (what people write) → `check` (what may travel) → `plan` (what to do, given an
//! [`observe::Observation`] and a `now`) → `lint` (a grade of the plan by another hand).
//! Execution lives elsewhere and has no choice left.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod backup;
pub mod check;
pub mod digest;
pub mod layout;
pub mod lint;
pub mod merge;
pub mod names;
pub mod observe;
pub mod place;
pub mod plan;
pub mod proof;
pub mod role;
pub mod roles;
pub mod series;
pub mod sizing;
pub mod spec;
pub mod units;
pub mod workload;

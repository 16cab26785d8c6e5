//! Measures the plant: what requests of each class ask of the processors, and how throughput grows.
//!
//! [`recipe`] does it against one environment: one client per class, and a sweep of clients. [`cpu`] reads
//! processor time of Odoo's and PostgreSQL's processes from `/proc`. The fits are pure and stand in
//! `springtide-capacity` (`plant`). [`file`](mod@file) is what comes of it, with [`machine`]'s fingerprint,
//! and [`grid`] compares the model with measurements that were not used for fitting.
//!
//! Rule: a parameter belongs to the machine, the versions and the data it was measured on; they stand
//! beside it, and a file of another machine says so when it is read.

pub mod cpu;
pub mod file;
pub mod grid;
pub mod machine;
pub mod recipe;

/// A calibration could not be made, or its file not be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// Measuring did not work.
    #[error("cannot calibrate: {0}; no parameter file was written")]
    Measure(String),
    /// The parameter file cannot be written or used.
    #[error("the parameter file {path} cannot be used: {why}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        why: String,
    },
}

impl CalibrateError {
    /// The code for `springtide explain`.
    pub const fn code(&self) -> &'static str {
        "E0974"
    }
}

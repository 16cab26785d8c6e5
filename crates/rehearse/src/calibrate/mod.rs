//! Measures the plant: what acts of each class ask of the processors, how throughput grows, how often Odoo has to
//! repeat; and how near a model comes to what it was not fitted to.
//!
//! - [`recipe`]: the steps, one after the other, on one environment; `demands` is the first. [`acts`] lets people act in a closed loop,
//!   [`places`] in the open one. [`cpu`] reads processor time from `/proc`, [`crew`] counts and changes web
//!   workers, [`inside`] is what else must be known of the environment.
//! - [`results`]: everything that was measured; grows from step to step, so whoever stops in the middle keeps it.
//! - [`grid`]: the model beside the measurements, and the verdict; pure. [`told`]: all of it as a page; pure.
//! - [`file`](mod@file): the parameters for those who plan with them, with [`machine`]'s fingerprint.
//!
//! The fits are pure and stand in `springtide-capacity` (`plant`).
//!
//! Rule: a parameter belongs to the machine, the versions and the data it was measured on; they stand
//! beside it, and a file of another machine says so when it is read. What could not be measured is said and counts
//! against the model, never left out.

pub mod acts;
pub mod cpu;
pub mod crew;
mod demands;
pub mod file;
pub mod grid;
pub mod inside;
pub mod machine;
pub mod places;
pub mod recipe;
pub mod results;
pub mod told;

/// A calibration could not be made, or its file not be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// Measuring did not work.
    #[error("cannot calibrate: {0}")]
    Measure(String),
    /// A file cannot be written or used.
    #[error("the file {path} cannot be used: {why}")]
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

//! When everybody comes: arrival times from a profile, a seed and a length. Pure.
//!
//! Rule: same profile, same seed, same length: same arrivals, to the microsecond.

use std::time::Duration;

use crate::class::Class;

/// One arrival, before the run has a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Since the beginning of the run.
    pub at: Duration,
    /// Who comes.
    pub class: Class,
    /// Which one of its class, from 0.
    pub number: u64,
    /// For what the act chooses (product, customer, quantity); its own for every arrival.
    pub seed: u64,
}

/// All arrivals of a run, in order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The profile's name.
    pub profile: String,
    /// What it was made from.
    pub seed: u64,
    /// How long people come. The last answers may take longer.
    pub length: Duration,
    /// Sorted by `at`, then class, then number.
    pub arrivals: Vec<Planned>,
}

//! What a run measured.

use std::collections::BTreeMap;

use crate::class::Class;

/// Everything that a run measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// By class; classes that nobody came of are not in it.
    pub classes: BTreeMap<Class, ClassMeasured>,
}

/// What a run measured of one class.
#[derive(Debug, Clone, Default)]
pub struct ClassMeasured {
    /// Arrivals that were due.
    pub offered: u64,
    /// Acknowledged.
    pub done: u64,
    /// Refused.
    pub refused: u64,
    /// Failed, with those that came when too many were under way.
    pub failed: u64,
    /// Sent, without an answer.
    pub unknown: u64,
    /// Tries beyond the first, of acts that were done.
    pub retries: u64,
}

//! What a run measured, and what is made of it: [`Measured`] is filled by the generator, a [`Report`]
//! judges it against what the profile promises.
//!
//! Rule: who got no answer counts. Percentiles are of all who came, and an act without an end is longer
//! than any; so a system cannot look fast by failing.

use std::collections::BTreeMap;
use std::time::Duration;

mod knee;
mod record;
mod report;
mod text;
mod times;

pub use knee::knee;
pub use record::Recorder;
pub use report::{ClassReport, Judgement, Report, Window};
pub use times::Times;

use crate::class::Class;
use crate::generator::Stop;

/// Everything that a run measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// The profile's name.
    pub profile: String,
    /// The schedule's seed.
    pub seed: u64,
    /// How long people were to come.
    pub length: Duration,
    /// When it began, in microseconds since 1970.
    pub began: i64,
    /// From the beginning to the last answer, or until no more were waited for.
    pub took: Duration,
    /// Arrivals of the schedule.
    pub planned: u64,
    /// Why it ended early, if it did.
    pub stopped: Option<Stop>,
    /// By class; classes that nobody came of are not in it.
    pub classes: BTreeMap<Class, ClassMeasured>,
    /// How much later than due the acts were started: the generator's own fault, part of every latency.
    pub schedule_error: Times,
    /// Width of the windows in [`ClassMeasured::windows`].
    pub window: Duration,
    /// CPU time of the generator's threads, with what the traffic computes in them.
    pub cpu: Duration,
    /// What people should know, such as a core that could not be taken.
    pub notes: Vec<String>,
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
    /// From due to the end, of acts that were done.
    pub latency: Times,
    /// From due to the end, of all others.
    pub errors_latency: Times,
    /// Why acts were not done, and how many.
    pub reasons: BTreeMap<String, u64>,
    /// Through the run, by the time at which acts were due.
    pub windows: Vec<WindowMeasured>,
}

/// A part of a run, of one class.
#[derive(Debug, Clone, Default)]
pub struct WindowMeasured {
    /// Arrivals that were due in it.
    pub offered: u64,
    /// Of those, not done.
    pub errors: u64,
    /// From due to the end, of those that were done.
    pub latency: Times,
}

impl ClassMeasured {
    /// Refused, failed and unknown.
    pub fn errors(&self) -> u64 {
        self.refused + self.failed + self.unknown
    }
}

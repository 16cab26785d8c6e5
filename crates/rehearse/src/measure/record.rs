//! Takes down what becomes of arrivals while a run goes on.

use std::time::Duration;

use super::{ClassMeasured, Measured, WindowMeasured};
use crate::class::Class;
use crate::generator::Outcome;
use crate::schedule::Schedule;

/// Most windows of a run: longer runs have longer ones, so that the record stays small.
const MOST_WINDOWS: u32 = 360;
const SHORTEST_WINDOW: Duration = Duration::from_secs(10);
/// Most different reasons that are kept of a class.
const MOST_REASONS: usize = 50;

/// The record of a run that goes on.
#[derive(Debug)]
pub struct Recorder {
    measured: Measured,
}

impl Recorder {
    /// The record of a run that begins, at so many microseconds since 1970.
    pub fn new(plan: &Schedule, began: i64) -> Recorder {
        let measured = Measured {
            profile: plan.profile.clone(),
            seed: plan.seed,
            length: plan.length,
            began,
            planned: plan.arrivals.len() as u64,
            window: SHORTEST_WINDOW.max(plan.length / MOST_WINDOWS),
            ..Measured::default()
        };
        Recorder { measured }
    }

    /// An arrival was due, so long after the beginning.
    pub fn offered(&mut self, class: Class, at: Duration) {
        let (class, window) = self.class(class, at);
        class.offered += 1;
        class.windows[window].offered += 1;
    }

    /// Its act was started so much later than it was due.
    pub fn started(&mut self, late: Duration) {
        self.measured.schedule_error.record(late);
    }

    /// Its act came to an end, so long after it was due.
    pub fn ended(&mut self, class: Class, at: Duration, took: Duration, outcome: Outcome) {
        let (class, window) = self.class(class, at);
        let reason = match outcome {
            Outcome::Done { retries } => {
                class.done += 1;
                class.retries += u64::from(retries);
                class.latency.record(took);
                class.windows[window].latency.record(took);
                return;
            }
            Outcome::Refused { status, reason } => {
                class.refused += 1;
                told("refused", status, &reason)
            }
            Outcome::Failed { status, reason } => {
                class.failed += 1;
                told("failed", status, &reason)
            }
            Outcome::Unknown { reason } => {
                class.unknown += 1;
                told("unknown", None, &reason)
            }
        };
        class.errors_latency.record(took);
        class.windows[window].errors += 1;
        let known = class.reasons.len() < MOST_REASONS || class.reasons.contains_key(&reason);
        *class.reasons.entry(if known { reason } else { "other reasons".into() }).or_default() += 1;
    }

    /// Something that people should know.
    pub fn note(&mut self, note: String) {
        self.measured.notes.push(note);
    }

    /// The run is over.
    pub fn finish(mut self, took: Duration, cpu: Duration) -> Measured {
        self.measured.took = took;
        self.measured.cpu = cpu;
        self.measured
    }

    fn class(&mut self, class: Class, at: Duration) -> (&mut ClassMeasured, usize) {
        let window = (at.as_nanos() / self.measured.window.as_nanos()) as usize;
        let class = self.measured.classes.entry(class).or_default();
        if class.windows.len() <= window {
            class.windows.resize_with(window + 1, WindowMeasured::default);
        }
        (class, window)
    }
}

fn told(what: &str, status: Option<u16>, reason: &str) -> String {
    // Reasons come from answers of the system under test: cut, and without control characters.
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(120).collect();
    match status {
        Some(status) => format!("{what} ({status}): {reason}"),
        None => format!("{what}: {reason}"),
    }
}

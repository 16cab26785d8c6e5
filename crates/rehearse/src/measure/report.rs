//! The report: what was measured beside what was promised, and the verdict.
//!
//! The names of its fields are the names in JSON and stay as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{ClassMeasured, Measured, Times, knee};
use crate::class::Class;
use crate::generator::Stop;
use crate::ledger::Findings;
use crate::profile::{Profile, Slo};

/// Fewer arrivals than this in a window say nothing about its 95th percentile.
const LEAST_IN_WINDOW: u64 = 5;

/// A run, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The profile's name.
    pub profile: String,
    /// The schedule's seed: the same one makes the same arrivals.
    pub seed: u64,
    /// When the run began, in microseconds since 1970.
    pub began_us: i64,
    /// How long people were to come.
    pub length_s: f64,
    /// Until the last answer.
    pub took_s: f64,
    /// Arrivals of the schedule.
    pub planned: u64,
    /// Arrivals that were due before the run ended.
    pub offered: u64,
    /// Acknowledged.
    pub done: u64,
    /// Refused, failed and unknown.
    pub errors: u64,
    /// Tries beyond the first.
    pub retries: u64,
    /// By class, in the order of [`Class::ALL`].
    pub classes: Vec<ClassReport>,
    /// All classes together, through the run.
    pub windows: Vec<Window>,
    /// The rate per minute from which on promises are broken, if the run shows one; see [`knee()`].
    pub knee_per_minute: Option<f64>,
    /// 99th percentile of how much later than due the generator started acts.
    pub schedule_error_p99_ms: Option<f64>,
    /// CPU seconds of the generator.
    pub generator_cpu_s: f64,
    /// Why it ended early.
    pub stopped: Option<Stop>,
    /// What the ledger says, if it was compared.
    pub ledger: Option<Findings>,
    /// What people should know.
    pub notes: Vec<String>,
    /// Whether every promise was kept, the ledger is clean and the run came to its end.
    pub pass: bool,
    /// Why not.
    pub failures: Vec<String>,
}

/// One class of a report. Times are milliseconds from due to the end; percentiles are of all who came, and
/// None says that so many did not come to an end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Which class.
    pub class: Class,
    /// Arrivals that were due.
    pub offered: u64,
    /// Acknowledged.
    pub done: u64,
    /// Refused.
    pub refused: u64,
    /// Failed.
    pub failed: u64,
    /// Sent, without an answer.
    pub unknown: u64,
    /// Tries beyond the first.
    pub retries: u64,
    /// Half of them were done within.
    pub p50_ms: Option<f64>,
    /// 95 of 100 were done within.
    pub p95_ms: Option<f64>,
    /// 99 of 100 were done within.
    pub p99_ms: Option<f64>,
    /// The longest that was done.
    pub max_ms: Option<f64>,
    /// What was promised.
    pub slo: Slo,
    /// Whether it was kept.
    pub verdict: Judgement,
    /// Why acts were not done.
    pub reasons: BTreeMap<String, u64>,
}

/// Whether a class's promises were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// All of them.
    Kept,
    /// At least one was not.
    Broken,
    /// There is none, or nobody came.
    None,
}

/// A part of the run, all classes together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Window {
    /// Since the beginning.
    pub from_s: f64,
    /// Arrivals that were due in it.
    pub offered: u64,
    /// Of those, not done.
    pub errors: u64,
    /// 95 of 100 were done within; None if so many were not.
    pub p95_ms: Option<f64>,
    /// Whether every class kept its promises in it.
    pub kept: bool,
}

impl Report {
    /// Judges a run by what its profile promises and, if it was compared, by its ledger.
    pub fn of(measured: &Measured, profile: &Profile, ledger: Option<Findings>) -> Report {
        let mut failures = Vec::new();
        let classes = measured.classes.iter().map(|(class, found)| {
            let slo = profile.classes.get(class).map(|class| class.slo).unwrap_or_default();
            let broken = broken(&slo, &found.latency, found.offered, found.errors());
            failures.extend(broken.iter().map(|reason| format!("{class}: {reason}")));
            class_report(*class, found, slo, &broken)
        });
        let classes: Vec<ClassReport> = classes.collect();
        let sum = |of: fn(&ClassReport) -> u64| classes.iter().map(of).sum::<u64>();
        let offered = sum(|class| class.offered);
        if offered == 0 {
            failures.push("nobody came, so nothing is proved".into());
        }
        match &measured.stopped {
            Some(Stop::Asked) => failures.push("it was stopped before its end".into()),
            Some(Stop::Broken(what)) => failures.push(format!("it was stopped: {what}")),
            None => {}
        }
        if let Some(findings) = ledger.as_ref().filter(|findings| !findings.clean()) {
            failures.push(format!("ledger: {}", findings.summary()));
        }
        let windows = windows(measured, profile);
        // The last window may be short; its rate would be too low.
        let minutes = measured.window.as_secs_f64() / 60.0;
        let whole = measured.length.as_nanos() / measured.window.as_nanos().max(1);
        let rates = windows.iter().take(whole as usize).map(|window| (window.offered as f64 / minutes, window.kept));
        let knee = knee(&rates.collect::<Vec<_>>());
        Report {
            profile: measured.profile.clone(),
            seed: measured.seed,
            began_us: measured.began,
            length_s: measured.length.as_secs_f64(),
            took_s: measured.took.as_secs_f64(),
            planned: measured.planned,
            offered,
            done: sum(|class| class.done),
            errors: sum(|class| class.refused + class.failed + class.unknown),
            retries: sum(|class| class.retries),
            classes,
            windows,
            knee_per_minute: knee,
            schedule_error_p99_ms: measured.schedule_error.quantile(0.99).map(millis),
            generator_cpu_s: measured.cpu.as_secs_f64(),
            stopped: measured.stopped.clone(),
            ledger,
            notes: measured.notes.clone(),
            pass: failures.is_empty(),
            failures,
        }
    }

    /// One more reason why it did not pass, which is not in the figures.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failures.push(why.into());
        self.pass = false;
    }

    /// What was measured of a class.
    pub fn class(&self, class: Class) -> Option<&ClassReport> {
        self.classes.iter().find(|report| report.class == class)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// The promises that were not kept, in words.
fn broken(slo: &Slo, latency: &Times, offered: u64, errors: u64) -> Vec<String> {
    let mut broken = Vec::new();
    if offered == 0 {
        return broken;
    }
    if let Some(most) = slo.p95_ms {
        match latency.quantile_of(0.95, offered).map(millis) {
            Some(found) if found <= most => {}
            Some(found) => broken.push(format!("P95 is {found:.0} ms, promised are {most:.0} ms")),
            None => broken.push(format!("more than 5 % were not done, so P95 has no value; promised are {most:.0} ms")),
        }
    }
    let share = errors as f64 * 100.0 / offered as f64;
    if let Some(most) = slo.errors_percent.filter(|most| share > *most) {
        broken.push(format!("{share:.1} % were not done, allowed are {most:.1} %"));
    }
    broken
}

fn class_report(class: Class, found: &ClassMeasured, slo: Slo, broken: &[String]) -> ClassReport {
    let at = |share| found.latency.quantile_of(share, found.offered).map(millis);
    let judged = found.offered > 0 && (slo.p95_ms.is_some() || slo.errors_percent.is_some());
    ClassReport {
        class,
        offered: found.offered,
        done: found.done,
        refused: found.refused,
        failed: found.failed,
        unknown: found.unknown,
        retries: found.retries,
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: found.latency.longest().map(millis),
        slo,
        verdict: match (judged, broken.is_empty()) {
            (false, _) => Judgement::None,
            (true, true) => Judgement::Kept,
            (true, false) => Judgement::Broken,
        },
        reasons: found.reasons.clone(),
    }
}

fn windows(measured: &Measured, profile: &Profile) -> Vec<Window> {
    let count = measured.classes.values().map(|class| class.windows.len()).max().unwrap_or(0);
    let window = |index: usize| {
        let (mut offered, mut errors, mut latency, mut kept) = (0, 0, Times::default(), true);
        for (class, found) in &measured.classes {
            let Some(window) = found.windows.get(index) else { continue };
            offered += window.offered;
            errors += window.errors;
            latency.add(&window.latency);
            let slo = profile.classes.get(class).map(|class| class.slo).unwrap_or_default();
            if window.offered >= LEAST_IN_WINDOW {
                kept &= broken(&slo, &window.latency, window.offered, window.errors).is_empty();
            }
        }
        let from_s = measured.window.as_secs_f64() * index as f64;
        Window { from_s, offered, errors, p95_ms: latency.quantile_of(0.95, offered).map(millis), kept }
    };
    (0..count).map(window).collect()
}

//! The model beside measurements that were not used for fitting, and whether it is good enough. Pure.
//!
//! Rule: a place counts once it was to be measured. Where the measurement has no percentile because too much
//! failed, or the model has none because it sees no steady state, no error can be computed; such a place is named,
//! and with one of them no goal is met.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use springtide_capacity::plant::error::{Pair, mape};
use springtide_capacity::plant::predict::Load;

use super::CalibrateError;
use super::file::PlantFile;
use super::results::Knee;
use crate::class::Class;

/// Most that throughput may be off on average, in percent.
pub const THROUGHPUT_GOAL: f64 = 10.0;
/// Most that P95 may be off on average, in percent.
pub const P95_GOAL: f64 = 20.0;
/// Most workers that the knee may be off.
pub const KNEE_GOAL: u32 = 1;

/// What was measured of one class at a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Arrivals.
    pub offered: u64,
    /// Of those, not done.
    pub errors: u64,
    /// Why not, and how many.
    pub reasons: BTreeMap<String, u64>,
    /// Times that clients tried again.
    pub client_retries: u64,
    /// Mean repeats by Odoo per act; none if its log does not show the acts.
    pub odoo_retries: Option<f64>,
    /// Median of all who came, in seconds; none if half of them failed.
    pub p50: Option<f64>,
    /// 95th percentile of all who came, in seconds; none if more than a twentieth of them failed.
    pub p95: Option<f64>,
}

/// A place of the grid and what was measured there, by the open loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spot {
    /// The mix's name.
    pub mix: String,
    /// Its rate, as a share of what the model says can be carried.
    pub share: f64,
    /// Web workers.
    pub workers: u32,
    /// How long people came, in seconds.
    pub seconds: f64,
    /// Acts done per second, of all classes.
    pub throughput: f64,
    /// Each class that came.
    pub classes: BTreeMap<Class, Seen>,
}

impl Spot {
    /// Arrivals per second that a class really had; what chance gave, not what was wanted.
    pub fn rate(&self, seen: &Seen) -> f64 {
        seen.offered as f64 / self.seconds
    }

    fn name(&self) -> String {
        format!("{} at {:.0} %", self.mix, 100.0 * self.share)
    }
}

/// One class at a place, in both words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Predicted median in seconds; none where the model has no steady state.
    pub p50: Option<f64>,
    /// Predicted P95, as the median.
    pub p95: Option<f64>,
    /// By how much the P95 is off, in percent of the measured one, with its sign.
    pub off: Option<f64>,
}

/// A place with both words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The measurement.
    pub spot: Spot,
    /// Predicted acts per second.
    pub throughput: f64,
    /// By how much that is off, in percent with its sign; none if nothing was done.
    pub off: Option<f64>,
    /// Each class.
    pub times: BTreeMap<Class, Times>,
}

/// How near the model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Each place.
    pub rows: Vec<Row>,
    /// Mean error of throughput in percent, over the places where anything was done.
    pub throughput_mape: Option<f64>,
    /// Mean error of P95 in percent, over the pairs that have both words.
    pub p95_mape: Option<f64>,
    /// Pairs of place and class that have both.
    pub compared: u32,
    /// Pairs that were to be compared and could not, and why.
    pub failed: Vec<String>,
    /// The knee; none if workers were not swept.
    pub knee: Option<Knee>,
}

/// What of the goal is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Throughput within [`THROUGHPUT_GOAL`].
    pub throughput: bool,
    /// P95 within [`P95_GOAL`].
    pub p95: bool,
    /// The knee within [`KNEE_GOAL`].
    pub knee: bool,
    /// All of them, and every place could be compared.
    pub met: bool,
}

impl Comparison {
    /// What of the goal is met. What was not measured is not met.
    pub fn verdict(&self) -> Verdict {
        let within = |error: Option<f64>, goal: f64| error.is_some_and(|error| error <= goal);
        let throughput = within(self.throughput_mape, THROUGHPUT_GOAL);
        let p95 = within(self.p95_mape, P95_GOAL);
        let knee = self.knee.is_some_and(|knee| knee.predicted.abs_diff(knee.measured) <= KNEE_GOAL);
        Verdict { throughput, p95, knee, met: throughput && p95 && knee && self.failed.is_empty() }
    }
}

/// Predicts every place and compares.
///
/// # Errors
/// A class that was not calibrated, or a place without arrivals.
pub fn compare(file: &PlantFile, spots: &[Spot], knee: Option<Knee>) -> Result<Comparison, CalibrateError> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    let (mut rates, mut pairs) = (Vec::new(), Vec::new());
    for spot in spots {
        let row = row(file, spot)?;
        match row.off {
            Some(_) => rates.push(Pair { predicted: row.throughput, measured: spot.throughput }),
            None => failed.push(format!("{}: nothing was done", spot.name())),
        }
        for (class, times) in &row.times {
            let seen = &spot.classes[class];
            match (times.p95, seen.p95) {
                (Some(predicted), Some(measured)) => pairs.push(Pair { predicted, measured }),
                (_, None) => failed.push(format!(
                    "{}, {class}: no P95 was measured, {} of {} acts failed",
                    spot.name(),
                    seen.errors,
                    seen.offered
                )),
                (None, _) => failed.push(format!("{}, {class}: the model sees no steady state", spot.name())),
            }
        }
        rows.push(row);
    }
    let compared = pairs.len() as u32;
    Ok(Comparison { rows, throughput_mape: mape(&rates), p95_mape: mape(&pairs), compared, failed, knee })
}

fn row(file: &PlantFile, spot: &Spot) -> Result<Row, CalibrateError> {
    let mut mix = Vec::new();
    for (class, seen) in &spot.classes {
        let fit = file
            .classes
            .get(class)
            .ok_or_else(|| CalibrateError::Measure(format!("{class} is in the grid and not in the parameter file")))?;
        mix.push(Load { demand: fit.demand, rate: spot.rate(seen) });
    }
    let found = file
        .plant()
        .predict(spot.workers, &mix)
        .ok_or_else(|| CalibrateError::Measure(format!("nobody came to {}", spot.name())))?;
    let off = |predicted: f64, measured: f64| (measured > 0.0).then(|| 100.0 * (predicted / measured - 1.0));
    let at = |times: &Option<Vec<f64>>, place: usize| times.as_ref().and_then(|times| times.get(place).copied());
    let times = spot.classes.iter().enumerate().map(|(place, (class, seen))| {
        let p95 = at(&found.p95, place);
        let times = Times { p50: at(&found.p50, place), p95, off: p95.zip(seen.p95).and_then(|(a, b)| off(a, b)) };
        (*class, times)
    });
    Ok(Row {
        times: times.collect(),
        throughput: found.throughput,
        off: off(found.throughput, spot.throughput),
        spot: spot.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::file::tests::example;

    fn spot(file: &PlantFile, share: f64, factor: f64) -> Spot {
        let rate = 1.0 * share;
        let load = Load { demand: file.classes[&Class::Order].demand, rate };
        let p95 = file.plant().predict(4, &[load]).unwrap().p95.unwrap()[0];
        let seen = Seen {
            offered: (rate * 600.0) as u64,
            errors: 0,
            reasons: BTreeMap::new(),
            client_retries: 0,
            odoo_retries: Some(0.0),
            p50: Some(0.1),
            p95: Some(p95 * factor),
        };
        let classes = BTreeMap::from([(Class::Order, seen)]);
        Spot { mix: "orders".into(), share, workers: 4, seconds: 600.0, throughput: rate, classes }
    }

    #[test]
    fn the_models_own_word_has_no_error_and_a_slower_plant_has() {
        let file = example();
        let knee = Some(Knee { predicted: 3, measured: 2 });
        let same = compare(&file, &[spot(&file, 0.5, 1.0), spot(&file, 0.3, 1.0)], knee).unwrap();
        assert!(same.throughput_mape.unwrap() < 1e-6 && same.p95_mape.unwrap() < 1e-6 && same.failed.is_empty());
        assert!(same.verdict().met && same.compared == 2);
        let slower = compare(&file, &[spot(&file, 0.5, 1.0), spot(&file, 0.3, 2.0)], knee).unwrap();
        assert!((slower.p95_mape.unwrap() - 25.0).abs() < 1e-6);
        assert!((slower.rows[1].times[&Class::Order].off.unwrap() + 50.0).abs() < 1e-6, "its sign");
        let verdict = slower.verdict();
        assert!(verdict.throughput && !verdict.p95 && !verdict.met);
        assert!(!compare(&file, &[spot(&file, 0.5, 1.0)], None).unwrap().verdict().met, "a knee nobody measured");
        let off = Some(Knee { predicted: 4, measured: 2 });
        assert!(!compare(&file, &[spot(&file, 0.5, 1.0)], off).unwrap().verdict().met);
    }

    #[test]
    fn places_without_a_percentile_are_named_and_spoil_the_verdict() {
        let file = example();
        let knee = Some(Knee { predicted: 2, measured: 2 });
        let mut broken = spot(&file, 0.3, 1.0);
        let seen = broken.classes.get_mut(&Class::Order).unwrap();
        (seen.errors, seen.p95) = (30, None);
        let found = compare(&file, &[spot(&file, 0.5, 1.0), broken.clone()], knee).unwrap();
        assert_eq!(found.failed, ["orders at 30 %, order: no P95 was measured, 30 of 180 acts failed"]);
        assert!(found.p95_mape.unwrap() < 1e-6 && found.verdict().p95 && !found.verdict().met);
        broken.throughput = 0.0;
        let found = compare(&file, &[broken], knee).unwrap();
        assert_eq!((found.failed.len(), found.throughput_mape, found.p95_mape), (2, None, None));
        let mut flooded = spot(&file, 0.5, 1.0);
        flooded.classes.get_mut(&Class::Order).unwrap().offered = 600_000;
        let found = compare(&file, &[flooded], knee).unwrap();
        assert!(found.failed[0].contains("no steady state") && !found.verdict().met, "{:?}", found.failed);
        assert!(compare(&file, &[], knee).unwrap().p95_mape.is_none());
        let mut unknown = spot(&file, 0.5, 1.0);
        let seen = unknown.classes.remove(&Class::Order).unwrap();
        unknown.classes.insert(Class::Edi, seen);
        assert!(compare(&file, &[unknown], knee).is_err());
    }
}

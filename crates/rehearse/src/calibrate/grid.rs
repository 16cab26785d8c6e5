//! The model against measurements that were not used for fitting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use springtide_capacity::plant::error::{Pair, mape};
use springtide_capacity::plant::predict::Load;

use super::CalibrateError;
use super::file::PlantFile;
use crate::class::Class;

/// A place of the grid and what was measured there, by the open loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spot {
    /// Web workers.
    pub workers: u32,
    /// Arrivals per second of each class.
    pub rates: BTreeMap<Class, f64>,
    /// Acts done per second, of all classes.
    pub throughput: f64,
    /// Measured P95 of each class, in seconds.
    pub p95: BTreeMap<Class, f64>,
}

/// A place with both words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The measurement.
    pub spot: Spot,
    /// Predicted acts per second.
    pub throughput: f64,
    /// Predicted P95 of each class in seconds; none where the model has no steady state.
    pub p95: Option<BTreeMap<Class, f64>>,
}

/// How near the model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Each place.
    pub rows: Vec<Row>,
    /// Mean error of throughput, in percent.
    pub throughput_mape: f64,
    /// Mean error of P95 in percent, over classes and places with a steady state; none without any.
    pub p95_mape: Option<f64>,
    /// Places without a predicted steady state: their P95 is in no mean.
    pub unsteady: usize,
}

/// Predicts every place and compares.
///
/// # Errors
/// No places, a class that was not calibrated, or a measurement that is not above 0.
pub fn compare(file: &PlantFile, spots: &[Spot]) -> Result<Comparison, CalibrateError> {
    let plant = file.plant();
    let mut rows = Vec::new();
    let (mut rates, mut times) = (Vec::new(), Vec::new());
    for spot in spots {
        let mut mix = Vec::new();
        for (class, rate) in &spot.rates {
            let fit = file.classes.get(class).ok_or_else(|| {
                CalibrateError::Measure(format!("{class} is in the grid and not in the parameter file"))
            })?;
            mix.push(Load { demand: fit.demand, rate: *rate });
        }
        let found = plant
            .predict(spot.workers, &mix)
            .ok_or_else(|| CalibrateError::Measure("a place of the grid has no arrivals".into()))?;
        rates.push(Pair { predicted: found.throughput, measured: spot.throughput });
        let p95: Option<BTreeMap<Class, f64>> = found.p95.map(|times| spot.rates.keys().copied().zip(times).collect());
        for (class, predicted) in p95.iter().flatten() {
            if let Some(measured) = spot.p95.get(class) {
                times.push(Pair { predicted: *predicted, measured: *measured });
            }
        }
        rows.push(Row { spot: spot.clone(), throughput: found.throughput, p95 });
    }
    let throughput_mape = mape(&rates)
        .ok_or_else(|| CalibrateError::Measure("the grid is empty, or a throughput is not above 0".into()))?;
    let unsteady = rows.iter().filter(|row| row.p95.is_none()).count();
    Ok(Comparison { rows, throughput_mape, p95_mape: mape(&times), unsteady })
}

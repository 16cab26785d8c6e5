//! Places of the grid: which rates are measured for comparison, and measuring one in the open loop.
//!
//! Rule: rates are shares of what the fitted plant carries of the mix, so that they mean the same on every machine:
//! easy, half full, and full enough that people wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use springtide_capacity::plant::predict::Load;

use super::CalibrateError;
use super::acts::Block;
use super::file::PlantFile;
use super::grid::{Seen, Spot};
use crate::class::Class;
use crate::generator::{self, Settings, Traffic, Watch};
use crate::profile::Profile;
use crate::schedule::Schedule;
use crate::traffic::cost::by_class_of;

/// Classes that come together.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Its name in reports.
    pub name: String,
    /// How many of each come in proportion.
    pub parts: BTreeMap<Class, f64>,
}

/// A place that is to be measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The mix's name.
    pub mix: String,
    /// Share of what the plant carries of it.
    pub share: f64,
    /// Arrivals per second of each class.
    pub rates: BTreeMap<Class, f64>,
}

/// Two mixes: machines and pickers; people in the web client. Neither has jobs, which hold no web worker, nor
/// reports, some of which are made by a program beside Odoo.
pub fn mixes() -> Vec<Mix> {
    let mix = |name: &str, parts: &[(Class, f64)]| Mix { name: name.into(), parts: parts.iter().copied().collect() };
    vec![
        mix("warehouse", &[(Class::OrderApi, 1.0), (Class::Scan, 2.0)]),
        mix("office", &[(Class::Order, 1.0), (Class::Scan, 1.0), (Class::Browse, 3.0)]),
    ]
}

/// Every mix at every share of what `file` says can be carried by `workers`.
///
/// # Errors
/// A class of a mix that was not calibrated.
pub fn places(file: &PlantFile, workers: u32, mixes: &[Mix], shares: &[f64]) -> Result<Vec<Place>, CalibrateError> {
    let mut places = Vec::new();
    for mix in mixes {
        let load = |(class, part): (&Class, &f64)| {
            let fit = file.classes.get(class);
            let fit =
                fit.ok_or_else(|| CalibrateError::Measure(format!("{class} is in a mix and was not measured")))?;
            Ok(Load { demand: fit.demand, rate: *part })
        };
        let loads = mix.parts.iter().map(load).collect::<Result<Vec<_>, CalibrateError>>()?;
        let found = file.plant().predict(workers, &loads);
        let capacity = found.ok_or_else(|| CalibrateError::Measure(format!("nobody comes in {}", mix.name)))?.capacity;
        let all: f64 = mix.parts.values().sum();
        for share in shares {
            let rates = mix.parts.iter().map(|(class, part)| (*class, share * capacity * part / all)).collect();
            places.push(Place { mix: mix.name.clone(), share: *share, rates });
        }
    }
    Ok(places)
}

/// Measures a place. `log` is read behind it, for Odoo's own repeats.
///
/// # Errors
/// A rate that no schedule can have, or a log that cannot be read. Acts that fail are counted.
pub async fn measure(
    traffic: &Arc<dyn Traffic>,
    place: &Place,
    block: Block,
    workers: u32,
    length: Duration,
    seed: u64,
    log: impl AsyncFnOnce() -> Result<String, CalibrateError>,
) -> Result<Spot, CalibrateError> {
    let failed = |why: String| CalibrateError::Measure(format!("{} cannot be driven: {why}", place.mix));
    let mut text = String::from("name: place\nabout: One place of the grid.\nclasses:\n");
    for (class, rate) in &place.rates {
        text.push_str(&format!("  {class}: {{ per_minute: {:.4} }}\n", (rate * 60.0).max(0.01)));
    }
    let profile = Profile::parse("place", &text).map_err(|why| failed(why.to_string()))?;
    let mut schedule = Schedule::of(&profile, seed, length).map_err(|why| failed(why.to_string()))?;
    for arrival in &mut schedule.arrivals {
        arrival.number = block.number(arrival.number);
    }
    let measured = generator::run(&schedule, Arc::clone(traffic), &Watch::new(Settings::default())).await;
    let costs = by_class_of(log().await?.lines(), |number| block.holds(number));
    let mut classes = BTreeMap::new();
    for (class, found) in &measured.classes {
        let at = |share| found.latency.quantile_of(share, found.offered).map(|time| time.as_secs_f64());
        let seen = Seen {
            offered: found.offered,
            errors: found.offered.saturating_sub(found.done),
            reasons: found.reasons.clone(),
            client_retries: found.retries,
            odoo_retries: costs.get(class).map(|cost| cost.retries),
            p50: at(0.5),
            p95: at(0.95),
        };
        classes.insert(*class, seen);
    }
    let done: u64 = measured.classes.values().map(|found| found.done).sum();
    // Until the last answer: a queue that had grown took that long to be served.
    let throughput = done as f64 / measured.took.as_secs_f64().max(length.as_secs_f64());
    let seconds = length.as_secs_f64();
    Ok(Spot { mix: place.mix.clone(), share: place.share, workers, seconds, throughput, classes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::file::tests::example;

    #[test]
    fn rates_follow_what_the_plant_carries() {
        let file = example();
        let mix = Mix { name: "m".into(), parts: BTreeMap::from([(Class::Order, 1.0), (Class::OrderApi, 3.0)]) };
        let found = places(&file, 4, std::slice::from_ref(&mix), &[0.3, 0.7]).unwrap();
        let rate = |place: &Place| place.rates.values().sum::<f64>();
        assert!((rate(&found[1]) / rate(&found[0]) - 7.0 / 3.0).abs() < 1e-9);
        assert!((found[0].rates[&Class::OrderApi] / found[0].rates[&Class::Order] - 3.0).abs() < 1e-9);
        // What is below all that can be carried has a steady state; what is above has none.
        let loads = |place: &Place, times: f64| -> Vec<Load> {
            place
                .rates
                .iter()
                .map(|(class, rate)| Load { demand: file.classes[class].demand, rate: rate * times })
                .collect()
        };
        assert!(file.plant().predict(4, &loads(&found[1], 1.0)).unwrap().p95.is_some());
        assert!(file.plant().predict(4, &loads(&found[1], 1.0 / 0.69)).unwrap().p95.is_none());
        let unknown = Mix { parts: BTreeMap::from([(Class::Edi, 1.0)]), ..mix };
        assert!(places(&file, 4, &[unknown], &[0.3]).is_err());
    }

    #[test]
    fn the_mixes_differ_and_hold_no_jobs() {
        let mixes = mixes();
        assert!(mixes.len() >= 2 && mixes[0].parts != mixes[1].parts);
        assert!(mixes.iter().all(|mix| !mix.parts.contains_key(&Class::Edi)));
    }
}

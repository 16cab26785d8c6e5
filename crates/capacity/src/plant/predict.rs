//! Throughput, median and P95 of a number of workers, a mix and a rate; and the knee.
//!
//! The workers and what is inside become one server whose speed depends on how many are there
//! ([`super::network`]); arrivals wait in front of it. A request that finds n others waits for those
//! before it and then takes its time among the others; both are put together for every n, weighted by how
//! often an arrival finds so many, and the P95 is read from the sum.
//!
//! Rule: a rate that the plant cannot carry has no steady P95. It is said how fast the queue grows.

use serde::{Deserialize, Serialize};

use super::lognormal::LogNormal;
use super::network::plant_throughput;
use super::usl::Usl;
use super::{Demand, Processors};

/// A plant: what a mix of classes meets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plant {
    /// The processors.
    pub processors: Processors,
    /// How PostgreSQL's part grows with how many are at once; `lambda` is not used here.
    pub law: Usl,
}

/// One class of a mix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// What each asks.
    pub demand: Demand,
    /// Arrivals per second.
    pub rate: f64,
}

/// What is expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Requests that come through, per second, of all classes.
    pub throughput: f64,
    /// Most that this many workers could carry of this mix, per second.
    pub capacity: f64,
    /// Median of each class in seconds, in the order of the mix; none if the queue grows without end.
    pub p50: Option<Vec<f64>>,
    /// P95, as the median.
    pub p95: Option<Vec<f64>>,
    /// By how many seconds the wait grows with every second, if it does.
    pub growth: f64,
}

/// Most requests that are followed as waiting; what lies beyond is rarer than 1e-9 in any steady state
/// that is accepted.
const LONGEST_QUEUE: usize = 20_000;

impl Plant {
    /// What `workers` make of this mix. None for a mix without arrivals, or a demand that makes no sense.
    pub fn predict(&self, workers: u32, mix: &[Load]) -> Option<Prediction> {
        let mean = mean(mix)?;
        let rate: f64 = mix.iter().map(|load| load.rate).sum();
        let workers = workers.max(1);
        let speed = |n: u32| plant_throughput(&mean, &self.law, self.processors, n);
        let speeds: Vec<f64> = (0..=workers).map(speed).collect();
        let capacity = speeds[workers as usize];
        // Close to its end a queue is so long that no run is long enough to see its P95.
        if rate >= capacity * 0.999 {
            let growth = (rate / capacity - 1.0).max(0.0);
            return Some(Prediction { throughput: rate.min(capacity), capacity, p50: None, p95: None, growth });
        }
        // How often so many are there: births at `rate`, deaths at the speed of as many as have a worker.
        let mut shares = vec![1.0];
        let mut sum = 1.0;
        while shares.len() < LONGEST_QUEUE {
            let there = shares.len().min(workers as usize);
            let next = shares[shares.len() - 1] * rate / speeds[there];
            shares.push(next);
            sum += next;
            if next < 1e-10 * sum && shares.len() > workers as usize + 1 {
                break;
            }
        }
        shares.iter_mut().for_each(|share| *share /= sum);
        let times: Vec<_> = mix.iter().map(|load| Times::of(load, &mean, &shares, &speeds)).collect();
        let at = |share: f64| Some(times.iter().map(|times| times.quantile(share)).collect());
        Some(Prediction { throughput: rate, capacity, p50: at(0.5), p95: at(0.95), growth: 0.0 })
    }

    /// The fewest workers that carry 95 % of the most that any number up to `most` carries of this mix.
    pub fn knee(&self, mix: &[Load], most: u32) -> Option<u32> {
        let mean = mean(mix)?;
        let speed = |n: u32| plant_throughput(&mean, &self.law, self.processors, n);
        let best = (1..=most.max(1)).map(speed).fold(0.0, f64::max);
        (1..=most.max(1)).find(|workers| speed(*workers) >= 0.95 * best)
    }
}

/// How long one class takes: a log-normal for each number that an arrival finds, with how often it does.
struct Times {
    parts: Vec<(f64, LogNormal)>,
    /// A beginning for the search of quantiles.
    alone: f64,
}

impl Times {
    fn of(load: &Load, mean: &Demand, shares: &[f64], speeds: &[f64]) -> Times {
        let workers = speeds.len() - 1;
        let part = load.demand.alone() / mean.alone();
        let sigma = load.demand.sigma;
        let parts: Vec<(f64, LogNormal)> = shares
            .iter()
            .enumerate()
            .filter(|(_, share)| **share > 1e-12)
            .map(|(found, share)| {
                let inside = (found + 1).min(workers);
                let service = inside as f64 / speeds[inside] * part;
                let before = (found + 1).saturating_sub(workers) as f64;
                let wait = before / speeds[workers];
                let variance = service * service * ((sigma * sigma).exp() - 1.0) + wait / speeds[workers];
                (*share, LogNormal::of_moments(service + wait, variance.max(1e-18)))
            })
            .collect();
        Times { parts, alone: load.demand.alone() }
    }

    /// The time that this share does not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let below = |time: f64| self.parts.iter().map(|(part, times)| part * times.share_below(time)).sum::<f64>();
        let (mut low, mut high) = (0.0, self.alone);
        while below(high) < share && high < 1e9 {
            high *= 2.0;
        }
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if below(middle) < share { low = middle } else { high = middle }
        }
        high
    }
}

/// The mean request of a mix.
fn mean(mix: &[Load]) -> Option<Demand> {
    let sound = |load: &Load| load.rate.is_finite() && load.rate >= 0.0 && load.demand.fault().is_none();
    let rate: f64 = mix.iter().map(|load| load.rate).sum();
    if !mix.iter().all(sound) || rate <= 0.0 {
        return None;
    }
    let of = |part: fn(&Demand) -> f64| mix.iter().map(|load| part(&load.demand) * load.rate).sum::<f64>() / rate;
    // Retries of each class go into its own demand before they are mixed.
    let app = of(|demand| demand.app * (1.0 + demand.retries));
    let db = of(|demand| demand.db * (1.0 + demand.retries));
    Some(Demand { app, db, wait: of(|demand| demand.wait), sigma: of(|demand| demand.sigma), retries: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Usl = Usl { lambda: 1.0, sigma: 0.0, kappa: 0.0 };

    fn demand(app: f64, db: f64, wait: f64, sigma: f64) -> Demand {
        Demand { app, db, wait, sigma, retries: 0.0 }
    }

    #[test]
    fn one_worker_with_exponential_times_is_the_textbook_queue() {
        // M/M/1: the time in the system is exponential, P95 = ln 20 / (mu - lambda). A log-normal with the
        // same mean and variance stands for it here, so the tail is near and not equal.
        let plant = Plant { processors: Processors::Shared(1), law: FREE };
        let exponential = 2.0_f64.ln().sqrt();
        for load in [0.2, 0.5, 0.8, 0.9] {
            let mix = [Load { demand: demand(0.1, 0.0, 0.0, exponential), rate: 10.0 * load }];
            let found = plant.predict(1, &mix).unwrap();
            let known = 20.0_f64.ln() / (10.0 - 10.0 * load);
            let p95 = found.p95.unwrap()[0];
            assert!((p95 / known - 1.0).abs() < 0.08, "{load}: {p95} {known}");
            assert!((found.throughput - 10.0 * load).abs() < 1e-9);
        }
    }

    #[test]
    fn an_idle_plant_shows_the_distribution_of_the_class_itself() {
        let plant = Plant { processors: Processors::Shared(2), law: FREE };
        let mix = [Load { demand: demand(0.2, 0.1, 0.02, 0.4), rate: 1e-6 }];
        let found = plant.predict(4, &mix).unwrap();
        let (p50, p95) = (found.p50.unwrap()[0], found.p95.unwrap()[0]);
        assert!((p50 / (0.32 * f64::exp(-0.08)) - 1.0).abs() < 0.001, "{p50}");
        let known = 0.32 * f64::exp(-0.08 + 0.4 * 1.644_854);
        assert!((p95 / known - 1.0).abs() < 0.001, "{p95} {known}");
    }

    #[test]
    fn too_much_has_no_p95_and_says_how_the_queue_grows() {
        let plant = Plant { processors: Processors::Shared(2), law: FREE };
        let mix = [Load { demand: demand(0.2, 0.0, 0.0, 0.3), rate: 20.0 }];
        let found = plant.predict(4, &mix).unwrap();
        assert!((found.capacity - 10.0).abs() < 1e-9 && (found.throughput - 10.0).abs() < 1e-9);
        assert_eq!(found.p95, None);
        assert!((found.growth - 1.0).abs() < 1e-9);
    }

    #[test]
    fn more_rate_is_never_faster_and_a_heavy_class_slows_a_light_one() {
        let plant = Plant { processors: Processors::Shared(2), law: Usl { sigma: 0.03, kappa: 0.002, ..FREE } };
        let (light, heavy) = (demand(0.02, 0.01, 0.005, 0.3), demand(0.25, 0.12, 0.03, 0.3));
        let of =
            |rate: f64| plant.predict(4, &[Load { demand: light, rate }, Load { demand: heavy, rate: rate / 5.0 }]);
        let mut before = 0.0;
        for rate in [1.0, 3.0, 6.0, 9.0, 12.0] {
            let p95 = of(rate).unwrap().p95.unwrap();
            assert!(p95[0] >= before && p95[1] > p95[0], "{rate}: {p95:?}");
            before = p95[0];
        }
        let alone = plant.predict(4, &[Load { demand: light, rate: 12.0 }]).unwrap().p95.unwrap()[0];
        assert!(before > 2.0 * alone, "{before} {alone}");
    }

    #[test]
    fn the_knee_is_where_the_processors_end() {
        let mix = [Load { demand: demand(0.2, 0.1, 0.0, 0.3), rate: 1.0 }];
        let knee = |cores| Plant { processors: Processors::Shared(cores), law: FREE }.knee(&mix, 32);
        assert_eq!((knee(2), knee(4)), (Some(2), Some(4)));
        let waits = [Load { demand: demand(0.2, 0.1, 0.3, 0.3), rate: 1.0 }];
        assert!(Plant { processors: Processors::Shared(2), law: FREE }.knee(&waits, 32) > Some(3));
        let bad = [Load { demand: demand(f64::NAN, 0.1, 0.3, 0.3), rate: 1.0 }];
        assert_eq!(Plant { processors: Processors::Shared(2), law: FREE }.knee(&bad, 32), None);
    }

    #[test]
    fn retries_are_load() {
        let plant = Plant { processors: Processors::Shared(2), law: FREE };
        let calm = demand(0.2, 0.1, 0.0, 0.3);
        let mix = |demand| [Load { demand, rate: 1.0 }];
        let (one, two) = (plant.predict(4, &mix(calm)), plant.predict(4, &mix(Demand { retries: 0.5, ..calm })));
        let ratio = one.unwrap().capacity / two.unwrap().capacity;
        assert!((ratio - 1.5).abs() < 1e-9, "{ratio}");
    }
}

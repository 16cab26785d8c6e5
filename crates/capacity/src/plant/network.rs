//! How fast a fixed number of requests inside go through the stations: a closed network, exactly.
//!
//! Buzen's convolution: stations with processors serve up to as many at once as they have, sharing
//! evenly; waiting holds nobody up. For one station and waiting it is the machine-repair model, and for
//! one processor the same numbers as mean-value analysis.

use super::usl::Usl;
use super::{Demand, Processors};

/// One station.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Station {
    /// Time that a request needs there alone, in seconds.
    pub demand: f64,
    /// How many are served at once; none where nobody waits for another.
    pub servers: Option<u32>,
}

/// Throughput per second with `inside` requests in the network at all times. 0 for 0 requests;
/// infinite if nothing takes time.
pub fn throughput(stations: &[Station], inside: u32) -> f64 {
    if inside == 0 {
        return 0.0;
    }
    let total: f64 = stations.iter().map(|station| station.demand).sum();
    if total <= 0.0 {
        return f64::INFINITY;
    }
    // Demands as parts of the whole, so that the sums neither overflow nor vanish.
    let mut constants = vec![0.0; inside as usize + 1];
    constants[0] = 1.0;
    for station in stations {
        let part = station.demand / total;
        let mut factors = vec![1.0; constants.len()];
        for here in 1..factors.len() {
            let at_once = station.servers.map_or(here as f64, |servers| (here as f64).min(f64::from(servers.max(1))));
            factors[here] = factors[here - 1] * part / at_once;
        }
        let convolved = |n: usize| (0..=n).map(|here| factors[here] * constants[n - here]).sum();
        constants = (0..constants.len()).map(convolved).collect();
    }
    constants[inside as usize - 1] / constants[inside as usize] / total
}

/// Throughput of a mean request with `inside` of them at once, PostgreSQL's part inflated by `law`.
pub fn plant_throughput(mean: &Demand, law: &Usl, processors: Processors, inside: u32) -> f64 {
    let tries = 1.0 + mean.retries;
    let app = mean.app * tries;
    let db = mean.db * tries * law.inflation(f64::from(inside.max(1)));
    let wait = Station { demand: mean.wait, servers: None };
    match processors {
        Processors::Shared(cores) => throughput(&[Station { demand: app + db, servers: Some(cores) }, wait], inside),
        Processors::Apart { app: app_cores, db: db_cores } => {
            let app = Station { demand: app, servers: Some(app_cores) };
            throughput(&[app, Station { demand: db, servers: Some(db_cores) }, wait], inside)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact mean-value analysis of stations with one processor each and waiting.
    fn mean_value(demands: &[f64], wait: f64, inside: u32) -> f64 {
        let (mut queues, mut rate) = (vec![0.0; demands.len()], 0.0);
        for n in 1..=inside {
            let times: Vec<f64> = demands.iter().zip(&queues).map(|(demand, queue)| demand * (1.0 + queue)).collect();
            rate = f64::from(n) / (wait + times.iter().sum::<f64>());
            queues = times.iter().map(|time| rate * time).collect();
        }
        rate
    }

    #[test]
    fn mean_value_analysis_gives_the_same() {
        for inside in [1, 2, 5, 20, 100] {
            let stations = [
                Station { demand: 0.2, servers: Some(1) },
                Station { demand: 0.11, servers: Some(1) },
                Station { demand: 0.05, servers: None },
            ];
            let (one, other) = (throughput(&stations, inside), mean_value(&[0.2, 0.11], 0.05, inside));
            assert!((one / other - 1.0).abs() < 1e-9, "{inside}: {one} {other}");
        }
    }

    #[test]
    fn bounds_of_queueing_hold() {
        let stations = [Station { demand: 0.3, servers: Some(2) }, Station { demand: 0.1, servers: None }];
        assert!((throughput(&stations, 1) - 2.5).abs() < 1e-12);
        // With two processors two requests never wait for each other.
        assert!((throughput(&stations, 2) - 5.0).abs() < 1e-12);
        let mut before = 0.0;
        for inside in 1..200 {
            let now = throughput(&stations, inside);
            assert!(now >= before - 1e-9 && now <= 2.0 / 0.3 + 1e-9, "{inside}: {now}");
            before = now;
        }
        assert!(before > 0.999 * 2.0 / 0.3);
        assert_eq!(throughput(&stations, 0), 0.0);
    }

    #[test]
    fn coherence_makes_more_at_once_slower() {
        let mean = Demand { app: 0.2, db: 0.1, wait: 0.02, sigma: 0.3, retries: 0.0 };
        let law = Usl { lambda: 1.0, sigma: 0.05, kappa: 0.02 };
        let rate = |inside| plant_throughput(&mean, &law, Processors::Shared(2), inside);
        assert!(rate(2) > rate(1) && rate(16) < rate(3), "{} {} {} {}", rate(1), rate(2), rate(3), rate(16));
        let apart = plant_throughput(&mean, &law, Processors::Apart { app: 2, db: 2 }, 2);
        assert!(apart >= rate(2) - 1e-12);
    }
}

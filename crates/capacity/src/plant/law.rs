//! What of a sweep's shape is contention in PostgreSQL, when the processors are known.
//!
//! A sweep's throughput flattens because the processors end and because requests hinder each other.
//! Fitting the scalability law to the sweep itself mixes both; here only what the network of stations does
//! not explain goes into sigma and kappa.

use super::network::plant_throughput;
use super::usl::{Point, Usl};
use super::{Demand, Processors};

/// Most that is looked for: beyond it two requests at once are slower than one after the other.
const MOST: [f64; 2] = [2.0, 1.0];

/// Sigma and kappa with the least squares of relative errors; `lambda` is the throughput of one. None
/// without points above 0.
///
/// Search by steps that are halved, always from the same beginnings, so that the same points give the same
/// law.
pub fn fit(mean: &Demand, processors: Processors, workers: u32, points: &[Point]) -> Option<Usl> {
    let sound = |point: &Point| point.at_once >= 1.0 && point.throughput.is_finite() && point.throughput > 0.0;
    if points.is_empty() || !points.iter().all(sound) || mean.fault().is_some() {
        return None;
    }
    let law = |at: [f64; 2]| Usl { lambda: 1.0, sigma: at[0], kappa: at[1] };
    let squares = |at: [f64; 2]| -> f64 {
        let error = |point: &Point| {
            let inside = (point.at_once.round() as u32).min(workers.max(1));
            (plant_throughput(mean, &law(at), processors, inside) / point.throughput - 1.0).powi(2)
        };
        points.iter().map(error).sum()
    };
    let search = |begin: [f64; 2]| {
        let (mut at, mut best, mut step) = (begin, squares(begin), [0.2, 0.05]);
        while step[0] > 1e-6 {
            let moved = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, -1.0), (-1.0, 1.0)]
                .map(|(x, y)| [(at[0] + x * step[0]).clamp(0.0, MOST[0]), (at[1] + y * step[1]).clamp(0.0, MOST[1])])
                .map(|there| (squares(there), there))
                .into_iter()
                .min_by(|a, b| a.0.total_cmp(&b.0));
            match moved {
                Some((less, there)) if less < best => (best, at) = (less, there),
                _ => step = step.map(|size| size / 2.0),
            }
        }
        (best, at)
    };
    let found = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.02], [0.5, 0.1]].map(search);
    let (_, at) = found.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let lambda = plant_throughput(mean, &law(at), processors, 1);
    Some(Usl { lambda, ..law(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: Demand = Demand { app: 0.2, db: 0.11, wait: 0.03, sigma: 0.3, retries: 0.0 };

    fn sweep(law: &Usl, workers: u32) -> Vec<Point> {
        let rate = |n: u32| plant_throughput(&MEAN, law, Processors::Shared(2), n.min(workers));
        [1, 2, 3, 4, 6, 8].map(|n| Point { at_once: f64::from(n), throughput: rate(n) }).to_vec()
    }

    #[test]
    fn known_parameters_are_found_again_beside_the_processors() {
        for known in [(0.0, 0.0), (0.06, 0.0), (0.0, 0.01), (0.1, 0.02)] {
            let known = Usl { lambda: 1.0, sigma: known.0, kappa: known.1 };
            let found = fit(&MEAN, Processors::Shared(2), 16, &sweep(&known, 16)).unwrap();
            for n in [1, 2, 5, 8, 12] {
                let of = |law: &Usl| plant_throughput(&MEAN, law, Processors::Shared(2), n);
                assert!((of(&found) / of(&known) - 1.0).abs() < 0.005, "{n}: {found:?} {known:?}");
            }
        }
    }

    #[test]
    fn processors_that_end_are_not_taken_for_contention() {
        let free = Usl { lambda: 1.0, sigma: 0.0, kappa: 0.0 };
        let points = sweep(&free, 16);
        let beside = fit(&MEAN, Processors::Shared(2), 16, &points).unwrap();
        assert!(beside.sigma < 1e-3 && beside.kappa < 1e-3, "{beside:?}");
        // The control: the law alone calls the same curve contention.
        assert!(Usl::fit(&points).unwrap().inflation(8.0) > 2.0);
        assert_eq!(fit(&MEAN, Processors::Shared(2), 16, &[]), None);
    }
}

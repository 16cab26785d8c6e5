//! The universal scalability law: throughput of n at once, `X(n) = lambda n / (1 + sigma (n-1) + kappa n (n-1))`.
//!
//! Rule: sigma and kappa are never below 0: more work at once does not make a machine faster than in
//! proportion. Where the best fit would be, the best one without that term is taken.

use serde::{Deserialize, Serialize};

/// A law with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usl {
    /// Throughput of one, per second.
    pub lambda: f64,
    /// Contention: the share that goes one after another.
    pub sigma: f64,
    /// Coherence: what each pair costs.
    pub kappa: f64,
}

/// One measured point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// How many at once.
    pub at_once: f64,
    /// Throughput, per second.
    pub throughput: f64,
}

impl Usl {
    /// Throughput of `n` at once.
    pub fn throughput(&self, n: f64) -> f64 {
        self.lambda * n / self.inflation(n)
    }

    /// By how much `n` at once make each slower.
    pub fn inflation(&self, n: f64) -> f64 {
        1.0 + (n - 1.0).max(0.0) * (self.sigma + self.kappa * n)
    }

    /// Where throughput is highest, if it falls behind that.
    pub fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0 && self.sigma < 1.0).then(|| ((1.0 - self.sigma) / self.kappa).sqrt().max(1.0))
    }

    /// The law with the least squares of throughput. None with fewer than three different points, or
    /// points that are not above 0.
    ///
    /// `n / X` is linear in the parameters, so each turn solves that, weighted by what a small error of X
    /// does to `n / X`; three turns settle the weights.
    pub fn fit(points: &[Point]) -> Option<Usl> {
        let sound = |point: &Point| {
            point.at_once.is_finite() && point.at_once >= 1.0 && point.throughput.is_finite() && point.throughput > 0.0
        };
        let mut places: Vec<f64> = points.iter().map(|point| point.at_once).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        if places.len() < 3 || !points.iter().all(sound) {
            return None;
        }
        // Which of the terms sigma and kappa are there.
        let shapes = [[true, true, true], [true, true, false], [true, false, true], [true, false, false]];
        let fitted = shapes.iter().filter_map(|shape| fit_shape(points, *shape));
        let valid = fitted.filter(|law| law.lambda > 0.0 && law.sigma >= 0.0 && law.kappa >= 0.0);
        valid.min_by(|a, b| a.squares(points).total_cmp(&b.squares(points)))
    }

    /// Sum of squared errors of throughput.
    pub fn squares(&self, points: &[Point]) -> f64 {
        points.iter().map(|point| (self.throughput(point.at_once) - point.throughput).powi(2)).sum()
    }
}

fn fit_shape(points: &[Point], shape: [bool; 3]) -> Option<Usl> {
    let mut throughput: Vec<f64> = points.iter().map(|point| point.throughput).collect();
    let mut law = None;
    for _ in 0..3 {
        let (mut matrix, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
        for (point, throughput) in points.iter().zip(&throughput) {
            let n = point.at_once;
            let terms = [1.0, n - 1.0, n * (n - 1.0)];
            let weight = (throughput * throughput / n).powi(2);
            for row in 0..3 {
                for column in 0..3 {
                    matrix[row][column] += weight * terms[row] * terms[column];
                }
                right[row] += weight * terms[row] * n / point.throughput;
            }
        }
        for (index, _) in shape.iter().enumerate().filter(|(_, there)| !**there) {
            matrix.iter_mut().for_each(|row| row[index] = 0.0);
            matrix[index] = [0.0; 3];
            matrix[index][index] = 1.0;
            right[index] = 0.0;
        }
        let [a, b, c] = solve(matrix, right)?;
        let found = Usl { lambda: 1.0 / a, sigma: b / a, kappa: c / a };
        throughput = points.iter().map(|point| found.throughput(point.at_once).max(1e-12)).collect();
        law = Some(found);
    }
    law.filter(|law| law.lambda.is_finite() && law.sigma.is_finite() && law.kappa.is_finite())
}

/// Solves three equations by elimination with row exchange; none if they do not have one solution.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> Option<[f64; 3]> {
    for step in 0..3 {
        let best = (step..3).max_by(|a, b| matrix[*a][step].abs().total_cmp(&matrix[*b][step].abs()))?;
        matrix.swap(step, best);
        right.swap(step, best);
        if matrix[step][step].abs() < 1e-300 {
            return None;
        }
        for row in step + 1..3 {
            let (from, factor) = (matrix[step], matrix[row][step] / matrix[step][step]);
            matrix[row].iter_mut().zip(from).skip(step).for_each(|(value, above)| *value -= factor * above);
            right[row] -= factor * right[step];
        }
    }
    let mut result = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| matrix[row][column] * result[column]).sum();
        result[row] = (right[row] - known) / matrix[row][row];
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(law: Usl, noise: impl Fn(usize) -> f64) -> Vec<Point> {
        let at = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];
        let point = |(index, n): (usize, &f64)| Point { at_once: *n, throughput: law.throughput(*n) * noise(index) };
        at.iter().enumerate().map(point).collect()
    }

    #[test]
    fn known_parameters_are_found_again() {
        for known in [
            Usl { lambda: 12.0, sigma: 0.08, kappa: 0.004 },
            Usl { lambda: 1.6, sigma: 0.0, kappa: 0.02 },
            Usl { lambda: 900.0, sigma: 0.3, kappa: 0.0 },
            Usl { lambda: 5.0, sigma: 0.0, kappa: 0.0 },
        ] {
            let found = Usl::fit(&points(known, |_| 1.0)).unwrap();
            assert!((found.lambda / known.lambda - 1.0).abs() < 1e-6, "{found:?} {known:?}");
            assert!((found.sigma - known.sigma).abs() < 1e-6 && (found.kappa - known.kappa).abs() < 1e-6);
        }
    }

    #[test]
    fn three_percent_of_noise_leave_the_throughput_within_five() {
        let known = Usl { lambda: 12.0, sigma: 0.08, kappa: 0.004 };
        let noise = [1.03, 0.97, 1.02, 0.98, 1.01, 1.03, 0.97, 1.0];
        let found = Usl::fit(&points(known, |index| noise[index])).unwrap();
        for n in 1..=16 {
            let ratio = found.throughput(f64::from(n)) / known.throughput(f64::from(n));
            assert!((0.95..1.05).contains(&ratio), "{n}: {ratio}");
        }
        // The control: without its coherence term the law does not fit what falls behind its peak.
        let peak = known.peak().unwrap();
        assert!((peak - 15.17).abs() < 0.01);
    }

    #[test]
    fn better_than_in_proportion_is_fitted_without_the_terms() {
        let at = [(1.0, 1.0), (2.0, 2.3), (4.0, 4.9)];
        let points: Vec<Point> = at.iter().map(|(n, x)| Point { at_once: *n, throughput: *x }).collect();
        let found = Usl::fit(&points).unwrap();
        assert!(found.sigma >= 0.0 && found.kappa >= 0.0);
        assert_eq!(found.peak(), None);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let point = |at_once, throughput| Point { at_once, throughput };
        assert_eq!(Usl::fit(&[point(1.0, 1.0), point(2.0, 1.5)]), None);
        assert_eq!(Usl::fit(&[point(2.0, 1.0), point(2.0, 1.5), point(2.0, 1.2)]), None);
        assert_eq!(Usl::fit(&[point(1.0, 1.0), point(2.0, 0.0), point(3.0, 1.2)]), None);
    }
}

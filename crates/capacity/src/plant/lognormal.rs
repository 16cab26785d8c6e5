//! The log-normal distribution: service times, fitted and asked.

/// A distribution of times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    /// Mean of the logarithm.
    pub mu: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
}

impl LogNormal {
    /// The most likely one for these times (maximum likelihood). None with fewer than two times, or one
    /// that is not above 0.
    pub fn fit(times: &[f64]) -> Option<LogNormal> {
        if times.len() < 2 || times.iter().any(|time| !time.is_finite() || *time <= 0.0) {
            return None;
        }
        let count = times.len() as f64;
        let mu = times.iter().map(|time| time.ln()).sum::<f64>() / count;
        let squares = times.iter().map(|time| (time.ln() - mu).powi(2)).sum::<f64>();
        Some(LogNormal { mu, sigma: (squares / (count - 1.0)).sqrt() })
    }

    /// The one with this mean and variance; both above 0.
    pub fn of_moments(mean: f64, variance: f64) -> LogNormal {
        let squared = (1.0 + variance / (mean * mean)).ln();
        LogNormal { mu: mean.ln() - squared / 2.0, sigma: squared.sqrt() }
    }

    /// Its mean.
    pub fn mean(&self) -> f64 {
        (self.mu + self.sigma * self.sigma / 2.0).exp()
    }

    /// The share of times that are not above `time`.
    pub fn share_below(&self, time: f64) -> f64 {
        if time <= 0.0 {
            return 0.0;
        }
        let distance = time.ln() - self.mu;
        if self.sigma <= 1e-12 {
            return if distance >= 0.0 { 1.0 } else { 0.0 };
        }
        0.5 * (1.0 + error_function(distance / (self.sigma * std::f64::consts::SQRT_2)))
    }
}

/// Abramowitz and Stegun 7.1.26; the error is below 1.5e-7.
fn error_function(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = series.iter().fold(0.0, |sum, coefficient| sum * t + coefficient) * t;
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_found_again() {
        // Quantiles of a log-normal at even shares, found by bisection of the share itself.
        let known = LogNormal { mu: -1.2, sigma: 0.45 };
        let quantile = |share: f64| {
            let (mut low, mut high) = (1e-9, 1e3);
            for _ in 0..200 {
                let middle: f64 = (low + high) / 2.0;
                if known.share_below(middle) < share { low = middle } else { high = middle }
            }
            high
        };
        let times: Vec<f64> = (0..2000).map(|n| quantile((f64::from(n) + 0.5) / 2000.0)).collect();
        let found = LogNormal::fit(&times).unwrap();
        assert!((found.mu - known.mu).abs() < 0.005 && (found.sigma - known.sigma).abs() < 0.005, "{found:?}");
        let again = LogNormal::of_moments(known.mean(), known.mean().powi(2) * ((0.45_f64.powi(2)).exp() - 1.0));
        assert!((again.mu - known.mu).abs() < 1e-9 && (again.sigma - 0.45).abs() < 1e-9);
    }

    #[test]
    fn tables_of_the_normal_distribution_agree() {
        let standard = LogNormal { mu: 0.0, sigma: 1.0 };
        for (z, share) in [(0.0, 0.5), (1.0, 0.841_345), (1.644_854, 0.95), (-1.959_964, 0.025)] {
            assert!((standard.share_below(f64::exp(z)) - share).abs() < 1e-5, "{z}");
        }
        assert_eq!(standard.share_below(0.0), 0.0);
        assert_eq!(LogNormal { mu: 0.0, sigma: 0.0 }.share_below(1.0), 1.0);
    }

    #[test]
    fn what_is_no_sample_is_refused() {
        assert_eq!(LogNormal::fit(&[1.0]), None);
        assert_eq!(LogNormal::fit(&[1.0, 0.0]), None);
        assert_eq!(LogNormal::fit(&[1.0, f64::NAN]), None);
    }
}

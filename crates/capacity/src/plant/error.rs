//! How far predictions are from measurements.

/// One place of the grid: what was predicted and what was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The model's word.
    pub predicted: f64,
    /// The measurement.
    pub measured: f64,
}

/// Mean absolute error in percent of what was measured (MAPE). None without pairs, or with a measurement
/// that is not above 0.
pub fn mape(pairs: &[Pair]) -> Option<f64> {
    if pairs.is_empty() || pairs.iter().any(|pair| !pair.measured.is_finite() || pair.measured <= 0.0) {
        return None;
    }
    let sum: f64 = pairs.iter().map(|pair| ((pair.predicted - pair.measured) / pair.measured).abs()).sum();
    Some(100.0 * sum / pairs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_both_signs_count() {
        let pairs = [Pair { predicted: 11.0, measured: 10.0 }, Pair { predicted: 7.0, measured: 10.0 }];
        assert!((mape(&pairs).unwrap() - 20.0).abs() < 1e-9);
        assert_eq!(mape(&[]), None);
        assert_eq!(mape(&[Pair { predicted: 1.0, measured: 0.0 }]), None);
    }
}

//! What is said of many measurements.
//!
//! Owns: the median of a few turns, the 99th percentile of many calls. Does not own: measuring.

use std::time::Duration;

/// Of figures of any order; NaN of none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What one in a hundred exceeds; `None` of none.
pub(crate) fn p99(mut took: Vec<Duration>) -> Option<Duration> {
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_exceeds_the_percentile() {
        let took: Vec<Duration> = (0..1_000).rev().map(Duration::from_millis).collect();
        assert_eq!(p99(took), Some(Duration::from_millis(990)));
        assert_eq!(p99(Vec::new()), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }
}

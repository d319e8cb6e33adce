//! Medians of rounds, and of ratios within rounds.

/// The median; `None` of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The median of the ratios of each round: what slowed one down in a round then slowed the other down, too.
pub fn median_ratio(own: &[f64], other: &[f64]) -> Option<f64> {
    median(own.iter().zip(other).map(|(own, other)| own / other).collect())
}

/// To three digits behind the point.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_value_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![1000.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 3.0, 2.0, 1.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // A round that was slow for both does not show; the ratio of the medians would be 1.
        assert_eq!(median_ratio(&[1.0, 2.0, 30.0], &[2.0, 1.0, 60.0]), Some(0.5));
        assert_eq!(median_ratio(&[], &[]), None);
    }

    #[test]
    fn figures_have_three_digits_behind_the_point() {
        assert_eq!([rounded(0.12345), rounded(2.0 / 3.0), rounded(48.0)], [0.123, 0.667, 48.0]);
    }
}

//! Tests for a trend, which is how leaks are commonly looked for: what the study compares with.

/// z with P(Z > z) = 1 %.
const NORMAL_1_PERCENT: f64 = 2.326;
/// Student's t of 58 degrees of freedom with P(T > t) = 1 %: for 60 readings.
const STUDENT_1_PERCENT: f64 = 2.392;
/// How many readings [`STUDENT_1_PERCENT`] is for.
pub(super) const READINGS: usize = 60;

/// Mann and Kendall's test, corrected for ties, at 1 % upwards.
pub(super) fn mann_kendall_rises(readings: &[f64]) -> bool {
    mann_kendall(readings).is_some_and(|z| z > NORMAL_1_PERCENT)
}

/// The slope of least squares by its standard error, at 1 % upwards.
pub(super) fn least_squares_rises(readings: &[f64; READINGS]) -> bool {
    least_squares(readings).is_some_and(|t| t > STUDENT_1_PERCENT)
}

/// The statistic z; `None` where all readings are equal.
fn mann_kendall(readings: &[f64]) -> Option<f64> {
    let mut score = 0.0;
    for (index, earlier) in readings.iter().enumerate() {
        for later in &readings[index + 1..] {
            score += match later.total_cmp(earlier) {
                std::cmp::Ordering::Less => -1.0,
                std::cmp::Ordering::Equal => 0.0,
                std::cmp::Ordering::Greater => 1.0,
            };
        }
    }
    let term = |n: usize| (n * n.saturating_sub(1) * (2 * n + 5)) as f64;
    let mut sorted = readings.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|tied| term(tied.len())).sum();
    let variance = (term(readings.len()) - ties) / 18.0;
    (variance > 0.0).then(|| (score - f64::signum(score) * f64::from(score != 0.0)) / variance.sqrt())
}

/// The statistic t; `None` where all readings are equal.
fn least_squares(readings: &[f64]) -> Option<f64> {
    let n = readings.len() as f64;
    let mean = readings.iter().sum::<f64>() / n;
    let middle = (n - 1.0) / 2.0;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (index, reading) in readings.iter().enumerate() {
        let (x, y) = (index as f64 - middle, reading - mean);
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    let slope = xy / xx;
    let error = ((yy - slope * xy).max(0.0) / (n - 2.0) / xx).sqrt();
    (yy > 0.0).then(|| slope / error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mann_kendall_by_hand() {
        // 1 2 3 4: all 6 pairs rise; variance 4·3·13/18.
        let z = mann_kendall(&[1.0, 2.0, 3.0, 4.0]).expect("they differ");
        assert!((z - 5.0 / (156.0_f64 / 18.0).sqrt()).abs() < 1e-12);
        // 1 1 2: two rises, one tie; variance (3·2·11 − 2·1·9)/18.
        let z = mann_kendall(&[1.0, 1.0, 2.0]).expect("they differ");
        assert!((z - 1.0 / (48.0_f64 / 18.0).sqrt()).abs() < 1e-12);
        assert_eq!(mann_kendall(&[1.0, 2.0, 1.0]), Some(0.0), "one up, one down");
        assert_eq!(mann_kendall(&[5.0; 9]), None);
    }

    #[test]
    fn least_squares_by_hand() {
        // 0 1 0 3: slope 0.8, residual variance (6 − 3.2)/2 = 1.4, xx = 5...
        let t = least_squares(&[0.0, 1.0, 0.0, 3.0]).expect("they differ");
        assert!((t - 0.8 / (1.4_f64 / 5.0).sqrt()).abs() < 1e-12, "{t}");
        assert_eq!(least_squares(&[5.0; 9]), None);
    }

    #[test]
    fn both_see_what_rises_and_only_that() {
        let line = |slope: f64| std::array::from_fn(|at| slope * at as f64 + (at % 2) as f64);
        for (slope, rises) in [(1.0, true), (0.0, false), (-1.0, false)] {
            let readings: [f64; READINGS] = line(slope);
            assert_eq!(mann_kendall_rises(&readings), rises);
            assert_eq!(least_squares_rises(&readings), rises);
        }
    }
}

//! Statistics over repeats: medians, spreads and nearest-rank percentiles.

use std::fmt;

use serde::Serialize;

/// The middle and the ends of one figure's repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// How many repeats there were.
    pub(crate) n: usize,
}

/// Nearest-rank percentile of a sorted slice; the default value when it is empty.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Median of `values` in any order, those that are not finite left out.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

// === impl Spread ===

impl Spread {
    /// The spread of `values`, those that are not finite left out; `None` when nothing is left.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max, n) = (*sorted.first()?, *sorted.last()?, sorted.len());
        let median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
        Some(Self { median, min, max, n })
    }
}

impl fmt::Display for Spread {
    /// `median (min–max)`, with as many decimals as the size of the figure deserves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.median.abs() {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{:.decimals$}", self.median)?;
        if self.n > 1 && self.min != self.max {
            write!(f, " ({:.decimals$}–{:.decimals$})", self.min, self.max)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        #[track_caller]
        fn check(values: &[f64], text: &str) {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string()), text, "{values:?}");
        }
        check(&[], "–");
        check(&[f64::NAN], "–");
        check(&[3.0], "3.00");
        check(&[3.0, 1.0, 2.0], "2.00 (1.00–3.00)");
        check(&[1.0, 2.0], "1.50 (1.00–2.00)");
        check(&[0.0, 0.0], "0.00");
        check(&[250.4, 99.0, 300.0], "250 (99–300)");
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 0.5), 50);
        assert_eq!(percentile(&hundred, 0.99), 99);
        assert_eq!(percentile(&hundred, 1.0), 100);
        assert_eq!(percentile::<u32>(&[], 0.5), 0);
        assert_eq!(percentile(&[7], 0.0), 7);
    }
}

//! Mean, standard deviation, minimum and maximum in one pass, with the same bits on every processor.

use simd::vectorized;

/// Values that are summed side by side: as many as fit the vector registers of any processor, so that the order of the sums
/// does not depend on it.
const LANES: usize = 16;

/// Mean, standard deviation and extremes of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    /// The standard deviation with n - 1; 0 for one value.
    pub(crate) deviation: f64,
    pub(crate) low: f32,
    pub(crate) high: f32,
}

/// Sums of values and of their squares, both after subtracting a number near their mean, and their extremes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    shift: f64,
    count: usize,
    sum: f64,
    squares: f64,
    low: f32,
    high: f32,
}

impl Sums {
    /// Returns the sums of no values; `shift` is a number that is likely near their mean.
    pub(crate) fn new(shift: f32) -> Self {
        let (low, high) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { shift: f64::from(shift), count: 0, sum: 0.0, squares: 0.0, low, high }
    }

    /// Adds values.
    pub(crate) fn add(&mut self, values: &[f32]) {
        let (sum, squares, low, high) = sums(values, self.shift);
        self.count += values.len();
        self.sum += sum;
        self.squares += squares;
        (self.low, self.high) = (self.low.min(low), self.high.max(high));
    }

    /// Returns the moments of the values.
    pub(crate) fn moments(&self) -> Moments {
        let count = self.count as f64;
        let mean = self.sum / count;
        let squares = (self.squares - self.sum * mean).max(0.0);
        let deviation = if self.count > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Moments { mean: mean + self.shift, deviation, low: self.low, high: self.high }
    }
}

/// Returns the moments of values, of which there is at least one.
pub(crate) fn moments(values: &[f32]) -> Moments {
    let mut sums = Sums::new(values[0]);
    sums.add(values);
    sums.moments()
}

vectorized! {
    fn sums(values: &[f32], shift: f64) -> (f64, f64, f32, f32) {
        let (mut sums, mut squares) = ([0.0f64; LANES], [0.0f64; LANES]);
        let (mut lows, mut highs) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (groups, rest) = values.as_chunks::<LANES>();
        for group in groups {
            for lane in 0..LANES {
                let value = group[lane];
                let shifted = f64::from(value) - shift;
                sums[lane] += shifted;
                squares[lane] += shifted * shifted;
                lows[lane] = if value < lows[lane] { value } else { lows[lane] };
                highs[lane] = if value > highs[lane] { value } else { highs[lane] };
            }
        }
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for (lane, value) in rest.iter().enumerate() {
            let shifted = f64::from(*value) - shift;
            sums[lane] += shifted;
            squares[lane] += shifted * shifted;
            (low, high) = (low.min(*value), high.max(*value));
        }
        (low, high) = (lows.iter().fold(low, |a, b| a.min(*b)), highs.iter().fold(high, |a, b| a.max(*b)));
        (sums.iter().sum(), squares.iter().sum(), low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_definition() {
        let values: Vec<f32> = (0..1003).map(|i| (i as f32 * 0.7).sin() * 3.0 + 1000.0).collect();
        let count = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let result = moments(&values);
        assert!((result.mean - mean).abs() < 1e-9 && (result.deviation - variance.sqrt()).abs() < 1e-9, "{result:?}");
        let extremes = values.iter().fold([f32::MAX, f32::MIN], |[low, high], v| [low.min(*v), high.max(*v)]);
        assert_eq!([result.low, result.high], extremes);
    }

    #[test]
    fn one_value_has_no_deviation() {
        assert_eq!(moments(&[7.0]), Moments { mean: 7.0, deviation: 0.0, low: 7.0, high: 7.0 });
    }
}

//! Cubic splines through lines of voxels that continue with their outermost values.

/// The pole of the filter that computes the coefficients of a cubic spline: `√3 - 2`.
const POLE: f64 = -0.267_949_192_431_122_7;
/// The gain of the filter.
const GAIN: f64 = 6.0;

/// Coefficients before the first and after the last voxel, between which points at the border are interpolated.
pub(super) const MARGIN: usize = 2;

/// The coefficients around each outgoing voxel of an axis, and their weights.
#[derive(Clone, Debug)]
pub(super) struct CubicAxis {
    taps: Vec<(usize, [f64; 4])>,
}

impl CubicAxis {
    /// Creates the weights for points given in voxels; each must be less than a voxel outside.
    pub(super) fn new(points: impl Iterator<Item = f64>) -> Self {
        let tap = |point: f64| {
            let low = point.floor();
            let (t, s) = (point - low, 1.0 - (point - low));
            // The coefficient of voxel -1 is the first of a line; the taps start one voxel before the lower one.
            let first = (low + MARGIN as f64 - 1.0) as usize;
            let inner = |t: f64| (t * t * (t - 2.0) * 3.0 + 4.0) / 6.0;
            (first, [s * s * s / 6.0, inner(t), inner(s), t * t * t / 6.0])
        };
        Self { taps: points.map(tap).collect() }
    }

    /// Interpolates a line of voxels; `coefficients` is a buffer.
    pub(super) fn line(&self, values: &[f32], coefficients: &mut Vec<f64>, out: &mut [f32]) {
        line_coefficients(values, coefficients);
        for (out, (first, weights)) in out.iter_mut().zip(&self.taps) {
            let around = &coefficients[*first..*first + 4];
            *out = around.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() as f32;
        }
    }

    /// Interpolates across rows of voxels, given their [`row_coefficients`].
    pub(super) fn rows(&self, coefficients: &[f32], out: &mut [&mut [f32]]) {
        for (out, (first, weights)) in out.iter_mut().zip(&self.taps) {
            let width = out.len();
            let [a, b, c, d] = std::array::from_fn(|tap| &coefficients[(first + tap) * width..][..width]);
            let [u, v, w, x] = weights.map(|weight| weight as f32);
            for (((out, a), (b, c)), d) in out.iter_mut().zip(a).zip(b.iter().zip(c)).zip(d) {
                *out = a * u + b * v + c * w + d * x;
            }
        }
    }
}

/// Computes the coefficients of a line, with [`MARGIN`] of them before the first and after the last voxel.
fn line_coefficients(values: &[f32], out: &mut Vec<f64>) {
    let (first, last) = (f64::from(values[0]), f64::from(values[values.len() - 1]));
    out.clear();
    // Before the line, the filter is in its steady state.
    let mut causal = steady(first);
    out.extend([causal; MARGIN]);
    for value in values {
        causal = GAIN * f64::from(*value) + POLE * causal;
        out.push(causal);
    }
    for _ in 0..MARGIN {
        causal = GAIN * last + POLE * causal;
        out.push(causal);
    }
    let mut anticausal = after(causal, last);
    let mut rest = out.iter_mut().rev();
    if let Some(end) = rest.next() {
        *end = anticausal;
    }
    for value in rest {
        anticausal = POLE * (anticausal - *value);
        *value = anticausal;
    }
}

/// Computes the coefficients across rows of `width` voxels, with [`MARGIN`] rows of them before the first and after the last.
pub(super) fn row_coefficients<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize, out: &mut Vec<f32>) {
    let (pole, gain) = (POLE as f32, GAIN as f32);
    out.clear();
    let mut last: &[f32] = &[];
    for (index, row) in rows.enumerate() {
        if index == 0 {
            for _ in 0..MARGIN {
                out.extend(row.iter().map(|value| steady(f64::from(*value)) as f32));
            }
        }
        push_causal(row, out, width, [gain, pole]);
        last = row;
    }
    for _ in 0..MARGIN {
        push_causal(last, out, width, [gain, pole]);
    }
    let end = out.len() - width;
    for (value, last) in out[end..].iter_mut().zip(last) {
        *value = after(f64::from(*value), f64::from(*last)) as f32;
    }
    for row in (0..end / width).rev() {
        let (before, after) = out.split_at_mut((row + 1) * width);
        for (value, next) in before[row * width..].iter_mut().zip(&after[..width]) {
            *value = pole * (next - *value);
        }
    }
}

/// Appends the causal filter's next row.
fn push_causal(row: &[f32], out: &mut Vec<f32>, width: usize, [gain, pole]: [f32; 2]) {
    let start = out.len();
    out.resize(start + width, 0.0);
    let (before, now) = out.split_at_mut(start);
    for ((now, value), before) in now.iter_mut().zip(row).zip(&before[start - width..]) {
        *now = gain * value + pole * before;
    }
}

/// Returns the output of the causal filter on a constant line.
fn steady(value: f64) -> f64 {
    GAIN * value / (1.0 - POLE)
}

/// Returns the output of both filters at the end of a line that continues with its last value, given that of the causal filter.
fn after(causal: f64, last: f64) -> f64 {
    let steady = steady(last);
    -POLE * (steady / (1.0 - POLE) + (causal - steady) / (1.0 - POLE * POLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<f32> {
        (0..9).map(|i| ((i * i) as f32 * 0.7).sin() * 5.0 + 2.0).collect()
    }

    #[test]
    fn a_spline_passes_through_its_values_and_continues_with_the_outermost() {
        let (mut coefficients, values) = (Vec::new(), values());
        line_coefficients(&values, &mut coefficients);
        let at = |index: usize| (coefficients[index - 1] + 4.0 * coefficients[index] + coefficients[index + 1]) / 6.0;
        for (index, value) in values.iter().enumerate() {
            assert!((at(index + MARGIN) - f64::from(*value)).abs() < 1e-6, "{index}");
        }
        assert!((at(1) - f64::from(values[0])).abs() < 1e-6 && (at(11) - f64::from(values[8])).abs() < 1e-6);
    }

    #[test]
    fn rows_have_the_coefficients_of_lines() {
        let (values, mut line, mut rows) = (values(), Vec::new(), Vec::new());
        line_coefficients(&values, &mut line);
        let twice: Vec<f32> = values.iter().flat_map(|value| [*value, 2.0 * value]).collect();
        row_coefficients(twice.chunks_exact(2), 2, &mut rows);
        for (index, expected) in line.iter().enumerate() {
            assert!((f64::from(rows[2 * index]) - expected).abs() < 1e-5, "{index}");
            assert!((f64::from(rows[2 * index + 1]) - 2.0 * expected).abs() < 1e-5, "{index}");
        }
    }

    #[test]
    fn a_single_voxel_is_constant() {
        let (mut coefficients, mut out) = (Vec::new(), [0.0; 3]);
        CubicAxis::new([-1.0 / 3.0, 0.0, 1.0 / 3.0].into_iter()).line(&[4.0], &mut coefficients, &mut out);
        assert!(out.iter().all(|value| (value - 4.0).abs() < 1e-6), "{out:?}");
    }
}

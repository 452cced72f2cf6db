//! Separable filters.

use crate::Window;

/// How a volume is mirrored at its border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// At the edge of the outermost voxel: `c b a | a b c | c b a`.
    Edge,
    /// At the centre of the outermost voxel: `c b | a b c | b a`.
    Centre,
}

impl Mirror {
    /// Maps an index that may be outside an axis of `size` voxels to the index of its mirror image inside.
    pub fn index(self, index: i64, size: i64) -> usize {
        let (period, last) = match self {
            Mirror::Edge => (2 * size, 2 * size - 1),
            Mirror::Centre => ((2 * size - 2).max(1), 2 * size - 2),
        };
        let index = index.rem_euclid(period);
        (if index < size { index } else { last - index }) as usize
    }
}

/// Applies a symmetric filter along one axis; `weights` starts with the centre, followed by the neighbours on either side.
/// Voxels closer to an end of the window than the radius are valid only at the border of the volume; a halo provides the
/// others.
pub(crate) fn symmetric(window: &mut Window, axis: usize, weights: &[f64], mirror: Mirror) {
    let (start, size, volume) = (window.start[axis], window.shape[axis], window.grid.shape[axis] as i64);
    // The indices in the window of the neighbours of each voxel along the axis.
    let neighbour = |voxel: usize, step: i64| {
        let index = mirror.index((start + voxel) as i64 + step, volume);
        index.saturating_sub(start).min(size - 1)
    };
    let neighbours: Vec<[usize; 2]> = (0..size)
        .flat_map(|voxel| (1..weights.len() as i64).map(move |step| [neighbour(voxel, -step), neighbour(voxel, step)]))
        .collect();
    let stride: usize = window.shape[axis + 1..].iter().product();
    let radius = weights.len() - 1;
    let mut sums = vec![0.0f64; stride];
    let mut out = vec![0.0f32; size * stride];
    for slab in window.image.chunks_exact_mut(size * stride) {
        for voxel in 0..size {
            let row = |at: usize| &slab[at * stride..(at + 1) * stride];
            sums.iter_mut().zip(row(voxel)).for_each(|(sum, value)| *sum = f64::from(*value) * weights[0]);
            for (weight, [before, after]) in weights[1..].iter().zip(&neighbours[voxel * radius..]) {
                let pairs = row(*before).iter().zip(row(*after));
                sums.iter_mut().zip(pairs).for_each(|(sum, (a, b))| *sum += (f64::from(*a) + f64::from(*b)) * weight);
            }
            out[voxel * stride..(voxel + 1) * stride].iter_mut().zip(&sums).for_each(|(out, sum)| *out = *sum as f32);
        }
        slab.copy_from_slice(&out);
    }
}

/// The radius of the truncated spline filter in voxels; the rest is below 1e-10.
const SPLINE_REACH: usize = 17;

/// Returns the number of voxels around a window that determine its [`spline_coefficients`].
pub fn spline_reach() -> usize {
    SPLINE_REACH
}

/// Replaces values by the coefficients of the cubic B-spline through them.
///
/// The exact filter is infinite; its weights decrease by the factor `2 - √3` per voxel. It is truncated, so that windows
/// have the same coefficients as the whole volume.
pub fn spline_coefficients(window: &mut Window) {
    let pole = 3.0f64.sqrt() - 2.0;
    let weights: Vec<f64> = (0..=SPLINE_REACH as i32).map(|step| 3.0f64.sqrt() * pole.powi(step)).collect();
    for axis in 0..3 {
        if window.grid.shape[axis] > 1 {
            symmetric(window, axis, &weights, Mirror::Centre);
        }
    }
}

/// Smooths a whole volume with ITK's recursive approximation of a Gaussian (Deriche 1993, Farnebäck and Westin 2006), as
/// TorchIO's antialiasing; deviations are in voxels, 0 skips an axis. At its border the volume is extended by its outermost
/// voxels.
pub fn smooth_recursively(window: &mut Window, deviations: [f64; 3]) {
    for (axis, deviation) in deviations.into_iter().enumerate() {
        // ITK's filter needs four voxels.
        if deviation > 0.0 && window.shape[axis] >= 4 {
            let filter = Recursive::new(deviation);
            window.for_each_line(axis, |line| filter.apply(line));
        }
    }
}

/// Coefficients of the causal and the anticausal half of a filter of order 4.
struct Recursive {
    forward: [f64; 4],
    backward: [f64; 4],
    feedback: [f64; 4],
}

impl Recursive {
    fn new(deviation: f64) -> Self {
        // The two damped waves whose sum approximates a Gaussian.
        let waves = [(1.3530, 1.8151, 0.6681, -1.3932), (-0.3531, 0.0902, 2.0787, -1.3732)];
        let [(a1, b1, w1, l1), (a2, b2, w2, l2)] = waves;
        let (sin1, cos1, exp1) = ((w1 / deviation).sin(), (w1 / deviation).cos(), (l1 / deviation).exp());
        let (sin2, cos2, exp2) = ((w2 / deviation).sin(), (w2 / deviation).cos(), (l2 / deviation).exp());
        let mut forward = [
            a1 + a2,
            exp2 * (b2 * sin2 - (a2 + 2.0 * a1) * cos2) + exp1 * (b1 * sin1 - (a1 + 2.0 * a2) * cos1),
            2.0 * exp1 * exp2 * ((a1 + a2) * cos2 * cos1 - b1 * cos2 * sin1 - b2 * cos1 * sin2)
                + a2 * exp1 * exp1
                + a1 * exp2 * exp2,
            exp2 * exp1 * exp1 * (b2 * sin2 - a2 * cos2) + exp1 * exp2 * exp2 * (b1 * sin1 - a1 * cos1),
        ];
        let feedback = [
            -2.0 * (exp2 * cos2 + exp1 * cos1),
            4.0 * cos2 * cos1 * exp1 * exp2 + exp1 * exp1 + exp2 * exp2,
            -2.0 * cos1 * exp1 * exp2 * exp2 - 2.0 * cos2 * exp2 * exp1 * exp1,
            exp1 * exp1 * exp2 * exp2,
        ];
        // Normalized, so that constants are preserved.
        let sum = 1.0 + feedback.iter().sum::<f64>();
        let gain = 2.0 * forward.iter().sum::<f64>() / sum - forward[0];
        forward.iter_mut().for_each(|weight| *weight /= gain);
        let backward = [
            forward[1] - feedback[0] * forward[0],
            forward[2] - feedback[1] * forward[0],
            forward[3] - feedback[2] * forward[0],
            -feedback[3] * forward[0],
        ];
        Self { forward, backward, feedback }
    }

    fn apply(&self, line: &mut [f32]) {
        let length = line.len();
        let sum = 1.0 + self.feedback.iter().sum::<f64>();
        let value = |index: i64| f64::from(line[index.clamp(0, length as i64 - 1) as usize]);
        let mut out = vec![0.0f64; length];
        // The steady state of the filter on the outermost voxel.
        let steady = value(0) * self.forward.iter().sum::<f64>() / sum;
        let mut last = [steady; 4];
        for index in 0..length as i64 {
            let input: f64 = (0..4).map(|k| self.forward[k] * value(index - k as i64)).sum();
            let output: f64 = (0..4).map(|k| self.feedback[k] * last[k]).sum();
            last = [input - output, last[0], last[1], last[2]];
            out[index as usize] = last[0];
        }
        let steady = value(length as i64) * self.backward.iter().sum::<f64>() / sum;
        let mut last = [steady; 4];
        for index in (0..length as i64).rev() {
            let input: f64 = (0..4).map(|k| self.backward[k] * value(index + 1 + k as i64)).sum();
            let output: f64 = (0..4).map(|k| self.feedback[k] * last[k]).sum();
            last = [input - output, last[0], last[1], last[2]];
            out[index as usize] += last[0];
        }
        line.iter_mut().zip(out).for_each(|(value, smooth)| *value = smooth as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_outside_are_mirrored_repeatedly() {
        let indices = |mirror: Mirror| (-4..7).map(|index| mirror.index(index, 3)).collect::<Vec<_>>();
        assert_eq!(indices(Mirror::Edge), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(indices(Mirror::Centre), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(Mirror::Centre.index(-3, 1), 0);
    }

    #[test]
    fn a_spline_interpolates_its_values() {
        let values: Vec<f32> = (0..20).map(|i| ((i * i) as f32 * 0.7).sin()).collect();
        let mut coefficients = values.clone();
        spline_coefficients(&mut Window::single_row(&mut coefficients));
        let at = |index: i64| coefficients[Mirror::Centre.index(index, 20)];
        for (index, value) in values.iter().enumerate() {
            let index = index as i64;
            let interpolated = (at(index - 1) + 4.0 * at(index) + at(index + 1)) / 6.0;
            assert!((interpolated - value).abs() < 1e-5, "{index}: {interpolated} {value}");
        }
    }

    #[test]
    fn a_peak_is_smoothed_as_in_itk() {
        let mut values = [0.0f32; 21];
        values[10] = 1.0;
        smooth_recursively(&mut Window::single_row(&mut values), [0.0, 0.0, 1.5]);
        // SimpleITK.SmoothingRecursiveGaussian with sigma 1.5.
        let expected = [0.109_627_78, 0.213_588_22, 0.266_717_34, 0.213_588_22, 0.109_627_78];
        assert!(values[8..13].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{:?}", &values[8..13]);
    }

    #[test]
    fn a_constant_line_is_unchanged() {
        let mut values = [3.0f32; 9];
        smooth_recursively(&mut Window::single_row(&mut values), [0.0, 0.0, 2.0]);
        assert!(values.iter().all(|value| (value - 3.0).abs() < 1e-5), "{values:?}");
    }
}

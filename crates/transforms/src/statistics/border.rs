//! Statistics of the six faces of a volume.

use crate::WholeVolume;
use crate::statistics::descriptive::{extremes, mean};
use volume::offset;

/// Returns the mean of the six faces of each channel, as TorchIO's `default_pad_value`. If `below_otsu`, the mean is that of
/// the values below the Otsu threshold, unless all of them are 0. An edge belongs to both of its faces.
pub(crate) fn border_means(whole: &WholeVolume, below_otsu: bool) -> Vec<f32> {
    let shape = whole.grid.shape;
    let border_mean = |values: &[f32]| {
        let faces = faces(values, shape);
        if below_otsu {
            let threshold = otsu(&faces);
            let below: Vec<f32> = faces.iter().copied().filter(|value| *value < threshold).collect();
            if below.iter().any(|value| *value != 0.0) {
                return mean(&below);
            }
        }
        mean(&faces)
    };
    whole.channels().map(border_mean).collect()
}

/// Returns the values on the six faces.
fn faces(values: &[f32], shape: [usize; 3]) -> Vec<f32> {
    let mut out = Vec::new();
    for axis in 0..3 {
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        for end in [0, shape[axis] - 1] {
            for first in 0..shape[a] {
                let mut index = [0; 3];
                (index[axis], index[a]) = (end, first);
                out.extend((0..shape[b]).map(|second| {
                    index[b] = second;
                    values[offset(shape, index)]
                }));
            }
        }
    }
    out
}

/// Bins of the histogram.
const BINS: usize = 128;

/// Returns the Otsu threshold, which maximizes the variance between classes, as in ITK: the upper end of a histogram bin.
fn otsu(values: &[f32]) -> f32 {
    let [low, high] = extremes(values).map(f64::from);
    // Slightly wider than the range, so that the largest value is in the last bin.
    let width = (high - low) * (1.0 + 1.0 / (BINS as f64 * 100.0)) / BINS as f64;
    let mut counts = [0.0f64; BINS];
    for value in values {
        counts[(((f64::from(*value) - low) / width) as usize).min(BINS - 1)] += 1.0;
    }
    let centre = |bin: usize| low + (bin as f64 + 0.5) * width;
    let total: f64 = counts.iter().enumerate().map(|(bin, count)| count * centre(bin)).sum();
    let all = values.len() as f64;
    let (mut below, mut sum) = (0.0, 0.0);
    let mut best = (f64::NEG_INFINITY, 0);
    for (bin, count) in counts.iter().enumerate().take(BINS - 1) {
        below += count;
        sum += count * centre(bin);
        if below == 0.0 || below == all {
            continue;
        }
        let distance = sum / below - (total - sum) / (all - below);
        let between = below / all * (1.0 - below / all) * distance * distance;
        if between > best.0 * (1.0 + 1e-12) {
            best = (between, bin);
        }
    }
    (low + (best.1 as f64 + 1.0) * width) as f32
}

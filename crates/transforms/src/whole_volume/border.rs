//! The faces of a volume.

use crate::WholeVolume;
use crate::whole_volume::statistics::{extremes, mean};
use volume::offset;

/// Of each channel the mean of its six faces, or where `below_otsu`, of those values that lie below their Otsu threshold,
/// as TorchIO's fills: an edge counts for both of its faces, and where all values below are 0 all of them count.
pub(crate) fn border_means(whole: &WholeVolume, below_otsu: bool) -> Vec<f32> {
    let shape = whole.grid.shape;
    let of_channel = |values: &[f32]| {
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
    whole.channels().map(of_channel).collect()
}

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

/// The threshold that divides values so that those on either side differ most from the others, as ITK finds it: the end
/// of a bin of a histogram.
fn otsu(values: &[f32]) -> f32 {
    let [low, high] = extremes(values).map(f64::from);
    // The last bin is a little wider, so that the largest value lies in it.
    let width = (high - low) * (1.0 + 1.0 / (BINS as f64 * 100.0)) / BINS as f64;
    let mut counts = [0.0f64; BINS];
    for value in values {
        counts[(((f64::from(*value) - low) / width) as usize).min(BINS - 1)] += 1.0;
    }
    let middle = |bin: usize| low + (bin as f64 + 0.5) * width;
    let total: f64 = counts.iter().enumerate().map(|(bin, count)| count * middle(bin)).sum();
    let all = values.len() as f64;
    let (mut below, mut sum) = (0.0, 0.0);
    let mut best = (f64::NEG_INFINITY, 0);
    for (bin, count) in counts.iter().enumerate().take(BINS - 1) {
        below += count;
        sum += count * middle(bin);
        if below == 0.0 || below == all {
            continue;
        }
        let apart = sum / below - (total - sum) / (all - below);
        let between = below / all * (1.0 - below / all) * apart * apart;
        if between > best.0 * (1.0 + 1e-12) {
            best = (between, bin);
        }
    }
    (low + (best.1 as f64 + 1.0) * width) as f32
}

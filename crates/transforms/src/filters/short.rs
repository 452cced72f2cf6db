//! Separable symmetric filters of a few taps, in single precision and in one pass over the volume.

use super::separable::Mirror;
use simd::vectorized;

/// The position of a block of voxels along the axes of its volume.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// First voxel of the block.
    pub(crate) start: [usize; 3],
    /// Voxels of the block.
    pub(crate) shape: [usize; 3],
    /// Voxels of the volume.
    pub(crate) volume: [usize; 3],
}

impl Extent {
    /// Returns the index in the block of a voxel's neighbour along an axis, which is mirrored at the border of the volume.
    fn neighbour(&self, axis: usize, index: usize, step: i64, mirror: Mirror) -> usize {
        let in_volume = mirror.index((self.start[axis] + index) as i64 + step, self.volume[axis] as i64);
        in_volume.saturating_sub(self.start[axis]).min(self.shape[axis] - 1)
    }

    fn neighbours(&self, axis: usize, step: i64, mirror: Mirror) -> Vec<usize> {
        (0..self.shape[axis]).map(|index| self.neighbour(axis, index, step, mirror)).collect()
    }
}

/// Filters one channel of a block along x, y and z; each list of weights starts with the centre, followed by the neighbours on
/// either side. Voxels closer to an end of the block than the radius are valid only at the border of the volume.
pub(crate) fn filter(values: &mut [f32], extent: &Extent, weights: [&[f32]; 3], mirror: Mirror) {
    let [size_x, size_y, size_z] = extent.shape;
    let plane = size_y * size_z;
    let radius = weights.map(|weights| weights.len() - 1);
    let mut in_plane = PlaneFilter::new(extent, [weights[1], weights[2]], mirror);
    // Planes that are filtered along y and z: of plane x, those at x modulo their number.
    let kept = (2 * radius[0] + 1).min(size_x);
    let mut filtered = vec![0.0f32; kept * plane];
    let taps: Vec<[Vec<usize>; 2]> =
        (1..=radius[0] as i64).map(|step| [-step, step].map(|step| extent.neighbours(0, step, mirror))).collect();
    let mut done = 0;
    for x in 0..size_x {
        // The filter along x reads planes that are not yet replaced by results.
        while done < size_x.min(x + radius[0] + 1) {
            let to = done % kept * plane;
            in_plane.apply(&values[done * plane..][..plane], &mut filtered[to..to + plane]);
            done += 1;
        }
        let at = |x: usize| &filtered[x % kept * plane..][..plane];
        let out = &mut values[x * plane..][..plane];
        scale(out, at(x), weights[0][0]);
        for ([before, after], weight) in taps.iter().zip(&weights[0][1..]) {
            add_pair(out, at(before[x]), at(after[x]), *weight);
        }
    }
}

/// A filter along y and z.
struct PlaneFilter<'a> {
    weights: [&'a [f32]; 2],
    /// For each distance, the rows before and after each row.
    rows: Vec<[Vec<usize>; 2]>,
    /// For each voxel of a padded row its index in the row.
    padding: Vec<usize>,
    padded: Vec<f32>,
    /// The plane, filtered along z.
    along_z: Vec<f32>,
    size_z: usize,
}

impl<'a> PlaneFilter<'a> {
    fn new(extent: &Extent, weights: [&'a [f32]; 2], mirror: Mirror) -> Self {
        let [_, size_y, size_z] = extent.shape;
        let [radius_y, radius_z] = weights.map(|weights| weights.len() - 1);
        let rows =
            (1..=radius_y as i64).map(|step| [-step, step].map(|step| extent.neighbours(1, step, mirror))).collect();
        let before = (1..=radius_z as i64).rev().map(|step| extent.neighbour(2, 0, -step, mirror));
        let after = (1..=radius_z as i64).map(|step| extent.neighbour(2, size_z - 1, step, mirror));
        let padding: Vec<usize> = before.chain(0..size_z).chain(after).collect();
        let padded = vec![0.0; padding.len()];
        Self { weights, rows, padding, padded, along_z: vec![0.0; size_y * size_z], size_z }
    }

    fn apply(&mut self, plane: &[f32], out: &mut [f32]) {
        let (size_z, [weights_y, weights_z]) = (self.size_z, self.weights);
        let radius = weights_z.len() - 1;
        for (row, filtered) in plane.chunks_exact(size_z).zip(self.along_z.chunks_exact_mut(size_z)) {
            self.padded[radius..radius + size_z].copy_from_slice(row);
            for index in (0..radius).chain(radius + size_z..self.padded.len()) {
                self.padded[index] = row[self.padding[index]];
            }
            filter_row(&self.padded, weights_z, filtered);
        }
        for (y, out) in out.chunks_exact_mut(size_z).enumerate() {
            let row = |y: usize| &self.along_z[y * size_z..][..size_z];
            scale(out, row(y), weights_y[0]);
            for ([before, after], weight) in self.rows.iter().zip(&weights_y[1..]) {
                add_pair(out, row(before[y]), row(after[y]), *weight);
            }
        }
    }
}

vectorized! {
    /// Filters a row, which is padded by the radius on either side.
    fn filter_row(padded: &[f32], weights: &[f32], out: &mut [f32]) {
        let (radius, length) = (weights.len() - 1, out.len());
        let shifted = |by: usize| &padded[by..by + length];
        for (out, value) in out.iter_mut().zip(shifted(radius)) {
            *out = value * weights[0];
        }
        for (step, weight) in weights.iter().enumerate().skip(1) {
            let pairs = shifted(radius - step).iter().zip(shifted(radius + step));
            for (out, (before, after)) in out.iter_mut().zip(pairs) {
                *out += (before + after) * weight;
            }
        }
    }
}

vectorized! {
    fn scale(out: &mut [f32], values: &[f32], weight: f32) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = value * weight);
    }
}

vectorized! {
    fn add_pair(out: &mut [f32], before: &[f32], after: &[f32], weight: f32) {
        let pairs = before.iter().zip(after);
        out.iter_mut().zip(pairs).for_each(|(out, (before, after))| *out += (before + after) * weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::offset;

    #[test]
    fn every_axis_is_filtered_and_mirrored() {
        let shape = [5, 4, 6];
        let values: Vec<f32> = (0..120).map(|i| (i as f32 * 0.7).sin()).collect();
        let weights: [&[f32]; 3] = [&[0.5, 0.2, 0.05], &[1.0], &[0.4, 0.3]];
        let mut result = values.clone();
        filter(&mut result, &Extent { start: [0; 3], shape, volume: shape }, weights, Mirror::Centre);
        let taps = |axis: usize, index: usize| -> Vec<(usize, f32)> {
            let radius = weights[axis].len() as i64 - 1;
            let tap = |step: i64| {
                (
                    Mirror::Centre.index(index as i64 + step, shape[axis] as i64),
                    weights[axis][step.unsigned_abs() as usize],
                )
            };
            (-radius..=radius).map(tap).collect()
        };
        for (x, y, z) in (0..5).flat_map(|x| (0..4).flat_map(move |y| (0..6).map(move |z| (x, y, z)))) {
            let mut expected = 0.0;
            for (i, a) in taps(0, x) {
                for (j, b) in taps(1, y) {
                    for (k, c) in taps(2, z) {
                        expected += values[offset(shape, [i, j, k])] * a * b * c;
                    }
                }
            }
            let actual = result[offset(shape, [x, y, z])];
            assert!((actual - expected).abs() < 1e-6, "{actual} {expected} at {x} {y} {z}");
        }
    }
}

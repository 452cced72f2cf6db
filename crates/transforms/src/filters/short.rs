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

    /// Returns for each voxel along an axis, and each distance up to a radius, its neighbours before and after it.
    fn neighbours(&self, axis: usize, radius: usize, mirror: Mirror) -> Vec<[usize; 2]> {
        let pair = |index: usize, step: i64| [-step, step].map(|step| self.neighbour(axis, index, step, mirror));
        let pairs = |index: usize| (1..=radius as i64).map(move |step| pair(index, step));
        (0..self.shape[axis]).flat_map(pairs).collect()
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
    let neighbours = extent.neighbours(0, radius[0], mirror);
    let mut pairs = Vec::with_capacity(radius[0]);
    let mut done = 0;
    for x in 0..size_x {
        // The filter along x reads planes that are not yet replaced by results.
        while done < size_x.min(x + radius[0] + 1) {
            let to = done % kept * plane;
            in_plane.apply(&values[done * plane..][..plane], &mut filtered[to..to + plane]);
            done += 1;
        }
        let at = |x: usize| x % kept * plane;
        pairs.clear();
        pairs.extend(neighbours[x * radius[0]..][..radius[0]].iter().map(|pair| pair.map(at)));
        weigh_plane(&filtered, at(x), &pairs, weights[0], &mut values[x * plane..][..plane]);
    }
}

/// A filter along y and z.
struct PlaneFilter<'a> {
    weights: [&'a [f32]; 2],
    /// For each row, and each distance, the positions of the rows before and after it.
    rows: Vec<[usize; 2]>,
    /// For each voxel of a padded row its index in the row.
    padding: Vec<usize>,
    padded: Vec<f32>,
    /// For each distance, the positions of the voxels before and after the first one of a padded row.
    voxels: Vec<[usize; 2]>,
    /// The plane, filtered along z.
    along_z: Vec<f32>,
    size_z: usize,
}

impl<'a> PlaneFilter<'a> {
    fn new(extent: &Extent, weights: [&'a [f32]; 2], mirror: Mirror) -> Self {
        let [_, size_y, size_z] = extent.shape;
        let [radius_y, radius_z] = weights.map(|weights| weights.len() - 1);
        let rows = extent.neighbours(1, radius_y, mirror).into_iter().map(|pair| pair.map(|y| y * size_z)).collect();
        let before = (1..=radius_z as i64).rev().map(|step| extent.neighbour(2, 0, -step, mirror));
        let after = (1..=radius_z as i64).map(|step| extent.neighbour(2, size_z - 1, step, mirror));
        let padding: Vec<usize> = before.chain(0..size_z).chain(after).collect();
        let padded = vec![0.0; padding.len()];
        let voxels = (1..=radius_z).map(|step| [radius_z - step, radius_z + step]).collect();
        Self { weights, rows, padding, padded, voxels, along_z: vec![0.0; size_y * size_z], size_z }
    }

    fn apply(&mut self, plane: &[f32], out: &mut [f32]) {
        let (size_z, [weights_y, weights_z]) = (self.size_z, self.weights);
        weigh_voxels(plane, &self.padding, &mut self.padded, &self.voxels, weights_z, &mut self.along_z);
        weigh_rows(&self.along_z, size_z, &self.rows, weights_y, out);
    }
}

vectorized! {
    /// Filters the rows of a plane along z, each of which is padded on either side.
    fn weigh_voxels(
        plane: &[f32],
        padding: &[usize],
        padded: &mut [f32],
        pairs: &[[usize; 2]],
        weights: &[f32],
        out: &mut [f32],
    ) {
        let radius = pairs.len();
        let size = padding.len() - 2 * radius;
        for (row, out) in plane.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            padded[radius..radius + size].copy_from_slice(row);
            for index in (0..radius).chain(radius + size..padding.len()) {
                padded[index] = row[padding[index]];
            }
            weigh(padded, radius, pairs, weights, out);
        }
    }
}

vectorized! {
    /// Filters the rows of a plane along y.
    fn weigh_rows(plane: &[f32], size: usize, pairs: &[[usize; 2]], weights: &[f32], out: &mut [f32]) {
        let radius = weights.len() - 1;
        for (y, out) in out.chunks_exact_mut(size).enumerate() {
            weigh(plane, y * size, &pairs[y * radius..][..radius], weights, out);
        }
    }
}

vectorized! {
    /// Filters a plane along x.
    fn weigh_plane(planes: &[f32], centre: usize, pairs: &[[usize; 2]], weights: &[f32], out: &mut [f32]) {
        weigh(planes, centre, pairs, weights, out);
    }
}

/// Voxels that are summed in registers, and fewer for short rows.
const LANES: [usize; 2] = [32, 8];

/// Computes the weighted sums of values from the position `centre` on, and of those from the pairs of positions on.
#[inline(always)]
fn weigh(values: &[f32], centre: usize, pairs: &[[usize; 2]], weights: &[f32], out: &mut [f32]) {
    let mut first = 0;
    while first + LANES[0] <= out.len() {
        weigh_lanes::<{ LANES[0] }>(values, first, centre, pairs, weights, out);
        first += LANES[0];
    }
    while first < out.len() && out.len() >= LANES[1] {
        // The last values may overlap those before.
        weigh_lanes::<{ LANES[1] }>(values, first.min(out.len() - LANES[1]), centre, pairs, weights, out);
        first += LANES[1];
    }
    for first in first..out.len() {
        weigh_lanes::<1>(values, first, centre, pairs, weights, out);
    }
}

#[inline(always)]
fn weigh_lanes<const N: usize>(
    values: &[f32],
    first: usize,
    centre: usize,
    pairs: &[[usize; 2]],
    weights: &[f32],
    out: &mut [f32],
) {
    let mut sums = [0.0f32; N];
    let values = &values[first..];
    let centre = &values[centre..centre + N];
    for lane in 0..N {
        sums[lane] = centre[lane] * weights[0];
    }
    for ([before, after], weight) in pairs.iter().zip(&weights[1..]) {
        let (before, after) = (&values[*before..*before + N], &values[*after..*after + N]);
        for lane in 0..N {
            sums[lane] += (before[lane] + after[lane]) * weight;
        }
    }
    out[first..first + N].copy_from_slice(&sums);
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

//! Resampling predictions back to the grid of the image file, after a preprocess chain that resampled whole volumes as nnU-Net.

use std::ops::Range;

use rayon::prelude::*;

use super::blend::Planes;
use transforms::lazy::ZoomBack;
use transforms::{LatticeAxis, LinearSample};
use volume::Label;

/// Resamples planes of the preprocessed grid, as they are finished, to voxels of the image file.
///
/// Interpolation is linear along each axis, or by the nearest slice along a separate axis. Each voxel of the file is computed
/// once, when both planes around it are finished; voxels that a crop removed are never computed.
#[derive(Debug)]
pub struct InverseZoom<'a> {
    back: &'a ZoomBack,
    file: [usize; 3],
    /// The voxels of the preprocessed grid around each voxel after resampling, along each axis.
    samples: [Vec<LinearSample>; 3],
}

/// Buffers of a thread.
#[derive(Default)]
struct Buffers {
    /// The plane in between two planes, `[class, y, z]`.
    plane: Vec<f32>,
    /// A row in between two rows.
    row: Vec<f32>,
    /// A row after resampling, `[class, z]`.
    scores: Vec<f32>,
}

impl<'a> InverseZoom<'a> {
    /// Creates a resampler to a file of this shape.
    pub fn new(back: &'a ZoomBack, file: [usize; 3]) -> Self {
        Self { back, file, samples: std::array::from_fn(|axis| back.zoom.linear(axis)) }
    }

    /// Writes the label of each voxel of the file that the planes complete; `map` is `[x, y, z]`. `decide` receives values
    /// `[class, voxel]` and writes labels.
    pub fn write_labels(&self, planes: &Planes, map: &mut [Label], decide: impl Fn(&mut [f32], &mut [Label]) + Sync) {
        let [_, size_y, size_z] = self.back.zoom.to;
        let compute = |buffers: &mut Buffers, x: usize| {
            let mut labels = vec![0; size_y * size_z];
            self.for_each_row(planes, x, buffers, |y, scores| decide(scores, &mut labels[y * size_z..][..size_z]));
            labels
        };
        self.for_each_plane(planes, compute, |x, labels| self.scatter(x, &labels, map, |to, label| *to = label));
    }

    /// Adds `factor` times the probabilities of each voxel of the file that the planes complete; `sums` is
    /// `[class, x, y, z]`. `activate` converts values `[class, voxel]` to probabilities.
    pub fn add_probabilities(
        &self,
        planes: &Planes,
        factor: f32,
        sums: &mut [f32],
        activate: impl Fn(&mut [f32]) + Sync,
    ) {
        let [_, size_y, size_z] = self.back.zoom.to;
        let compute = |buffers: &mut Buffers, x: usize| {
            let mut values = vec![0.0; planes.classes * size_y * size_z];
            self.for_each_row(planes, x, buffers, |y, scores| {
                activate(scores);
                for (class, scores) in scores.chunks_exact(size_z).enumerate() {
                    values[(class * size_y + y) * size_z..][..size_z].copy_from_slice(scores);
                }
            });
            values
        };
        let voxels: usize = self.file.iter().product();
        self.for_each_plane(planes, compute, |x, values| {
            for (values, sums) in values.chunks_exact(size_y * size_z).zip(sums.chunks_exact_mut(voxels)) {
                self.scatter(x, values, sums, |sum, value| *sum += factor * value);
            }
        });
    }

    /// Adds `factor` to the background probability of each voxel outside the preprocessed grid; `background` is `[x, y, z]`.
    pub fn add_background_outside(&self, factor: f32, background: &mut [f32]) {
        let mut inside = [0..0, 0..0, 0..0];
        for axis in 0..3 {
            let covered = self.inside(axis);
            let LatticeAxis { source, flipped, offset } = self.back.lattice.axes[axis];
            let at = |index: usize| if flipped { offset - index as i64 } else { offset + index as i64 } as usize;
            inside[source] = match covered.is_empty() {
                true => 0..0,
                false if flipped => at(covered.end - 1)..at(covered.start) + 1,
                false => at(covered.start)..at(covered.end - 1) + 1,
            };
        }
        let [_, size_y, size_z] = self.file;
        background.par_chunks_exact_mut(size_y * size_z).enumerate().for_each(|(x, slice)| {
            for (y, row) in slice.chunks_exact_mut(size_z).enumerate() {
                let covered = if inside[0].contains(&x) && inside[1].contains(&y) { inside[2].clone() } else { 0..0 };
                row.iter_mut().enumerate().filter(|(z, _)| !covered.contains(z)).for_each(|(_, sum)| *sum += factor);
            }
        });
    }

    /// Computes each plane that the planes complete, several at a time, and takes the results in order.
    fn for_each_plane<T: Send>(
        &self,
        planes: &Planes,
        compute: impl Fn(&mut Buffers, usize) -> T + Sync,
        mut take: impl FnMut(usize, T),
    ) {
        let new = planes.first + planes.num_repeated..planes.end();
        let completed: Vec<usize> = self.inside(0).filter(|x| new.contains(&self.samples[0][*x].high)).collect();
        for some in completed.chunks(2 * rayon::current_num_threads()) {
            let computed: Vec<T> =
                some.par_iter().map_init(Buffers::default, |buffers, x| compute(buffers, *x)).collect();
            some.iter().zip(computed).for_each(|(x, computed)| take(*x, computed));
        }
    }

    /// Calls `row` with each row of a plane after resampling: its index along y, and its values `[class, z]`.
    fn for_each_row(&self, planes: &Planes, x: usize, buffers: &mut Buffers, mut row: impl FnMut(usize, &mut [f32])) {
        let ([_, from_y, from_z], size_z) = (planes.shape, self.back.zoom.to[2]);
        let size = planes.classes * from_y * from_z;
        let plane = |x: usize| &planes.values[(x - planes.first) * size..][..size];
        let LinearSample { low, high, weight } = self.samples[0][x];
        let Buffers { plane: between, row: line, scores } = buffers;
        let values = interpolated(plane(low), plane(high), weight, between);
        scores.resize(planes.classes * size_z, 0.0);
        for (y, LinearSample { low, high, weight }) in self.samples[1].iter().enumerate() {
            for (class, scores) in scores.chunks_exact_mut(size_z).enumerate() {
                let at = |y: usize| &values[(class * from_y + y) * from_z..][..from_z];
                let line = interpolated(at(*low), at(*high), *weight, line);
                if self.back.zoom.keeps(2) {
                    scores.copy_from_slice(line);
                    continue;
                }
                for (score, LinearSample { low, high, weight }) in scores.iter_mut().zip(&self.samples[2]) {
                    let (low, weight) = (line[*low], *weight as f32);
                    *score = low + (line[*high] - low) * weight;
                }
            }
            row(y, scores);
        }
    }

    /// Passes each value of a plane after resampling, `[y, z]`, to the voxel of the file.
    fn scatter<T: Copy, U>(&self, x: usize, plane: &[T], file: &mut [U], write: impl Fn(&mut U, T)) {
        let strides = [self.file[1] * self.file[2], self.file[2], 1].map(|stride| stride as i64);
        let step = |axis: usize| {
            let LatticeAxis { source, flipped, .. } = self.back.lattice.axes[axis];
            if flipped { -strides[source] } else { strides[source] }
        };
        let origin: i64 = self.back.lattice.axes.iter().map(|axis| axis.offset * strides[axis.source]).sum();
        let size_z = self.back.zoom.to[2];
        for y in self.inside(1) {
            let start = origin + x as i64 * step(0) + y as i64 * step(1);
            for z in self.inside(2) {
                write(&mut file[(start + z as i64 * step(2)) as usize], plane[y * size_z + z]);
            }
        }
    }

    /// Returns the voxels along an axis after resampling that are in the file.
    fn inside(&self, axis: usize) -> Range<usize> {
        let (size, LatticeAxis { source, flipped, offset }) = (self.back.zoom.to[axis], self.back.lattice.axes[axis]);
        let last = self.file[source] as i64 - 1;
        let (first, end) = if flipped { (offset - last, offset + 1) } else { (-offset, last - offset + 1) };
        let within = |index: i64| index.clamp(0, size as i64) as usize;
        within(first)..within(end).max(within(first))
    }
}

/// Returns the values between two lists of values: the first of them, or those in the buffer.
fn interpolated<'a>(low: &'a [f32], high: &[f32], weight: f64, buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if weight == 0.0 {
        return low;
    }
    let weight = weight as f32;
    buffer.clear();
    buffer.extend(low.iter().zip(high).map(|(low, high)| low + (high - low) * weight));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use transforms::{Interpolation, Lattice, Zoom};

    /// Passes planes `[x, class, y, z]` on in slabs of `slab` planes.
    fn in_slabs(shape: [usize; 3], values: &[f32], classes: usize, slab: usize, mut take: impl FnMut(&Planes)) {
        let plane = classes * shape[1] * shape[2];
        for start in (0..shape[0]).step_by(slab) {
            let (first, end) = (start.saturating_sub(1), (start + slab).min(shape[0]));
            let values = &values[first * plane..end * plane];
            take(&Planes { first, num_repeated: start - first, classes, shape, values });
        }
    }

    fn back(from: [usize; 3], to: [usize; 3], separate_axis: Option<usize>, axes: [(usize, bool, i64); 3]) -> ZoomBack {
        let axes = axes.map(|(source, flipped, offset)| LatticeAxis { source, flipped, offset });
        let zoom = Zoom { from, to, interpolation: Interpolation::Linear, separate_axis };
        ZoomBack { zoom, lattice: Lattice { axes } }
    }

    /// A function that is linear along each axis, of voxels of the preprocessed grid.
    fn value(class: usize, [x, y, z]: [f64; 3]) -> f64 {
        (1.0 + class as f64) * (0.5 + x) * (2.0 - 0.3 * y) + z
    }

    fn planes(shape: [usize; 3], classes: usize) -> Vec<f32> {
        let mut values = Vec::new();
        for x in 0..shape[0] {
            for class in 0..classes {
                for y in 0..shape[1] {
                    values.extend((0..shape[2]).map(|z| value(class, [x, y, z].map(|index| index as f64)) as f32));
                }
            }
        }
        values
    }

    /// Checks every voxel of a file against the definition of each axis.
    fn check(back: &ZoomBack, file: [usize; 3]) {
        let (zoom, resampler) = (back.zoom, InverseZoom::new(back, file));
        let voxels: usize = file.iter().product();
        let mut expected = vec![f64::NAN; 2 * voxels];
        for index in 0..zoom.to.iter().product() {
            let after = volume::unravel_index(zoom.to, index);
            let point = std::array::from_fn(|axis| {
                let ratio = zoom.from[axis] as f64 / zoom.to[axis] as f64;
                let point = ((after[axis] as f64 + 0.5) * ratio - 0.5).clamp(0.0, zoom.from[axis] as f64 - 1.0);
                if zoom.separate_axis == Some(axis) { (point + 0.5).floor() } else { point }
            });
            let mut at = [0i64; 3];
            for (axis, LatticeAxis { source, flipped, offset }) in back.lattice.axes.into_iter().enumerate() {
                at[source] = if flipped { offset - after[axis] as i64 } else { offset + after[axis] as i64 };
            }
            if (0..3).all(|axis| (0..file[axis] as i64).contains(&at[axis])) {
                let voxel = volume::offset(file, at.map(|index| index as usize));
                (0..2).for_each(|class| expected[class * voxels + voxel] = value(class, point));
            }
        }
        for slab in 1..=zoom.from[0] {
            let (mut sums, mut labels) = (vec![0.0; 2 * voxels], vec![9; voxels]);
            let values = planes(zoom.from, 2);
            in_slabs(zoom.from, &values, 2, slab, |planes| {
                resampler.add_probabilities(planes, 0.5, &mut sums, |scores| scores.iter_mut().for_each(|v| *v += 1.0));
                resampler.write_labels(planes, &mut labels, |scores, labels| {
                    let (first, second) = scores.split_at(labels.len());
                    labels
                        .iter_mut()
                        .zip(first.iter().zip(second))
                        .for_each(|(label, (a, b))| *label = Label::from(a < b));
                });
            });
            for voxel in 0..voxels {
                let [a, b] = [expected[voxel], expected[voxels + voxel]];
                if a.is_nan() {
                    assert_eq!((labels[voxel], sums[voxel]), (9, 0.0));
                    continue;
                }
                assert!((f64::from(sums[voxel]) - 0.5 * (a + 1.0)).abs() < 1e-5, "{voxel}: {} {a}", sums[voxel]);
                assert!((f64::from(sums[voxels + voxel]) - 0.5 * (b + 1.0)).abs() < 1e-5);
                assert_eq!(labels[voxel], Label::from(a < b));
            }
            let mut background = vec![0.0; voxels];
            resampler.add_background_outside(0.25, &mut background);
            let outside = (0..voxels).map(|voxel| if expected[voxel].is_nan() { 0.25 } else { 0.0 });
            assert!(background.into_iter().eq(outside), "the background is what no plane covers");
        }
    }

    const STRAIGHT: [(usize, bool, i64); 3] = [(0, false, 0), (1, false, 0), (2, false, 0)];

    #[test]
    fn finer_and_coarser_files_are_interpolated_however_thick_the_slabs() {
        check(&back([3, 4, 5], [7, 4, 3], None, STRAIGHT), [7, 4, 3]);
        check(&back([5, 2, 3], [3, 5, 8], None, STRAIGHT), [3, 5, 8]);
        check(&back([3, 4, 5], [3, 4, 5], None, STRAIGHT), [3, 4, 5]);
    }

    #[test]
    fn the_nearest_slice_is_taken_along_a_separate_axis() {
        for axis in 0..3 {
            check(&back([4, 4, 4], [2, 7, 5], Some(axis), STRAIGHT), [2, 7, 5]);
        }
    }

    #[test]
    fn crops_flips_and_permutations_are_undone_and_padding_is_left_out() {
        check(&back([2, 3, 4], [3, 4, 5], None, [(0, false, 2), (1, false, 1), (2, false, 3)]), [6, 7, 8]);
        check(&back([2, 3, 4], [3, 4, 5], Some(1), [(2, true, 4), (0, false, 1), (1, true, 5)]), [6, 7, 8]);
        // The volume was padded along x and z before it was resampled.
        check(&back([4, 3, 3], [5, 4, 6], None, [(0, false, -1), (1, false, 0), (2, true, 4)]), [3, 4, 4]);
    }
}

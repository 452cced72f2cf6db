//! A smooth field of displacements: a cubic B-spline over a coarse grid of control points.

#[cfg(target_arch = "x86_64")]
mod vector;

use crate::data::orientation::axes_to_ras;
use crate::data::volume::{Grid, offset};

/// A field of displacements over a grid, as ITK's BSplineTransform of order 3.
///
/// The control points span the grid and an eighth of a voxel around it; one ring of them lies outside. Beyond that
/// nothing is displaced. All lengths are in voxels of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Displacement {
    /// Control points along x, y and z.
    points: [usize; 3],
    /// The displacement at each control point, `[x, y, z]` with z fastest.
    values: Vec<[f64; 3]>,
    /// Control points per voxel.
    density: [f64; 3],
    /// Voxels along x, y and z.
    shape: [usize; 3],
    /// No voxel is displaced farther along each axis.
    farthest: [f64; 3],
    /// The displacement along one axis changes no faster along another: `[displaced axis][other axis]`.
    slopes: [[f64; 3]; 3],
}

/// The field reaches so far beyond the outermost voxels' centres: half a voxel, and ITK's margin.
const MARGIN: f64 = 0.5 + 0.125;

/// Control points that decide the displacement of a place, along each axis.
const TAPS: usize = 4;

impl Displacement {
    /// A field from displacements in LPS millimetres, as TorchIO and ITK give them: control points `[x, y, z]` run to
    /// the patient's left, to the back and to the head along the grid's axes that do so most nearly; z fastest.
    ///
    /// # Panics
    /// When there are fewer than 4 points along an axis, or another number of values.
    pub fn new(world_points: [usize; 3], values_mm: &[[f64; 3]], grid: &Grid) -> Self {
        let (points, values_mm) = turned(world_points, values_mm, grid);
        assert!(points.iter().all(|count| *count >= TAPS), "a cubic spline has 4 control points along each axis");
        assert_eq!(values_mm.len(), points.iter().product::<usize>(), "each control point has a displacement");
        let to_voxels = grid.affine.inverse().expect("the affine of a grid can be undone").linear();
        let values: Vec<[f64; 3]> = values_mm
            .iter()
            .map(|[left, back, head]| {
                let ras = [-left, -back, *head];
                to_voxels.map(|row| row.iter().zip(ras).map(|(a, b)| a * b).sum())
            })
            .collect();
        let spacing: [f64; 3] = std::array::from_fn(|axis| Self::spacing(points[axis], grid.shape[axis]));
        let largest = |of: &dyn Fn(&[f64; 3]) -> f64| values.iter().map(of).fold(0.0, f64::max);
        let farthest = std::array::from_fn(|axis| largest(&|value| value[axis].abs()));
        let slopes = slopes(points, &values, spacing);
        let density = spacing.map(|voxels| 1.0 / voxels);
        Self { points, values, density, shape: grid.shape, farthest, slopes }
    }

    /// Voxels between control points, of which so many span an axis of so many voxels.
    pub fn spacing(points: usize, size: usize) -> f64 {
        (size as f64 - 1.0 + 2.0 * MARGIN) / (points - (TAPS - 1)) as f64
    }

    /// No place is displaced farther along x, y and z, in voxels.
    pub fn farthest(&self) -> [f64; 3] {
        self.farthest
    }

    /// How fast the displacement along an axis changes along another, at most: `[displaced axis][other axis]`.
    pub fn slopes(&self) -> [[f64; 3]; 3] {
        self.slopes
    }

    /// The place of the field nearest to a place.
    pub fn clamped(&self, place: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| place[axis].clamp(-MARGIN, self.shape[axis] as f64 - 1.0 + MARGIN))
    }

    /// The displacement of a place, in voxels.
    pub fn at(&self, place: [f64; 3]) -> [f64; 3] {
        #[cfg(target_arch = "x86_64")]
        if vector::is_available() {
            // SAFETY: the processor has AVX2 and FMA.
            return unsafe { self.at_once(place) };
        }
        self.at_length(place)
    }

    /// The same, compiled for processors that fuse operations; others do so in many steps.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn at_once(&self, place: [f64; 3]) -> [f64; 3] {
        self.at_length(place)
    }

    // Without closures: they would not be compiled for the same processors.
    #[inline(always)]
    fn at_length(&self, place: [f64; 3]) -> [f64; 3] {
        let Some(x) = self.taps(0, place[0]) else { return [0.0; 3] };
        let Some(y) = self.taps(1, place[1]) else { return [0.0; 3] };
        let Some(z) = self.taps(2, place[2]) else { return [0.0; 3] };
        let mut sum = [0.0; 3];
        for k in 0..TAPS {
            add(&mut sum, z.weights[k], self.plane(&x, &y, z.first + k));
        }
        sum
    }

    /// Moves places `[x, y, z]`, each axis in its own array, by their displacements; the same bits as
    /// [`Displacement::at`].
    pub fn displace(&self, places: [&mut [f64]; 3]) {
        let [x, y, z] = places;
        if x.windows(2).all(|pair| pair[0] == pair[1]) && y.windows(2).all(|pair| pair[0] == pair[1]) {
            return self.displace_along_z(x, y, z);
        }
        let mut first = 0;
        #[cfg(target_arch = "x86_64")]
        if vector::is_available() {
            while first + vector::LANES <= x.len() {
                let four = first..first + vector::LANES;
                self.displace_four([&mut x[four.clone()], &mut y[four.clone()], &mut z[four]]);
                first += vector::LANES;
            }
        }
        self.displace_each([&mut x[first..], &mut y[first..], &mut z[first..]]);
    }

    fn displace_each(&self, [x, y, z]: [&mut [f64]; 3]) {
        for ((x, y), z) in x.iter_mut().zip(y).zip(z) {
            let moved = self.at([*x, *y, *z]);
            (*x, *y, *z) = (*x + moved[0], *y + moved[1], *z + moved[2]);
        }
    }

    /// Four places, most of which lie between the same control points: those of the first that is left at a time.
    #[cfg(target_arch = "x86_64")]
    fn displace_four(&self, places: [&mut [f64]; 3]) {
        let ends = self.shape.map(|size| size as f64 - 1.0 + MARGIN);
        let most = self.points.map(|count| (count - TAPS) as i32);
        // SAFETY: the processor has AVX2 and FMA, and each array holds four places.
        let (mut cells, shares) = unsafe { vector::taps(&places, MARGIN, ends, self.density, most) };
        let strides = [self.points[1] * self.points[2], self.points[2]];
        for lane in 0..vector::LANES {
            let Some(cell) = cells[lane] else { continue };
            let [x, y, z] = cell.map(|tap| tap as usize);
            let values = &self.values[x * strides[0] + y * strides[1] + z..];
            // SAFETY: the processor has AVX2 and FMA, and three more control points follow the first along each axis.
            let moved = unsafe { vector::displacements(values, strides, &shares) };
            for (other, of_other) in cells.iter_mut().enumerate().skip(lane) {
                if *of_other == Some(cell) {
                    (0..3).for_each(|axis| places[axis][other] += moved[axis][other]);
                    *of_other = None;
                }
            }
        }
    }

    /// Places on a line along z, which share their control points along x and y.
    fn displace_along_z(&self, x: &mut [f64], y: &mut [f64], z: &mut [f64]) {
        #[cfg(target_arch = "x86_64")]
        if vector::is_available() {
            // SAFETY: the processor has AVX2 and FMA.
            return unsafe { self.displace_along_z_at_once(x, y, z) };
        }
        self.displace_along_z_at_length(x, y, z);
    }

    /// The same, compiled for processors that fuse operations.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn displace_along_z_at_once(&self, x: &mut [f64], y: &mut [f64], z: &mut [f64]) {
        self.displace_along_z_at_length(x, y, z);
    }

    #[inline(always)]
    fn displace_along_z_at_length(&self, x: &mut [f64], y: &mut [f64], z: &mut [f64]) {
        let Some((x_taps, y_taps)) = x.first().and_then(|first| Some((self.taps(0, *first)?, self.taps(1, y[0])?)))
        else {
            return;
        };
        let mut known: Option<(usize, [[f64; 3]; TAPS])> = None;
        for ((x, y), z) in x.iter_mut().zip(y).zip(z) {
            let Some(taps) = self.taps(2, *z) else { continue };
            let values = match known {
                Some((first, values)) if first == taps.first => values,
                _ => {
                    let mut values = [[0.0; 3]; TAPS];
                    for (k, value) in values.iter_mut().enumerate() {
                        *value = self.plane(&x_taps, &y_taps, taps.first + k);
                    }
                    values
                }
            };
            known = Some((taps.first, values));
            let mut moved = [0.0; 3];
            for (weight, value) in taps.weights.into_iter().zip(values) {
                add(&mut moved, weight, value);
            }
            (*x, *y, *z) = (*x + moved[0], *y + moved[1], *z + moved[2]);
        }
    }

    /// The displacement at a control point along z, interpolated along x and y.
    #[inline(always)]
    fn plane(&self, x: &Taps, y: &Taps, k: usize) -> [f64; 3] {
        let mut plane = [0.0; 3];
        for i in 0..TAPS {
            let mut row = [0.0; 3];
            for j in 0..TAPS {
                let at = ((x.first + i) * self.points[1] + y.first + j) * self.points[2] + k;
                add(&mut row, y.weights[j], self.values[at]);
            }
            add(&mut plane, x.weights[i], row);
        }
        plane
    }

    /// The control points around a place along an axis, and their weights; `None` beyond the field.
    fn taps(&self, axis: usize, place: f64) -> Option<Taps> {
        self.tap(axis, place).map(|(first, share)| Taps { first, weights: weights(share) })
    }

    /// The first control point around a place along an axis, and how far behind the second one the place lies.
    fn tap(&self, axis: usize, place: f64) -> Option<(usize, f64)> {
        if place + MARGIN < 0.0 || place > self.shape[axis] as f64 - 1.0 + MARGIN {
            return None;
        }
        let knot = (place + MARGIN) * self.density[axis];
        let first = (knot as usize).min(self.points[axis] - TAPS);
        Some((first, knot - first as f64))
    }
}

/// Control points along a grid's axes, from those along the world's.
fn turned(world_points: [usize; 3], values: &[[f64; 3]], grid: &Grid) -> ([usize; 3], Vec<[f64; 3]>) {
    let turns = axes_to_ras(&grid.affine);
    // Left and back are where R and A are not.
    let is_backwards = [!turns[0].flipped, !turns[1].flipped, turns[2].flipped];
    let mut points = [0; 3];
    (0..3).for_each(|world| points[turns[world].source_axis] = world_points[world]);
    let value = |index: usize| {
        let place = [index / (points[1] * points[2]), index / points[2] % points[1], index % points[2]];
        let from: [usize; 3] = std::array::from_fn(|world| {
            let along = place[turns[world].source_axis];
            if is_backwards[world] { world_points[world] - 1 - along } else { along }
        });
        values[offset(world_points, from)]
    };
    (points, (0..values.len()).map(value).collect())
}

struct Taps {
    first: usize,
    weights: [f64; TAPS],
}

/// Adds a weighted displacement, in one rounding.
#[inline(always)]
fn add(sum: &mut [f64; 3], weight: f64, value: [f64; 3]) {
    for axis in 0..3 {
        sum[axis] = weight.mul_add(value[axis], sum[axis]);
    }
}

/// The cubic B-spline's weights of the four knots around a place that lies a share behind the second one.
pub fn weights(share: f64) -> [f64; 4] {
    let rest = 1.0 - share;
    let (square, cube) = (share * share, share * share * share);
    let (rest_square, rest_cube) = (rest * rest, rest * rest * rest);
    [rest_cube / 6.0, 2.0 / 3.0 - square + cube / 2.0, 2.0 / 3.0 - rest_square + rest_cube / 2.0, cube / 6.0]
}

/// A spline's slope is a mean of the differences between neighbouring control points.
fn slopes(points: [usize; 3], values: &[[f64; 3]], spacing: [f64; 3]) -> [[f64; 3]; 3] {
    let stride = [points[1] * points[2], points[2], 1];
    let mut slopes = [[0.0f64; 3]; 3];
    for (index, value) in values.iter().enumerate() {
        for along in 0..3 {
            if index / stride[along] % points[along] + 1 < points[along] {
                let next = values[index + stride[along]];
                for (axis, slopes) in slopes.iter_mut().enumerate() {
                    slopes[along] = slopes[along].max((next[axis] - value[axis]).abs() / spacing[along]);
                }
            }
        }
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::Affine;
    use crate::seed::{Purpose, Seed};

    fn grid() -> Grid {
        Grid { shape: [9, 7, 12], affine: Affine::scale_and_shift([1.0, 2.0, 0.5], [3.0; 3]) }
    }

    fn field() -> Displacement {
        let mut rng = Seed(1).stream(Purpose::Augment, 0, "", 0);
        let values: Vec<[f64; 3]> = (0..7 * 5 * 6).map(|_| std::array::from_fn(|_| rng.unit() - 0.5)).collect();
        Displacement::new([7, 5, 6], &values, &grid())
    }

    #[test]
    fn equal_control_points_move_everything_alike() {
        let field = Displacement::new([4, 5, 6], &[[1.0, 2.0, 3.0]; 120], &grid());
        let moved = field.at([4.0, 3.0, 5.5]);
        assert!(moved.iter().zip([-1.0, -1.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{moved:?}");
        assert_eq!(field.at([-1.0, 3.0, 5.5]), [0.0; 3]);
    }

    #[test]
    fn a_row_has_the_bits_of_its_places_one_by_one() {
        let field = field();
        for slope in [0.0, 0.21] {
            let place = |step: usize| [3.0 + slope * step as f64, 2.0, 0.9 * step as f64];
            let mut row: [Vec<f64>; 3] = std::array::from_fn(|axis| (0..13).map(|step| place(step)[axis]).collect());
            field.displace(row.each_mut().map(Vec::as_mut_slice));
            let found = |step: usize| -> [f64; 3] { std::array::from_fn(|axis| row[axis][step]) };
            for step in 0..13 {
                let (from, by) = (place(step), field.at(place(step)));
                assert_eq!(found(step), std::array::from_fn(|axis| from[axis] + by[axis]), "{step}");
            }
        }
    }

    #[test]
    fn no_place_moves_farther_or_faster_than_the_bounds_say() {
        let field = field();
        let mut rng = Seed(2).stream(Purpose::Augment, 0, "", 0);
        for _ in 0..500 {
            let place: [f64; 3] = std::array::from_fn(|axis| rng.unit() * (grid().shape[axis] as f64 - 1.01));
            let here = field.at(place);
            for along in 0..3 {
                let mut other = place;
                other[along] += 0.01;
                let there = field.at(other);
                for axis in 0..3 {
                    assert!(here[axis].abs() <= field.farthest()[axis]);
                    let slope = (there[axis] - here[axis]).abs() / 0.01;
                    assert!(slope <= field.slopes()[axis][along] + 1e-9, "{slope} {:?}", field.slopes());
                }
            }
        }
    }
}

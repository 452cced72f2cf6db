//! A smooth field of displacements: a cubic B-spline over a coarse grid of control points.

#[cfg(target_arch = "x86_64")]
mod vector;

use crate::data::orientation::AxisTurn;
use crate::data::volume::{Affine, Grid, offset};
#[cfg(target_arch = "x86_64")]
use crate::trusted::for_avx2;

/// A field of displacements over a grid, as ITK's BSplineTransform of order 3.
///
/// The control points span the grid and an eighth of a voxel around it; one ring of them lies outside. Places beyond
/// move as those at the end do; no voxel of a grid comes from there. All lengths are in voxels of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Displacement {
    /// Control points along x, y and z.
    points: [usize; 3],
    /// The displacements along each axis at the control points, `[x, y, z]` with z fastest.
    values: [Vec<f32>; 3],
    /// Control points per voxel.
    density: [f64; 3],
    /// No voxel is displaced farther along each axis.
    farthest: [f64; 3],
    /// The displacement along one axis changes no faster along another: `[displaced axis][other axis]`.
    slopes: [[f64; 3]; 3],
}

/// The field reaches so far beyond the outermost voxels' centres: half a voxel, and ITK's margin.
const MARGIN: f64 = 0.5 + 0.125;

/// Control points that decide the displacement of a place, along each axis.
const TAPS: usize = 4;

/// Eights of places that are taken at once, where that can be.
pub(crate) const EIGHTS: usize = 2;

impl Displacement {
    /// A field from displacements in LPS millimetres, as TorchIO and ITK give them: control points `[x, y, z]` run to
    /// the patient's left, to the back and to the head, each along an axis of the grid; z fastest.
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
        let values = std::array::from_fn(|axis| values.iter().map(|value| value[axis] as f32).collect());
        Self { points, values, density, farthest, slopes }
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

    /// From places in voxels of the grid to control points, of which the number 1 lies at the field's lower end.
    pub fn knots(&self) -> Affine {
        Affine::scale_and_shift(self.density, self.density.map(|density| density * MARGIN))
    }

    /// Control points per voxel along each axis.
    pub fn density(&self) -> [f32; 3] {
        self.density.map(|density| density as f32)
    }

    /// The displacement of a place, in voxels.
    pub fn at(&self, place: [f64; 3]) -> [f64; 3] {
        let knots = self.knots().apply(place).map(|knot| (knot.floor() as i64, (knot - knot.floor()) as f32));
        self.between_points(knots).map(f64::from)
    }

    /// The displacement of a place that lies a share of the way behind these cells' lower ends, in voxels.
    pub fn between_points(&self, knots: [(i64, f32); 3]) -> [f32; 3] {
        #[cfg(target_arch = "x86_64")]
        if let Some(displacement) = between_points_fused(self, knots) {
            return displacement;
        }
        self.between_points_at_length(knots)
    }

    // Without closures: they would not be compiled for the same processors.
    #[inline(always)]
    fn between_points_at_length(&self, knots: [(i64, f32); 3]) -> [f32; 3] {
        let (x, y, z) = (self.taps(0, knots[0]), self.taps(1, knots[1]), self.taps(2, knots[2]));
        let mut sums = [0.0; 3];
        for (sum, values) in sums.iter_mut().zip(&self.values) {
            for i in 0..TAPS {
                let mut plane = 0.0;
                for j in 0..TAPS {
                    let first = ((x.first + i) * self.points[1] + y.first + j) * self.points[2] + z.first;
                    let mut row = 0.0;
                    for (weight, value) in z.weights.into_iter().zip(&values[first..first + TAPS]) {
                        row = weight.mul_add(*value, row);
                    }
                    plane = y.weights[j].mul_add(row, plane);
                }
                *sum = x.weights[i].mul_add(plane, *sum);
            }
        }
        sums
    }

    /// The first of the control points around a place along an axis, and their weights; beyond the field those of its
    /// end.
    #[inline(always)]
    fn taps(&self, axis: usize, (cell, share): (i64, f32)) -> Taps {
        let last = self.points[axis] - TAPS;
        match usize::try_from(cell) {
            Err(_) => Taps { first: 0, weights: weights_single(0.0) },
            Ok(cell) if cell > last => Taps { first: last, weights: weights_single(1.0) },
            Ok(first) => Taps { first, weights: weights_single(share) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
for_avx2! {
    /// As [`Displacement::between_points`], for processors that fuse operations; others do so in many steps.
    fn between_points_fused(field: &Displacement, knots: [(i64, f32); 3]) -> [f32; 3] {
        field.between_points_at_length(knots)
    }
}

/// Control points along a grid's axes, from those along the world's.
fn turned(world_points: [usize; 3], values: &[[f64; 3]], grid: &Grid) -> ([usize; 3], Vec<[f64; 3]>) {
    let turns = control_axes(grid);
    let mut points = [0; 3];
    (0..3).for_each(|world| points[turns[world].source_axis] = world_points[world]);
    let value = |index: usize| {
        let place = [index / (points[1] * points[2]), index / points[2] % points[1], index % points[2]];
        let from: [usize; 3] = std::array::from_fn(|world| {
            let along = place[turns[world].source_axis];
            if turns[world].flipped { world_points[world] - 1 - along } else { along }
        });
        values[offset(world_points, from)]
    };
    (points, (0..values.len()).map(value).collect())
}

/// For each of left, back and head the grid's axis along which control points run there, and whether against it, as ITK's
/// BSplineTransformInitializer takes them: from the corner nearest to the lowest one of the box around the grid, for one
/// direction after another the edge that follows it most closely. On grids turned far that is not the nearest axis of each.
pub(super) fn control_axes(grid: &Grid) -> [AxisTurn; 3] {
    let to_lps = Affine::scale_and_shift([-1.0, -1.0, 1.0], [0.0; 3]).after(&grid.affine);
    let (low, high) = ([-MARGIN; 3], grid.shape.map(|size| size as f64 - 1.0 + MARGIN));
    let (lowest, _) = to_lps.box_of(low, high);
    let is_upper = |corner: usize, axis: usize| corner >> axis & 1 == 1;
    let far = |corner: &usize| {
        let end = |axis| if is_upper(*corner, axis) { high[axis] } else { low[axis] };
        let place = to_lps.apply([end(0), end(1), end(2)]);
        (0..3).map(|world| (place[world] - lowest[world]).powi(2)).sum::<f64>()
    };
    let begin = (0..8).min_by(|a, b| far(a).total_cmp(&far(b))).expect("a grid has eight corners");
    let spacing = grid.spacing();
    let mut left = vec![0, 1, 2];
    [0, 1, 2].map(|world| {
        let follows = |axis: usize| {
            let along = to_lps.0[world][axis] / spacing[axis];
            if is_upper(begin, axis) { -along } else { along }
        };
        // Of equally close ones the first.
        let best = (1..left.len())
            .fold(0, |best, other| if follows(left[other]) > follows(left[best]) { other } else { best });
        let source_axis = left.remove(best);
        AxisTurn { source_axis, flipped: is_upper(begin, source_axis) }
    })
}

struct Taps {
    first: usize,
    weights: [f32; TAPS],
}

/// The cubic B-spline's weights of the four knots around a place that lies a share behind the second one.
pub fn weights(share: f64) -> [f64; 4] {
    let rest = 1.0 - share;
    let (square, cube) = (share * share, share * share * share);
    let (rest_square, rest_cube) = (rest * rest, rest * rest * rest);
    [rest_cube / 6.0, 2.0 / 3.0 - square + cube / 2.0, 2.0 / 3.0 - rest_square + rest_cube / 2.0, cube / 6.0]
}

/// The same in single precision.
#[inline(always)]
fn weights_single(share: f32) -> [f32; TAPS] {
    let rest = 1.0 - share;
    let (square, rest_square) = (share * share, rest * rest);
    let (cube, rest_cube) = (square * share, rest_square * rest);
    [
        rest_cube * (1.0 / 6.0),
        2.0 / 3.0 - square + cube * 0.5,
        2.0 / 3.0 - rest_square + rest_cube * 0.5,
        cube * (1.0 / 6.0),
    ]
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
        assert!(moved.iter().zip([-1.0, -1.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{moved:?}");
        assert_eq!(field.at([-1.0, 3.0, 500.5]), field.at([-0.625, 3.0, 11.625]));
    }

    #[test]
    fn single_precision_is_near_double() {
        let field = field();
        let mut rng = Seed(3).stream(Purpose::Augment, 0, "", 0);
        for _ in 0..500 {
            let place: [f64; 3] = std::array::from_fn(|axis| rng.unit() * (grid().shape[axis] as f64 - 1.0));
            let knots = field.knots().apply(place);
            let mut sum = [0.0; 3];
            for index in 0..TAPS * TAPS * TAPS {
                let tap = [index / 16, index / 4 % 4, index % 4];
                let weight: f64 = (0..3).map(|axis| weights(knots[axis].fract())[tap[axis]]).product();
                let at = offset(field.points, std::array::from_fn(|axis| knots[axis] as usize + tap[axis]));
                (0..3).for_each(|axis| sum[axis] += weight * f64::from(field.values[axis][at]));
            }
            let found = field.at(place);
            assert!((0..3).all(|axis| (found[axis] - sum[axis]).abs() < 1e-6), "{found:?} {sum:?}");
        }
    }

    #[test]
    fn no_place_moves_farther_or_faster_than_the_bounds_say() {
        let field = field();
        let mut rng = Seed(2).stream(Purpose::Augment, 0, "", 0);
        for _ in 0..500 {
            let place: [f64; 3] = std::array::from_fn(|axis| rng.unit() * (grid().shape[axis] as f64 - 1.1));
            let here = field.at(place);
            for along in 0..3 {
                let mut other = place;
                other[along] += 0.1;
                let there = field.at(other);
                for axis in 0..3 {
                    assert!(here[axis].abs() <= field.farthest()[axis] + 1e-6);
                    let slope = (there[axis] - here[axis]).abs() / 0.1;
                    assert!(slope <= field.slopes()[axis][along] + 1e-5, "{slope} {:?}", field.slopes());
                }
            }
        }
    }
}

//! Elastic displacements: a cubic B-spline over a coarse grid of control points.

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use simd::for_avx2;
use volume::orientation::AxisOrientation;
use volume::{Affine, Grid, offset};

/// A displacement field over a grid, as ITK's BSplineTransform of order 3.
///
/// The control points span the grid and an eighth of a voxel around it; the outermost ones are outside. Points beyond the
/// field have the displacement at its end; no voxel of the grid is among them. All lengths are in voxels of the grid.
#[derive(Debug)]
pub struct ElasticDisplacement {
    /// Control points along x, y and z.
    points: [usize; 3],
    /// The displacements at the control points, `[x, y, z]` with z fastest.
    values: Vec<[f32; 3]>,
    /// For each cell along x and y, y fastest, the polynomials of displacements there; computed on first use.
    columns: Vec<OnceLock<[Vec<Surface>; 3]>>,
    /// Control points per voxel.
    density: [f64; 3],
    /// Maximum displacement along each axis.
    max_displacement: [f64; 3],
    /// Maximum slope of the displacement along one axis with respect to another: `[displaced axis][other axis]`.
    slopes: [[f64; 3]; 3],
}

impl PartialEq for ElasticDisplacement {
    fn eq(&self, other: &Self) -> bool {
        // The other fields are derived from these.
        (self.points, self.density, &self.values) == (other.points, other.density, &other.values)
    }
}

/// Extent of the field beyond the centres of the outermost voxels: half a voxel, and ITK's margin.
const MARGIN: f64 = 0.5 + 0.125;

/// Number of control points along each axis that determine the displacement of a point.
const TAPS: usize = 4;

/// The contribution of a plane of control points to points in their cell, as a polynomial of the positions in the cell
/// along x and y: its coefficients `[power of x][power of y]`. It needs a fifth fewer operations than weights of the points.
type Surface = [[f32; TAPS]; TAPS];

/// The coefficients of a cubic B-spline: `[power of the position in the cell][control point]`.
const POWERS: [[f64; TAPS]; TAPS] = [
    [1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0, 0.0],
    [-0.5, 0.0, 0.5, 0.0],
    [0.5, -1.0, 0.5, 0.0],
    [-1.0 / 6.0, 0.5, -0.5, 1.0 / 6.0],
];

/// Number of vectors of eight points that AVX2 code processes together.
pub(crate) const VECTORS: usize = 2;

impl ElasticDisplacement {
    /// Creates a field from displacements in LPS millimetres, as in TorchIO and ITK: control points `[x, y, z]` in LPS
    /// order, each along an axis of the grid, z fastest.
    ///
    /// # Panics
    /// When there are fewer than 4 points along an axis, or another number of values.
    pub fn new(world_points: [usize; 3], values_mm: &[[f64; 3]], grid: &Grid) -> Self {
        let (points, values_mm) = to_grid_axes(world_points, values_mm, grid);
        assert!(points.iter().all(|count| *count >= TAPS), "a cubic spline has 4 control points along each axis");
        assert_eq!(values_mm.len(), points.iter().product::<usize>(), "each control point has a displacement");
        let to_voxels = grid.affine.inverse().expect("the affine of a grid is invertible").linear();
        let values: Vec<[f64; 3]> = values_mm
            .iter()
            .map(|[x, y, z]| {
                let ras = [-x, -y, *z];
                to_voxels.map(|row| row.iter().zip(ras).map(|(a, b)| a * b).sum())
            })
            .collect();
        let spacing: [f64; 3] = std::array::from_fn(|axis| Self::spacing(points[axis], grid.shape[axis]));
        let max = |value: &dyn Fn(&[f64; 3]) -> f64| values.iter().map(value).fold(0.0, f64::max);
        let max_displacement = std::array::from_fn(|axis| max(&|value| value[axis].abs()));
        let slopes = slopes(points, &values, spacing);
        let density = spacing.map(|voxels| 1.0 / voxels);
        let values = values.iter().map(|value| value.map(|voxels| voxels as f32)).collect();
        let columns = (0..cells(points[0]) * cells(points[1])).map(|_| OnceLock::new()).collect();
        Self { points, values, columns, density, max_displacement, slopes }
    }

    /// Returns the distance in voxels between `points` control points along an axis of `size` voxels.
    pub fn spacing(points: usize, size: usize) -> f64 {
        (size as f64 - 1.0 + 2.0 * MARGIN) / cells(points) as f64
    }

    /// Returns the maximum displacement along x, y and z in voxels.
    pub fn max_displacement(&self) -> [f64; 3] {
        self.max_displacement
    }

    /// Returns the maximum slope of the displacement along one axis with respect to another: `[displaced axis][other axis]`.
    pub fn slopes(&self) -> [[f64; 3]; 3] {
        self.slopes
    }

    /// Returns the map from voxel coordinates to coordinates in control points; 0 is the lower end of the field.
    pub fn knots(&self) -> Affine {
        Affine::scale_and_shift(self.density, self.density.map(|density| density * MARGIN))
    }

    /// Returns the number of control points per voxel along each axis.
    pub fn density(&self) -> [f32; 3] {
        self.density.map(|density| density as f32)
    }

    /// Returns the displacement of a point in voxels.
    pub fn at(&self, point: [f64; 3]) -> [f64; 3] {
        let knots = self.knots().apply(point).map(|knot| (knot.floor() as i64, (knot - knot.floor()) as f32));
        self.interpolate(knots).map(f64::from)
    }

    /// Returns the displacement in voxels of a point, given its cell and its position in the cell (0 to 1) along each axis.
    pub fn interpolate(&self, knots: [(i64, f32); 3]) -> [f32; 3] {
        #[cfg(target_arch = "x86_64")]
        if let Some(displacement) = interpolate_fused(self, knots) {
            return displacement;
        }
        self.interpolate_unfused(knots)
    }

    // Without closures: they would not be compiled for the same processors.
    #[inline(always)]
    fn interpolate_unfused(&self, knots: [(i64, f32); 3]) -> [f32; 3] {
        let [x, y, z] = [self.cell(0, knots[0]), self.cell(1, knots[1]), self.cell(2, knots[2])];
        let column = self.column(x.0 * cells(self.points[1]) + y.0);
        let weights = weights_single(z.1);
        let mut sums = [0.0; 3];
        for (sum, surfaces) in sums.iter_mut().zip(column) {
            for (weight, surface) in weights.into_iter().zip(&surfaces[z.0..z.0 + TAPS]) {
                let mut plane = polynomial(&surface[TAPS - 1], y.1);
                for row in surface[..TAPS - 1].iter().rev() {
                    plane = plane.mul_add(x.1, polynomial(row, y.1));
                }
                *sum = weight.mul_add(plane, *sum);
            }
        }
        sums
    }

    /// Clamps a cell and the position in it to the field.
    #[inline(always)]
    fn cell(&self, axis: usize, (cell, position): (i64, f32)) -> (usize, f32) {
        let last = cells(self.points[axis]) - 1;
        match usize::try_from(cell) {
            Err(_) => (0, 0.0),
            Ok(cell) if cell > last => (last, 1.0),
            Ok(cell) => (cell, position),
        }
    }

    /// Returns the surfaces of a cell along x and y for the displacement along each axis, one per control point along z.
    #[inline(always)]
    fn column(&self, index: usize) -> &[Vec<Surface>; 3] {
        self.columns[index].get_or_init(|| {
            let (x, y) = (index / cells(self.points[1]), index % cells(self.points[1]));
            std::array::from_fn(|axis| (0..self.points[2]).map(|z| self.surface([x, y, z], axis)).collect())
        })
    }

    /// Returns the surface of the control points from an index on.
    fn surface(&self, [x, y, z]: [usize; 3], axis: usize) -> Surface {
        let value = |i: usize, j: usize| f64::from(self.values[offset(self.points, [x + i, y + j, z])][axis]);
        // Along y for each control point along x, then along x.
        let along_y: [[f64; TAPS]; TAPS] =
            std::array::from_fn(|i| POWERS.map(|points| (0..TAPS).map(|j| points[j] * value(i, j)).sum()));
        POWERS.map(|points| {
            std::array::from_fn(|power| (0..TAPS).map(|i| points[i] * along_y[i][power]).sum::<f64>() as f32)
        })
    }
}

/// Returns the number of cells along an axis of `points` control points.
#[inline(always)]
fn cells(points: usize) -> usize {
    points - (TAPS - 1)
}

#[inline(always)]
fn polynomial(coefficients: &[f32; TAPS], position: f32) -> f32 {
    let mut value = coefficients[TAPS - 1];
    for coefficient in coefficients[..TAPS - 1].iter().rev() {
        value = value.mul_add(position, *coefficient);
    }
    value
}

#[cfg(target_arch = "x86_64")]
for_avx2! {
    /// As [`ElasticDisplacement::interpolate`], compiled for processors with fused multiply-add; others emulate it.
    fn interpolate_fused(field: &ElasticDisplacement, knots: [(i64, f32); 3]) -> [f32; 3] {
        field.interpolate_unfused(knots)
    }
}

/// Reorders control points along the world's axes to the axes of a grid.
fn to_grid_axes(world_points: [usize; 3], values: &[[f64; 3]], grid: &Grid) -> ([usize; 3], Vec<[f64; 3]>) {
    let axes = control_axes(grid);
    let mut points = [0; 3];
    (0..3).for_each(|world| points[axes[world].source_axis] = world_points[world]);
    let value = |index: usize| {
        let point = [index / (points[1] * points[2]), index / points[2] % points[1], index % points[2]];
        let from: [usize; 3] = std::array::from_fn(|world| {
            let along = point[axes[world].source_axis];
            if axes[world].flipped { world_points[world] - 1 - along } else { along }
        });
        values[offset(world_points, from)]
    };
    (points, (0..values.len()).map(value).collect())
}

/// Returns for each LPS axis the grid's axis of the control points along it, and whether it is flipped, as ITK's
/// BSplineTransformInitializer: from the corner of the grid nearest to the lowest corner of its bounding box, for one
/// direction after the other the edge that is most parallel. For strongly rotated grids this is not the nearest axis of
/// each.
pub(crate) fn control_axes(grid: &Grid) -> [AxisOrientation; 3] {
    let to_lps = Affine::scale_and_shift([-1.0, -1.0, 1.0], [0.0; 3]).after(&grid.affine);
    let (low, high) = ([-MARGIN; 3], grid.shape.map(|size| size as f64 - 1.0 + MARGIN));
    let (lowest, _) = to_lps.map_box(low, high);
    let is_upper = |corner: usize, axis: usize| corner >> axis & 1 == 1;
    let distance = |corner: &usize| {
        let end = |axis| if is_upper(*corner, axis) { high[axis] } else { low[axis] };
        let point = to_lps.apply([end(0), end(1), end(2)]);
        (0..3).map(|world| (point[world] - lowest[world]).powi(2)).sum::<f64>()
    };
    let begin = (0..8).min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("a grid has eight corners");
    let spacing = grid.spacing();
    let mut unused = vec![0, 1, 2];
    [0, 1, 2].map(|world| {
        let cosine = |axis: usize| {
            let along = to_lps.0[world][axis] / spacing[axis];
            if is_upper(begin, axis) { -along } else { along }
        };
        // Among equally parallel axes, the first one.
        let best = (1..unused.len())
            .fold(0, |best, other| if cosine(unused[other]) > cosine(unused[best]) { other } else { best });
        let source_axis = unused.remove(best);
        AxisOrientation { source_axis, flipped: is_upper(begin, source_axis) }
    })
}

/// Returns the weights of the cubic B-spline for the four knots around a point at `position` (0 to 1) after the second.
pub fn weights(position: f64) -> [f64; 4] {
    let rest = 1.0 - position;
    let (square, cube) = (position * position, position * position * position);
    let (rest_square, rest_cube) = (rest * rest, rest * rest * rest);
    [rest_cube / 6.0, 2.0 / 3.0 - square + cube / 2.0, 2.0 / 3.0 - rest_square + rest_cube / 2.0, cube / 6.0]
}

/// As [`weights`] in single precision.
#[inline(always)]
fn weights_single(position: f32) -> [f32; TAPS] {
    let rest = 1.0 - position;
    let (square, rest_square) = (position * position, rest * rest);
    let (cube, rest_cube) = (square * position, rest_square * rest);
    [
        rest_cube * (1.0 / 6.0),
        2.0 / 3.0 - square + cube * 0.5,
        2.0 / 3.0 - rest_square + rest_cube * 0.5,
        cube * (1.0 / 6.0),
    ]
}

/// Returns bounds of the slopes: a spline's slope is a mean of the differences between neighbouring control points.
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
    use random::{Purpose, Seed};

    fn grid() -> Grid {
        Grid { shape: [9, 7, 12], affine: Affine::scale_and_shift([1.0, 2.0, 0.5], [3.0; 3]) }
    }

    const POINTS: [usize; 3] = [7, 5, 6];

    fn values_mm() -> Vec<[f64; 3]> {
        let mut rng = Seed(1).stream(Purpose::Augment, 0, "", 0);
        (0..POINTS.iter().product()).map(|_| std::array::from_fn(|_| rng.unit() - 0.5)).collect()
    }

    fn field() -> ElasticDisplacement {
        ElasticDisplacement::new(POINTS, &values_mm(), &grid())
    }

    #[test]
    fn equal_control_points_displace_all_points_equally() {
        let field = ElasticDisplacement::new([4, 5, 6], &[[1.0, 2.0, 3.0]; 120], &grid());
        let moved = field.at([4.0, 3.0, 5.5]);
        assert!(moved.iter().zip([-1.0, -1.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{moved:?}");
        assert_eq!(field.at([-1.0, 3.0, 500.5]), field.at([-0.625, 3.0, 11.625]));
    }

    #[test]
    fn single_precision_is_near_double() {
        let field = field();
        let (_, values_mm) = to_grid_axes(POINTS, &values_mm(), &grid());
        // To RAS, and from millimetres to voxels.
        let values: Vec<[f64; 3]> = values_mm.iter().map(|[x, y, z]| [-x, -y / 2.0, z / 0.5]).collect();
        let mut rng = Seed(3).stream(Purpose::Augment, 0, "", 0);
        for _ in 0..500 {
            let point: [f64; 3] = std::array::from_fn(|axis| rng.unit() * (grid().shape[axis] as f64 - 1.0));
            let knots = field.knots().apply(point);
            let mut sum = [0.0; 3];
            for index in 0..TAPS * TAPS * TAPS {
                let tap = [index / 16, index / 4 % 4, index % 4];
                let weight: f64 = (0..3).map(|axis| weights(knots[axis].fract())[tap[axis]]).product();
                let at = offset(field.points, std::array::from_fn(|axis| knots[axis] as usize + tap[axis]));
                (0..3).for_each(|axis| sum[axis] += weight * values[at][axis]);
            }
            let displacement = field.at(point);
            assert!((0..3).all(|axis| (displacement[axis] - sum[axis]).abs() < 1e-6), "{displacement:?} {sum:?}");
        }
    }

    #[test]
    fn displacements_and_slopes_are_within_their_bounds() {
        let field = field();
        let mut rng = Seed(2).stream(Purpose::Augment, 0, "", 0);
        for _ in 0..500 {
            let point: [f64; 3] = std::array::from_fn(|axis| rng.unit() * (grid().shape[axis] as f64 - 1.1));
            let here = field.at(point);
            for along in 0..3 {
                let mut other = point;
                other[along] += 0.1;
                let there = field.at(other);
                for axis in 0..3 {
                    assert!(here[axis].abs() <= field.max_displacement()[axis] + 1e-6);
                    let slope = (there[axis] - here[axis]).abs() / 0.1;
                    assert!(slope <= field.slopes()[axis][along] + 1e-5, "{slope} {:?}", field.slopes());
                }
            }
        }
    }
}

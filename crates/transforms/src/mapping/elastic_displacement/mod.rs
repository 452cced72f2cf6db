//! A smooth field of displacements: a cubic B-spline over a coarse grid of control points.

#[cfg(target_arch = "x86_64")]
mod vector;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use simd::for_avx2;
use volume::orientation::AxisOrientation;
use volume::{Affine, Grid, offset};

/// A field of displacements over a grid, as ITK's BSplineTransform of order 3.
///
/// The control points span the grid and an eighth of a voxel around it; one ring of them lies outside. Places beyond
/// move as those at the end do; no voxel of a grid comes from there. All lengths are in voxels of the grid.
#[derive(Debug)]
pub struct ElasticDisplacement {
    /// Control points along x, y and z.
    points: [usize; 3],
    /// The displacements at the control points, `[x, y, z]` with z fastest.
    values: Vec<[f32; 3]>,
    /// For each cell along x and along y, y fastest, what decides displacements there; found when it is first asked for.
    columns: Vec<OnceLock<[Vec<Surface>; 3]>>,
    /// Control points per voxel.
    density: [f64; 3],
    /// No voxel is displaced farther along each axis.
    farthest: [f64; 3],
    /// The displacement along one axis changes no faster along another: `[displaced axis][other axis]`.
    slopes: [[f64; 3]; 3],
}

impl PartialEq for ElasticDisplacement {
    fn eq(&self, other: &Self) -> bool {
        // All else follows from these.
        (self.points, self.density, &self.values) == (other.points, other.density, &other.values)
    }
}

/// The field reaches so far beyond the outermost voxels' centres: half a voxel, and ITK's margin.
const MARGIN: f64 = 0.5 + 0.125;

/// Control points that decide the displacement of a place, along each axis.
const TAPS: usize = 4;

/// What the control points of a plane give a place in their cell: the coefficients of a polynomial, `[power of the share
/// along x][power of that along y]`. It takes a fifth fewer operations than weights of the points.
type Surface = [[f32; TAPS]; TAPS];

/// The coefficients of a cubic B-spline's pieces: `[power of the share][control point]`.
const POWERS: [[f64; TAPS]; TAPS] = [
    [1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0, 0.0],
    [-0.5, 0.0, 0.5, 0.0],
    [0.5, -1.0, 0.5, 0.0],
    [-1.0 / 6.0, 0.5, -0.5, 1.0 / 6.0],
];

/// Eights of places that are taken at once, where that can be.
pub(crate) const EIGHTS: usize = 2;

impl ElasticDisplacement {
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
        let values = values.iter().map(|value| value.map(|voxels| voxels as f32)).collect();
        let columns = (0..cells(points[0]) * cells(points[1])).map(|_| OnceLock::new()).collect();
        Self { points, values, columns, density, farthest, slopes }
    }

    /// Voxels between control points, of which so many span an axis of so many voxels.
    pub fn spacing(points: usize, size: usize) -> f64 {
        (size as f64 - 1.0 + 2.0 * MARGIN) / cells(points) as f64
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

    /// The cell of a place along an axis, and its share of the way behind the cell's lower end; beyond the field the
    /// field's end.
    #[inline(always)]
    fn cell(&self, axis: usize, (cell, share): (i64, f32)) -> (usize, f32) {
        let last = cells(self.points[axis]) - 1;
        match usize::try_from(cell) {
            Err(_) => (0, 0.0),
            Ok(cell) if cell > last => (last, 1.0),
            Ok(cell) => (cell, share),
        }
    }

    /// For the displacement along each axis the surfaces of a cell along x and along y: one for each control point along z.
    #[inline(always)]
    fn column(&self, index: usize) -> &[Vec<Surface>; 3] {
        self.columns[index].get_or_init(|| {
            let (x, y) = (index / cells(self.points[1]), index % cells(self.points[1]));
            std::array::from_fn(|axis| (0..self.points[2]).map(|z| self.surface([x, y, z], axis)).collect())
        })
    }

    /// The surface of the control points from one on.
    fn surface(&self, [x, y, z]: [usize; 3], axis: usize) -> Surface {
        let value = |i: usize, j: usize| f64::from(self.values[offset(self.points, [x + i, y + j, z])][axis]);
        // Along y for each point along x, then along x.
        let along_y: [[f64; TAPS]; TAPS] =
            std::array::from_fn(|i| POWERS.map(|points| (0..TAPS).map(|j| points[j] * value(i, j)).sum()));
        POWERS.map(|points| {
            std::array::from_fn(|power| (0..TAPS).map(|i| points[i] * along_y[i][power]).sum::<f64>() as f32)
        })
    }
}

/// Cells along an axis of so many control points.
#[inline(always)]
fn cells(points: usize) -> usize {
    points - (TAPS - 1)
}

#[inline(always)]
fn polynomial(coefficients: &[f32; TAPS], share: f32) -> f32 {
    let mut value = coefficients[TAPS - 1];
    for coefficient in coefficients[..TAPS - 1].iter().rev() {
        value = value.mul_add(share, *coefficient);
    }
    value
}

#[cfg(target_arch = "x86_64")]
for_avx2! {
    /// As [`ElasticDisplacement::between_points`], for processors that fuse operations; others do so in many steps.
    fn between_points_fused(field: &ElasticDisplacement, knots: [(i64, f32); 3]) -> [f32; 3] {
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
pub(crate) fn control_axes(grid: &Grid) -> [AxisOrientation; 3] {
    let to_lps = Affine::scale_and_shift([-1.0, -1.0, 1.0], [0.0; 3]).after(&grid.affine);
    let (low, high) = ([-MARGIN; 3], grid.shape.map(|size| size as f64 - 1.0 + MARGIN));
    let (lowest, _) = to_lps.map_box(low, high);
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
        AxisOrientation { source_axis, flipped: is_upper(begin, source_axis) }
    })
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
    fn equal_control_points_move_everything_alike() {
        let field = ElasticDisplacement::new([4, 5, 6], &[[1.0, 2.0, 3.0]; 120], &grid());
        let moved = field.at([4.0, 3.0, 5.5]);
        assert!(moved.iter().zip([-1.0, -1.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{moved:?}");
        assert_eq!(field.at([-1.0, 3.0, 500.5]), field.at([-0.625, 3.0, 11.625]));
    }

    #[test]
    fn single_precision_is_near_double() {
        let field = field();
        let (_, values_mm) = turned(POINTS, &values_mm(), &grid());
        // To RAS, and from millimetres to voxels.
        let values: Vec<[f64; 3]> = values_mm.iter().map(|[x, y, z]| [-x, -y / 2.0, z / 0.5]).collect();
        let mut rng = Seed(3).stream(Purpose::Augment, 0, "", 0);
        for _ in 0..500 {
            let place: [f64; 3] = std::array::from_fn(|axis| rng.unit() * (grid().shape[axis] as f64 - 1.0));
            let knots = field.knots().apply(place);
            let mut sum = [0.0; 3];
            for index in 0..TAPS * TAPS * TAPS {
                let tap = [index / 16, index / 4 % 4, index % 4];
                let weight: f64 = (0..3).map(|axis| weights(knots[axis].fract())[tap[axis]]).product();
                let at = offset(field.points, std::array::from_fn(|axis| knots[axis] as usize + tap[axis]));
                (0..3).for_each(|axis| sum[axis] += weight * values[at][axis]);
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

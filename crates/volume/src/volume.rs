//! Plain arrays of voxels and the grids they lie on.
//!
//! Every array is in C order with axes `[channel, x, y, z]`: `z` runs fastest. World coordinates are
//! RAS millimetres: x to the patient's right … left is negative, y to the front, z to the head.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

/// The value of one voxel of a label map.
pub type Label = u16;

/// An affine map of points, as three rows of a 4x4 matrix whose last row is `0 0 0 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Affine(pub [[f64; 4]; 3]);

impl Affine {
    /// The map that leaves every point where it is.
    pub const IDENTITY: Self = Self([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);

    /// A map that scales each axis and then shifts it.
    pub fn scale_and_shift(scale: [f64; 3], shift: [f64; 3]) -> Self {
        let mut rows = [[0.0; 4]; 3];
        for axis in 0..3 {
            rows[axis][axis] = scale[axis];
            rows[axis][3] = shift[axis];
        }
        Self(rows)
    }

    /// A map from its linear part and the image of the origin.
    pub fn from_parts(linear: [[f64; 3]; 3], origin: [f64; 3]) -> Self {
        Self(std::array::from_fn(|row| [linear[row][0], linear[row][1], linear[row][2], origin[row]]))
    }

    /// The linear part, without the shift.
    pub fn linear(&self) -> [[f64; 3]; 3] {
        std::array::from_fn(|row| [self.0[row][0], self.0[row][1], self.0[row][2]])
    }

    /// Where the origin goes.
    pub fn origin(&self) -> [f64; 3] {
        std::array::from_fn(|row| self.0[row][3])
    }

    /// Where `point` goes.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            let [a, b, c, shift] = self.0[row];
            a * point[0] + b * point[1] + c * point[2] + shift
        })
    }

    /// The map that applies `first` and then `self`.
    pub fn after(&self, first: &Affine) -> Affine {
        let mut rows = [[0.0; 4]; 3];
        for (row, out) in rows.iter_mut().enumerate() {
            for (column, value) in out.iter_mut().enumerate() {
                *value = (0..3).map(|k| self.0[row][k] * first.0[k][column]).sum();
            }
            out[3] += self.0[row][3];
        }
        Affine(rows)
    }

    /// Determinant of the linear part; its magnitude is the volume of a voxel in mm³ when `self` is a grid's affine.
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = self.linear();
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    }

    /// The map that undoes `self`, or `None` where it squashes space flat.
    pub fn inverse(&self) -> Option<Affine> {
        let determinant = self.determinant();
        if !determinant.is_normal() {
            return None;
        }
        let m = self.linear();
        let cofactor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        let linear: [[f64; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|c| cofactor(c, r) / determinant));
        let origin = Affine::from_parts(linear, [0.0; 3]).apply(self.origin());
        Some(Affine::from_parts(linear, origin.map(|v| -v)))
    }

    /// The box around the image of a box, from its lowest to its highest corner.
    pub fn map_box(&self, low: [f64; 3], high: [f64; 3]) -> ([f64; 3], [f64; 3]) {
        let mut out = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for corner in 0..8 {
            let end = |axis: usize| if corner >> axis & 1 == 1 { high[axis] } else { low[axis] };
            for (axis, value) in self.apply([end(0), end(1), end(2)]).into_iter().enumerate() {
                out.0[axis] = out.0[axis].min(value);
                out.1[axis] = out.1[axis].max(value);
            }
        }
        out
    }

    /// Length of each column: millimetres per voxel along x, y and z of a grid's affine.
    pub fn spacing(&self) -> [f64; 3] {
        std::array::from_fn(|column| (0..3).map(|row| self.0[row][column].powi(2)).sum::<f64>().sqrt())
    }
}

/// Formats a spacing in millimetres, such as `0.8 x 0.8 x 2.5 mm`.
pub fn format_spacing(spacing: [f64; 3]) -> String {
    format!("{} mm", spacing.map(values::format_number).join(" x "))
}

/// The largest distance in millimetres between corresponding corners of two grids that count as equal.
pub const GRID_TOLERANCE_MM: f64 = 0.1;

/// Where voxels lie: how many there are and how their indices map to world coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    /// From voxel indices to RAS millimetres; integer indices are voxel centres.
    pub affine: Affine,
}

impl Grid {
    /// Number of voxels.
    pub fn num_voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Millimetres per voxel along x, y and z.
    pub fn spacing(&self) -> [f64; 3] {
        self.affine.spacing()
    }

    /// World coordinates of the middle of the grid, in mm.
    pub fn centre(&self) -> [f64; 3] {
        self.affine.apply(self.shape.map(|size| (size as f64 - 1.0) / 2.0))
    }

    /// Whether both grids have the same shape and voxels in the same places, to within `tolerance_mm` at every corner.
    pub fn matches(&self, other: &Grid, tolerance_mm: f64) -> bool {
        self.shape == other.shape
            && self.corners(&other.affine).all(|apart| apart.iter().all(|apart| apart.abs() <= tolerance_mm))
    }

    /// How far the corners of the grid lie at most from where another affine puts them, in mm.
    pub fn max_corner_distance_mm(&self, other: &Affine) -> f64 {
        let distance = |apart: [f64; 3]| apart.iter().map(|apart| apart * apart).sum::<f64>().sqrt();
        self.corners(other).map(distance).fold(0.0, f64::max)
    }

    /// From where another affine puts each corner to where it is, in mm.
    fn corners(&self, other: &Affine) -> impl Iterator<Item = [f64; 3]> {
        let (shape, affine, other) = (self.shape, self.affine, *other);
        (0..8).map(move |corner| {
            let end = |axis: usize| if corner >> axis & 1 == 1 { shape[axis] as f64 - 1.0 } else { 0.0 };
            let index = std::array::from_fn(end);
            let (a, b) = (affine.apply(index), other.apply(index));
            std::array::from_fn(|axis| a[axis] - b[axis])
        })
    }
}

/// An array of voxels `[channel, x, y, z]`, owned or mapped from a file. To clone it copies none.
#[derive(Clone, Debug)]
pub struct Voxels<T: Pod> {
    /// Number of channels.
    pub channels: usize,
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    storage: Storage<T>,
}

#[derive(Clone, Debug)]
enum Storage<T> {
    Owned(Arc<Vec<T>>),
    Mapped { map: Arc<Mmap>, bytes: Range<usize> },
}

impl<T: Pod> Voxels<T> {
    /// An array that owns its voxels.
    ///
    /// # Panics
    /// When the number of values is not `channels * x * y * z`.
    pub fn new(channels: usize, shape: [usize; 3], values: Vec<T>) -> Self {
        assert_eq!(
            values.len(),
            channels * shape.iter().product::<usize>(),
            "an array has one value per voxel and channel"
        );
        Self { channels, shape, storage: Storage::Owned(Arc::new(values)) }
    }

    /// An array that reads its voxels from `bytes` of a mapped file.
    ///
    /// # Panics
    /// When the bytes do not have the right length or alignment.
    pub fn mapped(channels: usize, shape: [usize; 3], map: Arc<Mmap>, bytes: Range<usize>) -> Self {
        let values: &[T] = bytemuck::cast_slice(&map[bytes.clone()]);
        assert_eq!(
            values.len(),
            channels * shape.iter().product::<usize>(),
            "an array has one value per voxel and channel"
        );
        Self { channels, shape, storage: Storage::Mapped { map, bytes } }
    }

    /// The voxels of one channel, `[x, y, z]`.
    pub fn channel(&self, channel: usize) -> &[T] {
        let size = self.shape.iter().product::<usize>();
        &self[channel * size..(channel + 1) * size]
    }
}

impl<T: Pod> Deref for Voxels<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.storage {
            Storage::Owned(values) => values,
            Storage::Mapped { map, bytes } => bytemuck::cast_slice(&map[bytes.clone()]),
        }
    }
}

/// The position of voxel `[x, y, z]` in one channel of an array of this shape.
pub fn offset(shape: [usize; 3], index: [usize; 3]) -> usize {
    (index[0] * shape[1] + index[1]) * shape[2] + index[2]
}

/// The voxel `[x, y, z]` at a position in one channel of an array of this shape; undoes [`offset`].
pub fn unravel_index([_, size_y, size_z]: [usize; 3], position: usize) -> [usize; 3] {
    [position / (size_y * size_z), position / size_z % size_y, position % size_z]
}

/// An image, and where it is known its label map, on one grid.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Intensities, `[channel, x, y, z]`.
    pub image: Voxels<f32>,
    /// Labels, `[1, x, y, z]`.
    pub label: Option<Voxels<Label>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oblique() -> Affine {
        Affine([[0.8, 0.1, 0.0, -20.0], [-0.1, 0.9, 0.2, 5.0], [0.05, -0.2, 2.5, 100.0]])
    }

    #[test]
    fn an_affine_after_its_inverse_moves_nothing() {
        let there_and_back = oblique().after(&oblique().inverse().unwrap());
        for row in 0..3 {
            for column in 0..4 {
                assert!((there_and_back.0[row][column] - Affine::IDENTITY.0[row][column]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn after_applies_the_first_map_first() {
        let double = Affine::scale_and_shift([2.0; 3], [0.0; 3]);
        let shift = Affine::scale_and_shift([1.0; 3], [1.0, 2.0, 3.0]);
        assert_eq!(double.after(&shift).apply([0.0; 3]), [2.0, 4.0, 6.0]);
    }

    #[test]
    fn a_flat_affine_has_no_inverse() {
        assert!(Affine::scale_and_shift([1.0, 0.0, 1.0], [0.0; 3]).inverse().is_none());
    }

    #[test]
    fn grids_differ_when_voxels_lie_apart() {
        let grid = Grid { shape: [4, 5, 6], affine: oblique() };
        let mut moved = grid;
        moved.affine.0[0][3] += 0.5;
        assert!(grid.matches(&grid, 0.0));
        assert!(!grid.matches(&moved, 0.1));
    }

    #[test]
    fn the_farthest_corner_tells_a_wrong_spacing_in_mm() {
        let grid = Grid { shape: [11, 5, 6], affine: Affine::IDENTITY };
        assert_eq!(grid.max_corner_distance_mm(&grid.affine), 0.0);
        assert_eq!(grid.max_corner_distance_mm(&Affine::scale_and_shift([1.5, 1.0, 1.0], [0.0; 3])), 5.0);
    }

    #[test]
    fn z_runs_fastest() {
        assert_eq!(offset([2, 3, 4], [1, 2, 3]), 23);
        assert_eq!(offset([2, 3, 4], [0, 0, 1]), 1);
        assert_eq!(unravel_index([2, 3, 4], 23), [1, 2, 3]);
    }
}

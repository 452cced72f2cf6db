//! Voxel arrays and their grids.
//!
//! Arrays are in C order with axes `[channel, x, y, z]`: z is fastest. World coordinates are RAS millimetres: x increases
//! towards the patient's right, y anterior, z superior.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

/// The value of one voxel of a label map.
///
/// Nothing else in an experiment is a `u16`: where the parser expects one, it accepts the name of a label.
pub type Label = u16;

/// An affine map of points: the first three rows of a 4x4 matrix whose last row is `0 0 0 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Affine(pub [[f64; 4]; 3]);

impl Affine {
    /// The identity.
    pub const IDENTITY: Self = Self([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);

    /// Returns the map that scales each axis and then shifts it.
    pub fn scale_and_shift(scale: [f64; 3], shift: [f64; 3]) -> Self {
        let mut rows = [[0.0; 4]; 3];
        for axis in 0..3 {
            rows[axis][axis] = scale[axis];
            rows[axis][3] = shift[axis];
        }
        Self(rows)
    }

    /// Returns the map with this linear part and translation.
    pub fn from_parts(linear: [[f64; 3]; 3], origin: [f64; 3]) -> Self {
        Self(std::array::from_fn(|row| [linear[row][0], linear[row][1], linear[row][2], origin[row]]))
    }

    /// Returns the linear part, without the translation.
    pub fn linear(&self) -> [[f64; 3]; 3] {
        std::array::from_fn(|row| [self.0[row][0], self.0[row][1], self.0[row][2]])
    }

    /// Returns the image of the origin: the translation.
    pub fn origin(&self) -> [f64; 3] {
        std::array::from_fn(|row| self.0[row][3])
    }

    /// Returns the image of a point.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|row| {
            let [a, b, c, shift] = self.0[row];
            a * point[0] + b * point[1] + c * point[2] + shift
        })
    }

    /// Returns the composition that applies `first` and then `self`.
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

    /// Returns the determinant of the linear part; for a grid's affine, its magnitude is the volume of a voxel in mm³.
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = self.linear();
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    }

    /// Returns the inverse map, or `None` if the affine is singular.
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

    /// Returns the bounding box of the image of a box, each given by its lowest and highest corner.
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

    /// Returns the length of each column: for a grid's affine, the millimetres per voxel along x, y and z.
    pub fn spacing(&self) -> [f64; 3] {
        std::array::from_fn(|column| (0..3).map(|row| self.0[row][column].powi(2)).sum::<f64>().sqrt())
    }
}

/// Formats a spacing in millimetres, such as `0.8 x 0.8 x 2.5 mm`.
pub fn format_spacing(spacing: [f64; 3]) -> String {
    format!("{} mm", spacing.map(values::format_number).join(" x "))
}

/// The largest offset between corresponding corners of two grids that count as equal, in voxels along any axis. Affines that
/// programs rounded differently are far below it, and shifts by half a voxel above.
pub const GRID_TOLERANCE: f64 = 0.25;

/// The shape of a volume, and the map from voxel indices to world coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    /// Maps voxel indices to RAS millimetres; integer indices are voxel centres.
    pub affine: Affine,
}

impl Grid {
    /// Returns the number of voxels.
    pub fn num_voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns the millimetres per voxel along x, y and z.
    pub fn spacing(&self) -> [f64; 3] {
        self.affine.spacing()
    }

    /// Returns the world coordinates of the grid's centre, in mm.
    pub fn centre(&self) -> [f64; 3] {
        self.affine.apply(self.shape.map(|size| (size as f64 - 1.0) / 2.0))
    }

    /// Returns whether both grids have the same shape, and corners that differ by at most `tolerance` voxels along each axis.
    pub fn matches(&self, other: &Grid, tolerance: f64) -> bool {
        self.shape == other.shape && self.max_corner_offset(&other.affine) <= tolerance
    }

    /// Returns the largest offset between corresponding corners under this and another affine along an axis, in voxels of
    /// this grid; infinite if its affine is singular.
    pub fn max_corner_offset(&self, other: &Affine) -> f64 {
        let Some(inverse) = self.affine.inverse() else { return f64::INFINITY };
        let to_voxels = Affine::from_parts(inverse.linear(), [0.0; 3]);
        self.corner_offsets(other).flat_map(|mm| to_voxels.apply(mm)).map(f64::abs).fold(0.0, f64::max)
    }

    /// Returns the largest distance in mm between corresponding corners under this and another affine.
    pub fn max_corner_distance_mm(&self, other: &Affine) -> f64 {
        let length = |offset: [f64; 3]| offset.iter().map(|mm| mm * mm).sum::<f64>().sqrt();
        self.corner_offsets(other).map(length).fold(0.0, f64::max)
    }

    /// Returns the offset of each corner from the same corner under another affine, in mm.
    fn corner_offsets(&self, other: &Affine) -> impl Iterator<Item = [f64; 3]> {
        let (shape, affine, other) = (self.shape, self.affine, *other);
        (0..8).map(move |corner| {
            let end = |axis: usize| if corner >> axis & 1 == 1 { shape[axis] as f64 - 1.0 } else { 0.0 };
            let index = std::array::from_fn(end);
            let (a, b) = (affine.apply(index), other.apply(index));
            std::array::from_fn(|axis| a[axis] - b[axis])
        })
    }
}

/// An array of voxels `[channel, x, y, z]`, owned or memory-mapped. Clones share the voxels.
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
    /// Returns an array that owns its voxels.
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

    /// Returns an array with the voxels in `bytes` of a mapped file.
    ///
    /// # Panics
    /// When the bytes have the wrong length or alignment.
    pub fn mapped(channels: usize, shape: [usize; 3], map: Arc<Mmap>, bytes: Range<usize>) -> Self {
        let values: &[T] = bytemuck::cast_slice(&map[bytes.clone()]);
        assert_eq!(
            values.len(),
            channels * shape.iter().product::<usize>(),
            "an array has one value per voxel and channel"
        );
        Self { channels, shape, storage: Storage::Mapped { map, bytes } }
    }

    /// Returns the values if the array is the only one that owns them.
    pub fn into_values(self) -> Option<Vec<T>> {
        match self.storage {
            Storage::Owned(values) => Arc::try_unwrap(values).ok(),
            Storage::Mapped { .. } => None,
        }
    }

    /// Returns the voxels of one channel, `[x, y, z]`.
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

/// Returns the flat index of voxel `[x, y, z]` in a channel of this shape, as NumPy's `ravel_multi_index`.
#[inline]
pub fn offset(shape: [usize; 3], index: [usize; 3]) -> usize {
    (index[0] * shape[1] + index[1]) * shape[2] + index[2]
}

/// Returns the voxel `[x, y, z]` at a flat index of a channel of this shape, as NumPy's `unravel_index`; the inverse of
/// [`offset`].
#[inline]
pub fn unravel_index([_, size_y, size_z]: [usize; 3], index: usize) -> [usize; 3] {
    [index / (size_y * size_z), index / size_z % size_y, index % size_z]
}

/// An image on a grid, with its label map if there is one.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Shape and position of both.
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
    fn an_affine_composed_with_its_inverse_is_the_identity() {
        let identity = oblique().after(&oblique().inverse().unwrap());
        for row in 0..3 {
            for column in 0..4 {
                assert!((identity.0[row][column] - Affine::IDENTITY.0[row][column]).abs() < 1e-12);
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
    fn a_singular_affine_has_no_inverse() {
        assert!(Affine::scale_and_shift([1.0, 0.0, 1.0], [0.0; 3]).inverse().is_none());
    }

    #[test]
    fn grids_match_within_a_fraction_of_a_voxel_of_any_size() {
        for scale in [1e-4, 1.0, 1e4] {
            let scaled = |affine: Affine| Affine(affine.0.map(|row| row.map(|value| value * scale)));
            let grid = Grid { shape: [4, 5, 6], affine: scaled(oblique()) };
            assert!(grid.matches(&grid, 0.0));
            for (shift, expected) in [(0.2, true), (0.3, false), (10.0, false)] {
                let shift = Affine::scale_and_shift([1.0; 3], [0.0, 0.0, shift]);
                let moved = Grid { affine: grid.affine.after(&shift), ..grid };
                assert_eq!(grid.matches(&moved, GRID_TOLERANCE), expected, "{shift:?} {scale}");
            }
        }
    }

    #[test]
    fn a_wrong_spacing_moves_the_corners() {
        let grid = Grid { shape: [11, 5, 6], affine: Affine::IDENTITY };
        assert_eq!(grid.max_corner_distance_mm(&grid.affine), 0.0);
        assert_eq!(grid.max_corner_distance_mm(&Affine::scale_and_shift([1.5, 1.0, 1.0], [0.0; 3])), 5.0);
    }

    #[test]
    fn z_is_fastest() {
        assert_eq!(offset([2, 3, 4], [1, 2, 3]), 23);
        assert_eq!(offset([2, 3, 4], [0, 0, 1]), 1);
        assert_eq!(unravel_index([2, 3, 4], 23), [1, 2, 3]);
    }
}

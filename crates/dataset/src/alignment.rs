//! Alignment of a subject's files: label maps, further channels and weight maps on the grid of its first image.
//!
//! Files with the same voxels in another axis order are reordered, without interpolation. Files with other voxels are
//! rejected, with the difference and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use bytemuck::Pod;

use volume::io::{self, LengthUnit};
use volume::{Affine, AxisPermutation, Grid, Voxels, format_spacing};

/// A file whose voxels are not those of the file that it belongs to.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{role} {path}: {what}; {fix}", path = path.display(), what = self.what(), fix = self.fix())]
pub struct GridMismatch {
    /// The role of the file.
    pub role: Role,
    /// The file.
    pub path: PathBuf,
    /// The role of the file that it belongs to.
    pub reference: Role,
    /// How its grid differs from that of the reference.
    pub difference: Box<GridDifference>,
}

/// The role of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One or several channels of the image.
    Image,
    /// The label map.
    LabelMap,
    /// A predicted label map.
    Prediction,
    /// The sampling weights of the voxels.
    WeightMap,
}

/// How the grid of a file differs from that of the file that it belongs to, the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GridDifference {
    /// The same voxels in another axis order.
    AxisOrder {
        /// The affine of the file.
        file: Affine,
        /// The affine of the reference.
        reference: Affine,
    },
    /// The same voxels if the file's lengths are multiplied by a factor.
    Unit {
        /// The factor, a power of ten.
        factor: f64,
    },
    /// The same region with other voxels.
    Sampling {
        /// The grid of the file.
        file: Grid,
        /// The grid of the reference.
        reference: Grid,
    },
    /// The same shape and spacing, shifted or rotated.
    Corners {
        /// The largest distance between corresponding corners, in mm.
        distance_mm: f64,
        /// The largest offset between corresponding corners along an axis, in voxels.
        offset: f64,
    },
    /// Another region.
    Region {
        /// Voxels of the file along x, y and z.
        file: [usize; 3],
        /// Voxels of the reference along x, y and z.
        reference: [usize; 3],
        /// The fraction of the reference's bounding box that the file covers.
        covered: f64,
    },
}

/// Returns voxels in the axis order of the reference, which has the grid `reference.1`.
///
/// # Errors
/// When the file has other voxels.
pub fn align<T: Pod>(
    role: Role,
    path: &Path,
    (grid, voxels): (Grid, Voxels<T>),
    reference: (Role, &Grid),
) -> Result<Voxels<T>, GridMismatch> {
    let order = axis_order(role, path, &grid, reference)?;
    Ok(if order.is_identity() { voxels } else { order.apply(&voxels) })
}

/// Returns how the axes of a file are to be reordered to those of the reference.
///
/// # Errors
/// When the file has other voxels.
pub fn axis_order(
    role: Role,
    path: &Path,
    grid: &Grid,
    (reference_role, reference): (Role, &Grid),
) -> Result<AxisPermutation, GridMismatch> {
    if let Some(order) = AxisPermutation::between(grid, reference) {
        return Ok(order);
    }
    // Programs that write a label map with the numbers of its image's affine may leave the unit out.
    let in_other_unit =
        || [1e-3, 1e3].into_iter().find_map(|factor| AxisPermutation::between(&scaled(grid, factor), reference));
    let states_no_unit = || io::read_header(path).is_ok_and(|header| header.unit == LengthUnit::Unknown);
    in_other_unit().filter(|_| states_no_unit()).ok_or_else(|| GridMismatch {
        role,
        path: path.to_owned(),
        reference: reference_role,
        difference: Box::new(GridDifference::between(grid, reference)),
    })
}

/// Checks that a file has the voxels of the reference in the same axis order.
///
/// # Errors
/// When it has other voxels, or the same in another axis order.
pub fn check_same_axis_order(
    role: Role,
    path: &Path,
    grid: &Grid,
    (reference_role, reference): (Role, &Grid),
) -> Result<(), GridMismatch> {
    if axis_order(role, path, grid, (reference_role, reference))?.is_identity() {
        return Ok(());
    }
    let difference = GridDifference::AxisOrder { file: grid.affine, reference: reference.affine };
    Err(GridMismatch { role, path: path.to_owned(), reference: reference_role, difference: Box::new(difference) })
}

fn scaled(grid: &Grid, factor: f64) -> Grid {
    Grid { affine: Affine(grid.affine.0.map(|row| row.map(|mm| mm * factor))), ..*grid }
}

impl GridDifference {
    /// Maximum relative difference of spacings that count as equal.
    const SPACING_TOLERANCE: f64 = 0.01;
    /// Minimum fraction of the reference that a shifted file covers; with less, it is rather a file of something else.
    const MIN_COVERED: f64 = 0.5;

    /// Describes the difference between grids that have different voxels.
    fn between(file: &Grid, reference: &Grid) -> Self {
        let is_in_unit = |factor: &f64| AxisPermutation::between(&scaled(file, *factor), reference).is_some();
        if let Some(factor) = [1e-6, 1e-3, 1e3, 1e6].into_iter().find(is_in_unit) {
            return Self::Unit { factor };
        }
        let Overlap { covered, same_extent } = Overlap::between(file, reference);
        let spacings = file.spacing().into_iter().zip(reference.spacing());
        let same_spacing = spacings.into_iter().all(|(a, b)| (a - b).abs() <= Self::SPACING_TOLERANCE * b);
        if same_extent && !(same_spacing && file.shape == reference.shape) {
            return Self::Sampling { file: *file, reference: *reference };
        }
        if same_spacing && file.shape == reference.shape && covered >= Self::MIN_COVERED {
            let (distance_mm, offset) =
                (reference.max_corner_distance_mm(&file.affine), reference.max_corner_offset(&file.affine));
            return Self::Corners { distance_mm, offset };
        }
        Self::Region { file: file.shape, reference: reference.shape, covered }
    }
}

/// How the bounding boxes of two grids overlap, in voxels of the second.
struct Overlap {
    /// The fraction of the second grid that the first covers.
    covered: f64,
    /// Whether they start and end within half a voxel of the coarser one.
    same_extent: bool,
}

impl Overlap {
    fn between(file: &Grid, reference: &Grid) -> Self {
        let Some(inverse) = reference.affine.inverse() else { return Self { covered: 0.0, same_extent: false } };
        let to_reference = inverse.after(&file.affine);
        let edges = |grid: &Grid| ([-0.5; 3], grid.shape.map(|size| size as f64 - 0.5));
        let (low, high) = to_reference.map_box(edges(file).0, edges(file).1);
        let (first, last) = edges(reference);
        // The size of a voxel of the file along the axes of the reference.
        let (start, end) = to_reference.map_box([0.0; 3], [1.0; 3]);
        let mut overlap = Self { covered: 1.0, same_extent: true };
        for axis in 0..3 {
            let common = high[axis].min(last[axis]) - low[axis].max(first[axis]);
            overlap.covered *= common.max(0.0) / (last[axis] - first[axis]);
            let tolerance = 0.51 * (end[axis] - start[axis]).max(1.0);
            overlap.same_extent &=
                (low[axis] - first[axis]).abs() <= tolerance && (high[axis] - last[axis]).abs() <= tolerance;
        }
        overlap
    }
}

impl GridMismatch {
    /// Returns what is wrong, as a sentence fragment about the file.
    pub fn what(&self) -> String {
        let reference = self.reference;
        let voxels = |shape: [usize; 3]| shape.map(|size| size.to_string()).join(" x ");
        let of = |grid: &Grid| format!("{} voxels of {}", voxels(grid.shape), format_spacing(grid.spacing()));
        match &*self.difference {
            GridDifference::AxisOrder { file, reference: other } => format!(
                "it is stored as {} and the {reference} as {}, over the same region",
                file.orientation(),
                other.orientation()
            ),
            GridDifference::Unit { factor } => {
                let (verb, factor) = if *factor < 1.0 { ("divided", 1.0 / factor) } else { ("multiplied", *factor) };
                format!("it has the position of the {reference} if its lengths are {verb} by {}", factor.round())
            }
            GridDifference::Sampling { file, reference: other } => {
                format!("it has {}, but the {reference} has {}, over the same region", of(file), of(other))
            }
            GridDifference::Corners { distance_mm, offset } => {
                let [distance, offset] = [*distance_mm, *offset].map(values::format_number);
                let voxels = if offset == "1" { "voxel" } else { "voxels" };
                format!("its corners are up to {distance} mm ({offset} {voxels}) from those of the {reference}")
            }
            GridDifference::Region { file, reference: other, covered } => {
                let shapes = if file == other {
                    String::new()
                } else {
                    format!("it has {} voxels, but the {reference} has {}; ", voxels(*file), voxels(*other))
                };
                let covered = match covered * 100.0 {
                    0.0 => format!("it does not overlap the {reference}"),
                    percent if percent < 1.0 => format!("it covers less than 1 % of the {reference}"),
                    percent => format!("it covers {} % of the {reference}", percent.floor()),
                };
                format!("{shapes}{covered}: they cover different regions")
            }
        }
    }

    /// Returns how to fix it.
    pub fn fix(&self) -> String {
        let reference = self.reference;
        let resample = match self.role {
            Role::Image => format!("resample it to the grid of the {reference}"),
            _ => format!("resample it to the grid of the {reference}, nearest neighbour"),
        };
        match *self.difference {
            GridDifference::AxisOrder { .. } => {
                "set `data.orientation: reorient` to read both in one orientation".to_owned()
            }
            GridDifference::Unit { .. } => {
                "one of the two headers states the wrong unit of length (xyzt_units); correct that one".to_owned()
            }
            GridDifference::Sampling { .. } => resample,
            GridDifference::Corners { .. } | GridDifference::Region { .. } => {
                format!("check that it belongs to this {reference}; if it does, {resample}")
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::LabelMap => "label map",
            Self::Prediction => "prediction",
            Self::WeightMap => "weight map",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxels of 1 x 1 x 2 mm.
    fn image() -> Grid {
        Grid { shape: [20, 20, 10], affine: Affine::scale_and_shift([1.0, 1.0, 2.0], [5.0, 6.0, 7.0]) }
    }

    fn grid(shape: [usize; 3], spacing: [f64; 3], origin: [f64; 3]) -> Grid {
        Grid { shape, affine: Affine::scale_and_shift(spacing, origin) }
    }

    /// Returns the message about a label map on a grid.
    fn message(file: &Grid) -> String {
        let path = Path::new("label.nii.gz");
        let message =
            check_same_axis_order(Role::LabelMap, path, file, (Role::Image, &image())).unwrap_err().to_string();
        message.strip_prefix("label map label.nii.gz: ").unwrap().to_owned()
    }

    #[test]
    fn a_message_distinguishes_axis_order_sampling_shift_region_and_unit() {
        let resample = "resample it to the grid of the image, nearest neighbour";
        let check = format!("check that it belongs to this image; if it does, {resample}");
        let cases = [
            (
                grid([20, 20, 10], [-1.0, -1.0, 2.0], [24.0, 25.0, 7.0]),
                "it is stored as LPS and the image as RAS, over the same region; set `data.orientation: reorient` to read \
                 both in one orientation"
                    .to_owned(),
            ),
            (
                grid([20, 20, 20], [1.0; 3], [5.0, 6.0, 6.5]),
                format!(
                    "it has 20 x 20 x 20 voxels of 1 x 1 x 1 mm, but the image has 20 x 20 x 10 voxels of 1 x 1 x 2 mm, \
                     over the same region; {resample}"
                ),
            ),
            (
                grid([20, 20, 10], [1.0, 1.0, 2.0], [5.0, 9.0, 7.0]),
                format!("its corners are up to 3 mm (3 voxels) from those of the image; {check}"),
            ),
            (
                grid([20, 20, 9], [1.0, 1.0, 2.0], [5.0, 6.0, 7.0]),
                format!(
                    "it has 20 x 20 x 9 voxels, but the image has 20 x 20 x 10; it covers 90 % of the image: they cover \
                     different regions; {check}"
                ),
            ),
            (
                grid([20, 20, 10], [1.0, 1.0, 2.0], [5.0, 60.0, 7.0]),
                format!("it does not overlap the image: they cover different regions; {check}"),
            ),
            (
                grid([20, 20, 10], [1000.0, 1000.0, 2000.0], [5000.0, 6000.0, 7000.0]),
                "it has the position of the image if its lengths are divided by 1000; one of the two headers states the \
                 wrong unit of length (xyzt_units); correct that one"
                    .to_owned(),
            ),
        ];
        for (file, expected) in cases {
            assert_eq!(message(&file), expected);
        }
    }

    #[test]
    fn half_a_voxel_counts_and_rounding_does_not() {
        let shifted = |voxels: f64| grid(image().shape, [1.0, 1.0, 2.0], [5.0 + voxels, 6.0, 7.0]);
        let path = Path::new("label.nii.gz");
        let order = |file: &Grid| axis_order(Role::LabelMap, path, file, (Role::Image, &image()));
        assert!(order(&shifted(1e-3)).unwrap().is_identity());
        assert!(order(&shifted(0.5)).is_err());
    }
}

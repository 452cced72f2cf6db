//! Resampling to a spacing or to the grid of a reference image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Component, GridMapping, ITSELF, Incoming, Interpolation, KeyProblem, NoParams, RoundTrip, SeparateAxis,
    SpatialTransform, TargetSpacing, Zoom,
};
use random::Rng;
use values::{Shape, Spacing, format_number};
use volume::{Affine, Grid};

/// Resamples to a spacing, around the same centre, or to the grid of a reference image, as TorchIO's Resample, or as nnU-Net.
/// Labels take the nearest voxel.
///
/// With a spacing the new shape is `floor(shape * old spacing / new spacing)`, as in TorchIO; an axis of one voxel is
/// unchanged. Rounding of the spacing in the file's header does not lose a voxel, as it may in TorchIO. Voxels of a
/// reference grid outside the image get intensity 0 and label 0.
///
/// With `convention: nnunet`, whole volumes are resampled as by nnU-Net's `resample_data_or_seg`: the new shape is
/// `round(old spacing / new spacing * shape)`, and the field of view stays the same, so spacings are those of the step up to
/// rounding. Intensities are clipped to their range before. Labels are those whose mask, interpolated linearly, is largest, and
/// where two are equally large that of the nearest voxel, as with batchgenerators 0.25.4 and later. Where voxels are more than
/// three times as long along one axis as along another, slices across it are resampled one by one, and of them the nearest are
/// taken. Predictions are resampled back in the same way, by linear interpolation, if the other spatial steps only crop, pad,
/// flip or permute axes, and none follows.
///
/// `spacing_mm: median` is the median spacing of the training subjects along each axis, as it is when it enters this step.
/// It is read from the headers of their images; plan.yaml states it as `{ median: [x, y, z] }`, so that other images are
/// resampled to the same spacing.
///
/// ```yaml
/// - resample: { spacing_mm: [1, 1, 2.5], antialias: true }
/// - resample: { spacing_mm: [0.8, 0.8, 3], interpolation: cubic, convention: nnunet }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// Spacing along x, y and z in millimetres, such as `[1, 1, 2.5]`, or `median`; `null` keeps an axis, as in
    /// `[0.8, 0.8, null]`. Give this or `reference`.
    #[serde(default)]
    pub spacing_mm: Option<TargetSpacing>,
    /// The grid to resample to, instead of a spacing: `{ file: PATH }` for that of an image file.
    #[serde(default)]
    pub reference: Option<Reference>,
    /// If true, the image is smoothed with a Gaussian before downsampling, along the axes that lose resolution; default
    /// false.
    #[serde(default)]
    pub antialias: bool,
    /// Interpolation of intensities: `nearest`, `linear` (default) or `cubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Whose rules determine shapes, borders and labels: `torchio` (default) or `nnunet`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub convention: ResampleConvention,
    /// With `convention: nnunet`, whether slices are resampled one by one: `auto` (default), `never` or `always`; nnU-Net's
    /// `force_separate_z`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub separate_axis: SeparateAxis,
}

/// Whose rules determine the shapes, borders and labels of resampled volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResampleConvention {
    /// TorchIO's: the centre stays, shapes are rounded down, and labels are those of the nearest voxel.
    #[default]
    Torchio,
    /// nnU-Net's: the field of view stays, and shapes are rounded to the nearest whole number.
    Nnunet,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Relative rounding error of spacings, which headers store in single precision.
const ROUNDING: f64 = 1e-6;

/// Valid spacings in millimetres.
const SPACINGS: std::ops::RangeInclusive<f64> = 1e-3..=1e4;

/// An axis of fewer voxels may become a single one.
const MIN_VOXELS: usize = 8;

/// A grid to resample to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reference {
    /// The grid of an image file; plan.yaml contains the grid itself.
    File(std::path::PathBuf),
    /// The grid itself.
    Grid {
        /// Voxels along x, y and z.
        shape: Shape,
        /// The affine from voxel indices to RAS millimetres: the first three rows of the 4x4 matrix.
        affine: Vec<[f64; 4]>,
    },
}

impl Reference {
    /// Returns the grid; `None` if the file has not been read.
    pub fn grid(&self) -> Option<Grid> {
        match self {
            Reference::File(_) => None,
            Reference::Grid { shape, affine } => {
                let rows: [[f64; 4]; 3] = affine.get(..3)?.try_into().ok()?;
                Some(Grid { shape: shape.0, affine: Affine(rows) })
            }
        }
    }

    /// Returns an error message if the grid is invalid.
    fn problem(&self) -> Option<String> {
        match self {
            Reference::Grid { affine, .. } if affine.len() != 3 => {
                Some(format!("expected three rows of an affine, got {}", affine.len()))
            }
            Reference::Grid { .. } if self.grid().is_some_and(|grid| grid.affine.inverse().is_none()) => {
                Some("the affine of the reference is singular".to_owned())
            }
            Reference::Grid { .. } | Reference::File(_) => None,
        }
    }

    /// Returns a reference to a given grid.
    pub fn from_grid(grid: &Grid) -> Self {
        Reference::Grid { shape: Shape(grid.shape), affine: grid.affine.0.to_vec() }
    }
}

impl Component for Resample {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["Resample", "Spacing"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let target = match (&self.spacing_mm, &self.reference) {
            (Some(_), Some(_)) => Some((ITSELF, "expected a spacing or a reference, got both".to_owned())),
            (None, None) => Some((ITSELF, "resample has no target; give `spacing_mm` or `reference`".to_owned())),
            (Some(spacing), None) => spacing
                .get()
                .map_or([1.0; 3], |spacing| spacing.resolve([1.0; 3]))
                .into_iter()
                .find(|mm| !SPACINGS.contains(mm))
                .map(|mm| ("spacing_mm", format!("expected a spacing between 0.001 and 10000 mm, got {mm}"))),
            (None, Some(reference)) => reference.problem().map(|message| ("reference", message)),
        };
        let target = target.map(|(key, message)| KeyProblem::new(key, message));
        target.into_iter().chain(self.validate_convention()).collect()
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        let Some(spacing) = self.spacing_mm.and_then(TargetSpacing::get) else { return Ok(()) };
        let (shape, old) = (incoming.grid.shape, incoming.grid.spacing());
        let spacing = spacing.resolve(old);
        let length = |axis: usize| shape[axis] as f64 * old[axis];
        let Some(axis) = (0..3).find(|axis| shape[*axis] >= MIN_VOXELS && length(*axis) < spacing[*axis]) else {
            return Ok(());
        };
        let [length, size] = [length(axis), spacing[axis]].map(format_number);
        let message =
            format!("the volume is {length} mm long along {}, less than one voxel of {size} mm", ["x", "y", "z"][axis]);
        Err(KeyProblem::new("spacing_mm", message)
            .help("use a smaller spacing, or fix the spacing in the header: is it in millimetres?"))
    }

    fn reference_mut(&mut self) -> Option<&mut Reference> {
        self.reference.as_mut()
    }

    fn median_spacing_mut(&mut self) -> Option<&mut Option<Spacing>> {
        match &mut self.spacing_mm {
            Some(TargetSpacing::Median(median)) => Some(median),
            Some(TargetSpacing::Given(_)) | None => None,
        }
    }
}

impl SpatialTransform for Resample {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        if let Some(RoundTrip { forward, .. }) = self.zoom(incoming) {
            let map = forward.map();
            let grid = Grid { shape: forward.to, affine: incoming.affine.after(&map) };
            return GridMapping::warp(map, grid, self.interpolation);
        }
        let mapping = match (&self.spacing_mm, self.reference.as_ref().and_then(Reference::grid)) {
            (Some(spacing), _) => self.at_spacing(target(*spacing, incoming), incoming),
            (None, Some(grid)) => {
                let to_voxels = incoming.affine.inverse().expect("the affine of a grid is invertible");
                GridMapping::warp(to_voxels.after(&grid.affine), grid, self.interpolation)
            }
            (None, None) => unreachable!("a validated resample has a spacing or the grid of its reference"),
        };
        let smoothing = if self.antialias { smoothing(incoming, &mapping.grid) } else { [0.0; 3] };
        GridMapping { smoothing, ..mapping }
    }

    fn zooms(&self) -> bool {
        self.convention == ResampleConvention::Nnunet
    }

    fn zoom(&self, incoming: &Grid) -> Option<RoundTrip> {
        let spacing = self.spacing_mm.filter(|_| self.zooms())?;
        let (old, new) = (incoming.spacing(), target(spacing, incoming));
        let from = incoming.shape;
        // In this order, and ties to even numbers, as nnU-Net.
        let size = |axis: usize| (old[axis] / new[axis] * from[axis] as f64).round_ties_even() as usize;
        let to = std::array::from_fn(|axis| size(axis).max(1));
        let forward =
            Zoom { from, to, interpolation: self.interpolation, separate_axis: self.separate_axis.of(old, new) };
        let (from, to) = (to, from);
        let back =
            Zoom { from, to, interpolation: Interpolation::Linear, separate_axis: self.separate_axis.of(new, old) };
        Some(RoundTrip { forward, back })
    }
}

/// Returns the spacing to resample to. `check --data` asks for the effect on label values before there is a plan with the
/// median; until then the spacing stays.
fn target(spacing: TargetSpacing, incoming: &Grid) -> [f64; 3] {
    spacing.get().map_or_else(|| incoming.spacing(), |spacing| spacing.resolve(incoming.spacing()))
}

impl Resample {
    /// Checks the keys whose meaning depends on the convention.
    fn validate_convention(&self) -> Vec<KeyProblem> {
        let problem = |condition: bool, key, message: &str, help| {
            condition.then(|| KeyProblem::new(key, message.to_owned()).help(help))
        };
        let is_nnunet = self.convention == ResampleConvention::Nnunet;
        let problems = [
            problem(
                is_nnunet && self.reference.is_some(),
                "reference",
                "nnU-Net resamples to a spacing, not to a reference",
                "give `spacing_mm`, or use `convention: torchio`",
            ),
            problem(
                is_nnunet && self.antialias,
                "antialias",
                "nnU-Net does not smooth before it resamples",
                "leave out `antialias`, or use `convention: torchio`",
            ),
            problem(
                !is_nnunet && self.separate_axis != SeparateAxis::default(),
                "separate_axis",
                "slices are resampled one by one with `convention: nnunet` only",
                "add `convention: nnunet`, or leave out `separate_axis`",
            ),
        ];
        problems.into_iter().flatten().collect()
    }

    fn at_spacing(&self, spacing: [f64; 3], incoming: &Grid) -> GridMapping {
        let old = incoming.spacing();
        let shape = std::array::from_fn(|axis| match incoming.shape[axis] {
            1 => 1,
            size => ((size as f64 * old[axis] / spacing[axis] * (1.0 + ROUNDING)).floor() as usize).max(1),
        });
        let ratios = std::array::from_fn(|axis| spacing[axis] / old[axis]);
        centred(incoming, shape, ratios, self.interpolation)
    }
}

/// Returns the standard deviations of the antialiasing filter in incoming voxels, after Cardoso et al. 2015 as in TorchIO:
/// the image is blurred as if its voxels were as large as the new ones.
fn smoothing(incoming: &Grid, outgoing: &Grid) -> [f64; 3] {
    let (old, new) = (incoming.spacing(), outgoing.spacing());
    let to_deviation = 2.0 * (2.0 * 2.0f64.ln()).sqrt();
    std::array::from_fn(|axis| {
        let factor = new[axis] / old[axis];
        // Factors above 1 by rounding alone do not lose resolution.
        if factor > 1.0 + 1e-6 { (factor * factor - 1.0).sqrt() / to_deviation } else { 0.0 }
    })
}

/// Returns the mapping to a grid of another shape and spacing with the same centre; `ratios` are new over old spacings.
pub(crate) fn centred(
    incoming: &Grid,
    shape: [usize; 3],
    ratios: [f64; 3],
    interpolation: Interpolation,
) -> GridMapping {
    let centre = |size: usize| (size as f64 - 1.0) / 2.0;
    let shift = std::array::from_fn(|axis| centre(incoming.shape[axis]) - centre(shape[axis]) * ratios[axis]);
    let map = Affine::scale_and_shift(ratios, shift);
    GridMapping::warp(map, Grid { shape, affine: incoming.affine.after(&map) }, interpolation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid { shape: [10, 7, 1], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [5.0; 3]) }
    }

    fn parsed(yaml: &str) -> Resample {
        serde_json::from_value(serde_yaml::from_str(yaml).unwrap()).unwrap()
    }

    fn mapped(yaml: &str) -> GridMapping {
        let step = parsed(yaml);
        assert_eq!(step.validate(), []);
        step.map_grid(&NoParams, &grid())
    }

    #[test]
    fn the_centre_is_unchanged() {
        let mapping = mapped("spacing_mm: [3, 1, 1]");
        assert_eq!(mapping.grid.shape, [3, 14, 1]);
        let (new, old) = (mapping.grid.centre(), grid().centre());
        assert!((0..3).all(|axis| (new[axis] - old[axis]).abs() < 1e-12), "{new:?} {old:?}");
    }

    #[test]
    fn the_same_spacing_changes_nothing() {
        assert_eq!(mapped("spacing_mm: [1, 2, 3]").grid, grid());
    }

    #[test]
    fn rounding_of_the_spacing_loses_no_voxel() {
        let grid =
            Grid { shape: [512, 6, 5], affine: Affine::scale_and_shift([f64::from(0.7f32), 1.0, 1.0], [0.0; 3]) };
        let step = parsed("spacing_mm: [0.7, 1, 1]");
        assert_eq!(step.map_grid(&NoParams, &grid).grid.shape, [512, 6, 5]);
        assert_eq!(parsed("spacing_mm: [1.4, 1, 1]").map_grid(&NoParams, &grid).grid.shape, [256, 6, 5]);
        assert!(parsed("spacing_mm: [1.0e-9, 1, 1]").validate().pop().is_some());
    }

    #[test]
    fn a_computed_median_is_a_spacing() {
        let mapping = mapped("spacing_mm: { median: [3, 1, 1] }");
        assert_eq!(mapping, mapped("spacing_mm: [3, 1, 1]"));
        let mut step = parsed("spacing_mm: median");
        assert_eq!(step.median_spacing_mut(), Some(&mut None));
        assert_eq!(step.map_grid(&NoParams, &grid()).grid, grid());
    }

    #[test]
    fn a_volume_smaller_than_a_voxel_is_a_problem() {
        let problem = |shape: [usize; 3], mm: f64| {
            let grid = Grid { shape, affine: Affine::scale_and_shift([mm; 3], [0.0; 3]) };
            let step = parsed("spacing_mm: [1, 1, 2.5]");
            step.check_incoming(&Incoming { grid, channels: 1 }).err().map(|problem| problem.message)
        };
        let expected = "the volume is 0.0096 mm long along x, less than one voxel of 1 mm";
        assert_eq!(problem([24, 24, 16], 4e-4).as_deref(), Some(expected));
        assert_eq!(problem([24, 24, 16], 0.4), None);
        // A thick slice or two may become one.
        assert_eq!(problem([240, 240, 2], 1.0), None);
    }

    #[test]
    fn a_reference_determines_the_grid() {
        let mapping =
            mapped("reference: {grid: {shape: [2, 3, 4], affine: [[1, 0, 0, 5], [0, 1, 0, 5], [0, 0, 1, 5]]}}");
        assert_eq!(mapping.grid.shape, [2, 3, 4]);
        assert_eq!(mapping.map, crate::Map::Warp(Affine::scale_and_shift([1.0, 0.5, 1.0 / 3.0], [0.0; 3])));
    }

    #[test]
    fn only_axes_that_lose_resolution_are_smoothed() {
        let [x, y, z] = mapped("{spacing_mm: [2, 1, 3], antialias: true}").smoothing;
        assert!((x - 3.0f64.sqrt() / 2.354_82).abs() < 1e-5 && y == 0.0 && z == 0.0, "{x} {y} {z}");
    }

    #[test]
    fn both_targets_or_none_are_a_problem() {
        let problem = |yaml: &str| parsed(yaml).validate().pop().map(|problem| problem.message);
        assert!(problem("{}").unwrap().contains("no target"));
        assert!(problem("{spacing_mm: [1, 1, 1], reference: {file: a.nii}}").unwrap().contains("both"));
    }
}

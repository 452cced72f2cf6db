//! The plan of a dataset: its spacing, its normalization and its configurations.

use crate::PlanError;
use crate::axes::AxisOrder;
use crate::configuration::{Batch, Computed, Task, compute, product};
use crate::fingerprint::DatasetFingerprint;
use crate::normalization::Normalization;
use crate::preset::{Encoder, Preset};
use crate::quantile::median;
use crate::spacing::{TargetSpacing, resampled_shape};

/// If cropping to the non-zero region leaves less than this fraction of the median volume, z-scores are those of the region.
pub(crate) const MASK_BELOW: f64 = 3.0 / 4.0;
/// If a patch covers less than this fraction of the median volume, a configuration of lower resolution is planned too.
pub(crate) const LOW_RESOLUTION_BELOW: f64 = 0.25;
/// The factor by which voxels grow while a lower resolution is searched.
const SPACING_STEP: f64 = 1.03;
/// Axes whose voxels are less than half as large as the largest ones grow first.
const SPACING_RATIO: f64 = 2.0;
/// A lower resolution is dropped if it has more than this fraction of the voxels.
const MIN_REDUCTION: f64 = 2.0;

/// What is known of a dataset besides its volumes.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetFacts {
    /// The names of the channels, such as `CT`.
    pub channel_names: Vec<String>,
    /// The number of entries of `labels` in `dataset.json`: background, labels or regions, and `ignore`.
    pub label_entries: usize,
    /// The number of training subjects, as `numTraining` in `dataset.json` states it.
    pub num_training: usize,
}

/// The plan of a dataset, with axes x, y and z.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetPlan {
    /// The planner.
    pub preset: Preset,
    /// The memory in GB that training may take.
    pub memory_gb: f64,
    /// The spacing of the configurations `3d_fullres` and `2d`.
    pub target: TargetSpacing,
    /// The order in which axes were compared; the first is perpendicular to slices.
    pub axes: AxisOrder,
    /// The median shape of the volumes after resampling, which may end with a half.
    pub median_shape: [f64; 3],
    /// The normalization of each channel.
    pub normalization: Vec<Normalization>,
    /// Whether each channel's normalization is that of the non-zero voxels.
    pub uses_mask: Vec<bool>,
    /// Full resolution in 3-D; `None` of a dataset whose volumes have one slice.
    pub full: Option<Configuration>,
    /// Lower resolution in 3-D, the first stage of a cascade, if patches at full resolution cover too little.
    pub low: Option<Configuration>,
    /// Slices.
    pub slices: Configuration,
}

/// One configuration, with axes x, y and z.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Millimetres per voxel; `None` along the axis perpendicular to the slices of a 2-D configuration, which keeps its own.
    pub spacing_mm: [Option<f64>; 3],
    /// The median shape of the volumes.
    pub median_shape: [f64; 3],
    /// Voxels of the patch.
    pub patch: [usize; 3],
    /// The patch with which the search began.
    pub first_patch: [f64; 3],
    /// The kernel size of each level.
    pub kernels: Vec<[usize; 3]>,
    /// The stride with which each level begins.
    pub strides: Vec<[usize; 3]>,
    /// Features of each level.
    pub widths: Vec<usize>,
    /// Convolutions of each level of the encoder, or residual blocks.
    pub encoder_blocks: Vec<usize>,
    /// Convolutions of each level of the decoder, the first level's first.
    pub decoder_convs: Vec<usize>,
    /// The number of patches of a batch.
    pub batch: Batch,
    /// If true, the sums of Dice extend over the batch.
    pub batch_dice: bool,
}

impl DatasetPlan {
    /// Plans the configurations of a dataset.
    ///
    /// # Errors
    /// When the dataset has no subjects, a spacing is not positive, or no patch fits into the memory.
    pub fn new(
        fingerprint: &DatasetFingerprint,
        facts: &DatasetFacts,
        preset: Preset,
        memory_gb: f64,
    ) -> Result<Self, PlanError> {
        if fingerprint.subjects.is_empty() {
            return Err(PlanError::NoSubjects);
        }
        let target = TargetSpacing::of(fingerprint);
        let axes = AxisOrder::of_spacing(target.spacing_mm);
        let shapes: Vec<[f64; 3]> = fingerprint
            .subjects
            .iter()
            .map(|subject| resampled_shape(subject.shape_after_crop, subject.spacing_mm, target.spacing_mm))
            .collect();
        let median_of = |axis: usize| median(&shapes.iter().map(|shape| shape[axis]).collect::<Vec<_>>());
        let median_shape: [f64; 3] = std::array::from_fn(median_of);
        let (spacing, shape) = (axes.ordered(target.spacing_mm), axes.ordered(median_shape));
        let task = Task {
            preset,
            memory_gb,
            classes: facts.label_entries,
            dataset_voxels: product(shape) * facts.num_training as f64,
        };
        let [mut full, mut low] = [None, None];
        if shape[0] != 1.0 {
            let computed = compute(spacing, shape, &task)?;
            low = low_resolution(spacing, shape, &computed, &task, facts.num_training)?
                .map(|low| Configuration::new(axes, low, preset.encoder(), false));
            let found = Found { spacing, shape, computed };
            full = Some(Configuration::new(axes, found, preset.encoder(), low.is_some()));
        }
        let computed = compute([spacing[1], spacing[2]], [shape[1], shape[2]], &task)?.in_volume();
        let slices = Configuration::in_slices(axes, Found { spacing, shape, computed }, preset.encoder());
        let normalization: Vec<_> = facts.channel_names.iter().map(|name| Normalization::of_channel(name)).collect();
        let is_masked = fingerprint.median_relative_size_after_cropping < MASK_BELOW;
        let uses_mask = normalization.iter().map(|scheme| is_masked && scheme.can_be_masked()).collect();
        Ok(Self { preset, memory_gb, target, axes, median_shape, normalization, uses_mask, full, low, slices })
    }
}

/// A configuration, with axes in the order of computation; one of slices is in 3-D too.
struct Found {
    spacing: [f64; 3],
    shape: [f64; 3],
    computed: Computed<3>,
}

/// Searches the finest resolution at which a patch covers a quarter of the median volume; `None` if the full resolution does,
/// or if the resolution that does has more than half of the voxels, or no voxel along an axis (nnU-Net's search then fails).
fn low_resolution(
    full_spacing: [f64; 3],
    full_shape: [f64; 3],
    full: &Computed<3>,
    task: &Task,
    num_training: usize,
) -> Result<Option<Found>, PlanError> {
    let patch_voxels = |computed: &Computed<3>| computed.topology.patch.iter().product::<i64>() as f64;
    let mut spacing = full_spacing;
    let mut voxels = product(full_shape);
    let mut covered = patch_voxels(full);
    let mut found = None;
    while covered / voxels < LOW_RESOLUTION_BELOW {
        let largest = spacing.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let is_finer = spacing.map(|mm| largest / mm > SPACING_RATIO);
        let grows = if is_finer.contains(&true) { is_finer } else { [true; 3] };
        spacing = std::array::from_fn(|axis| if grows[axis] { spacing[axis] * SPACING_STEP } else { spacing[axis] });
        let exact: [f64; 3] = std::array::from_fn(|axis| full_spacing[axis] / spacing[axis] * full_shape[axis]);
        voxels = product(exact);
        let shape = exact.map(f64::round_ties_even);
        if shape.contains(&0.0) {
            return Ok(None);
        }
        let task = Task { dataset_voxels: voxels * num_training as f64, ..*task };
        let computed = compute(spacing, shape, &task)?;
        covered = patch_voxels(&computed);
        found = Some(Found { spacing, shape, computed });
    }
    Ok(found.filter(|_| product(full_shape) / voxels >= MIN_REDUCTION))
}

impl Configuration {
    fn new(axes: AxisOrder, found: Found, encoder: Encoder, batch_dice: bool) -> Self {
        let Found { spacing, shape, computed } = found;
        let Computed { topology, widths, batch, first_patch } = computed;
        let levels = |values: Vec<[usize; 3]>| values.into_iter().map(|value| axes.restored(value)).collect();
        Self {
            spacing_mm: axes.restored(spacing).map(Some),
            median_shape: axes.restored(shape),
            patch: axes.restored(topology.patch).map(|voxels| voxels as usize),
            first_patch: axes.restored(first_patch),
            kernels: levels(topology.kernels),
            strides: levels(topology.strides),
            encoder_blocks: encoder_blocks(encoder, widths.len()),
            decoder_convs: vec![encoder.decoder_convs(); widths.len() - 1],
            widths,
            batch,
            batch_dice,
        }
    }

    /// Returns the configuration of slices, which are not resampled across.
    fn in_slices(axes: AxisOrder, found: Found, encoder: Encoder) -> Self {
        let [_, first, second] = found.spacing;
        let spacing_mm = axes.restored([None, Some(first), Some(second)]);
        Self { spacing_mm, ..Self::new(axes, found, encoder, true) }
    }

    /// Returns the fraction of the median volume that a patch covers, at most 1 along each axis; of a 2-D patch, the fraction
    /// of the slice.
    pub fn covered(&self) -> f64 {
        let along = |axis: usize| match self.spacing_mm[axis] {
            Some(_) => (self.patch[axis] as f64 / self.median_shape[axis]).min(1.0),
            None => 1.0,
        };
        (0..3).map(along).product()
    }
}

fn encoder_blocks(encoder: Encoder, levels: usize) -> Vec<usize> {
    (0..levels).map(|level| encoder.blocks(level)).collect()
}

//! Regions of a volume.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::statistics::descriptive;
use crate::statistics::nonzero::NonzeroMask;
use crate::{TransformError, WholeVolume};
use values::single;
use volume::orientation::axes_to_ras;
use volume::{Grid, Label};

/// A region of a volume, TorchIO's `masking_method`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Region {
    /// Voxels with one of these labels, such as `[1, 2]`; an empty list means every label above 0. Needs a label map, also
    /// for prediction.
    Labels(Vec<Label>),
    /// Voxels with an intensity above this value, such as -500.
    Above(#[serde(deserialize_with = "single")] f32),
    /// Voxels with an intensity above the mean of the whole volume.
    AboveMean {},
    /// Voxels with an intensity other than 0 in any channel, and those that they enclose, as they enter the step: nnU-Net's
    /// mask for normalization. A step before that changes where intensities are 0 changes the mask.
    Nonzero {},
    /// One half of the volume along an anatomical direction, such as `left`.
    Half(Half),
}

/// A half of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The patient's left half.
    Left,
    /// The patient's right half.
    Right,
    /// The posterior half.
    Posterior,
    /// The anterior half.
    Anterior,
    /// The inferior half, towards the feet.
    Inferior,
    /// The superior half, towards the head.
    Superior,
}

impl Region {
    /// Returns whether the region depends on labels.
    pub fn needs_labels(&self) -> bool {
        matches!(self, Region::Labels(_))
    }

    /// Returns whether the region depends on the whole volume.
    pub(crate) fn needs_statistics(&self) -> bool {
        matches!(self, Region::AboveMean {} | Region::Nonzero {})
    }

    /// Returns whether all channels of a volume determine the region together.
    pub(crate) fn is_of_all_channels(&self) -> bool {
        matches!(self, Region::Nonzero {})
    }

    /// Returns what the region depends on, of the volume that enters the step.
    pub(crate) fn statistics(&self, whole: &WholeVolume) -> RegionStatistics {
        match self {
            Region::AboveMean {} => RegionStatistics { mean: descriptive::mean(whole.image), nonzero: None },
            Region::Nonzero {} => RegionStatistics { mean: 0.0, nonzero: Some(NonzeroMask::new(whole)) },
            Region::Labels(_) | Region::Above(_) | Region::Half(_) => RegionStatistics::default(),
        }
    }

    /// Resolves the region for a volume with these statistics; `name` is the transform for error messages.
    ///
    /// # Errors
    /// When the region depends on labels and the volume has none.
    pub(crate) fn resolve<'a>(
        &'a self,
        name: &'static str,
        grid: &Grid,
        label: Option<&'a [Label]>,
        statistics: &'a RegionStatistics,
    ) -> Result<ResolvedRegion<'a>, TransformError> {
        Ok(match self {
            Region::Labels(labels_inside) => {
                let reason = "its region is given by labels, and the volume has no label map; give it by intensity instead, such as `above: -500`";
                let label = label.ok_or(TransformError { name, reason: reason.to_owned() })?;
                ResolvedRegion::Labelled(labels_inside, label)
            }
            Region::Nonzero {} => {
                let mask = statistics.nonzero.as_ref();
                ResolvedRegion::Mask(mask.expect("`statistics` computes the mask of this region"))
            }
            Region::Above(limit) => ResolvedRegion::Above(*limit),
            Region::AboveMean {} => ResolvedRegion::Above(statistics.mean),
            Region::Half(half) => {
                let (world, upper) = half.side();
                let axis = axes_to_ras(&grid.affine)[world];
                let size = grid.shape[axis.source_axis];
                // In RAS the lower half has `size / 2` voxels; a flipped axis is counted from the other end.
                let lower = size / 2;
                let indices = match (upper, axis.flipped) {
                    (false, false) => 0..lower,
                    (true, false) => lower..size,
                    (false, true) => size - lower..size,
                    (true, true) => 0..size - lower,
                };
                ResolvedRegion::Between(axis.source_axis, indices)
            }
        })
    }

    /// Returns the intensities of the region's voxels, of all given channels, by the statistics of the volume.
    ///
    /// # Errors
    /// As [`Region::resolve`].
    pub(crate) fn values(
        &self,
        name: &'static str,
        channels: &WholeVolume,
        statistics: &RegionStatistics,
    ) -> Result<Vec<f32>, TransformError> {
        let mut values = Vec::new();
        self.visit(name, channels, statistics, &mut |_, value| values.push(value))?;
        Ok(values)
    }

    /// Returns the bounding box of the region, `None` if it is empty.
    ///
    /// # Errors
    /// As [`Region::resolve`].
    pub(crate) fn bounds(&self, name: &'static str, whole: &WholeVolume) -> Result<Option<Bounds>, TransformError> {
        let (mut low, mut high) = (whole.grid.shape, [0; 3]);
        self.visit(name, whole, &self.statistics(whole), &mut |voxel, _| {
            for (axis, index) in voxel.into_iter().enumerate() {
                low[axis] = low[axis].min(index);
                high[axis] = high[axis].max(index + 1);
            }
        })?;
        Ok((low[0] < high[0]).then_some((low, high)))
    }

    /// Calls `visit` with the region's voxels in each channel and their intensities.
    fn visit(
        &self,
        name: &'static str,
        whole: &WholeVolume,
        statistics: &RegionStatistics,
        visit: &mut dyn FnMut([usize; 3], f32),
    ) -> Result<(), TransformError> {
        let region = self.resolve(name, &whole.grid, whole.label, statistics)?;
        let [_, size_y, size_z] = whole.grid.shape;
        for channel in whole.channels() {
            for (row, values) in channel.chunks_exact(size_z).enumerate() {
                for (z, value) in values.iter().enumerate() {
                    let voxel = [row / size_y, row % size_y, z];
                    if region.contains(voxel, *value, row * size_z + z) {
                        visit(voxel, *value);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Half {
    /// Returns the world axis, and whether the half is the one with the larger coordinates.
    fn side(self) -> (usize, bool) {
        match self {
            Half::Left => (0, false),
            Half::Right => (0, true),
            Half::Posterior => (1, false),
            Half::Anterior => (1, true),
            Half::Inferior => (2, false),
            Half::Superior => (2, true),
        }
    }
}

/// What a region depends on, of the whole volume.
#[derive(Debug, Default)]
pub(crate) struct RegionStatistics {
    mean: f32,
    nonzero: Option<NonzeroMask>,
}

/// A box: its first voxel and the one after its last.
pub(crate) type Bounds = ([usize; 3], [usize; 3]);

/// A region resolved for a volume.
pub(crate) enum ResolvedRegion<'a> {
    Labelled(&'a [Label], &'a [Label]),
    Above(f32),
    Mask(&'a NonzeroMask),
    Between(usize, std::ops::Range<usize>),
}

impl ResolvedRegion<'_> {
    /// Returns whether a voxel is in the region, given its index in the volume, its intensity, and its index in the label
    /// array.
    pub(crate) fn contains(&self, voxel: [usize; 3], value: f32, index: usize) -> bool {
        match self {
            ResolvedRegion::Labelled([], labels) => labels[index] > 0,
            ResolvedRegion::Labelled(labels_inside, labels) => labels_inside.contains(&labels[index]),
            ResolvedRegion::Above(limit) => value > *limit,
            ResolvedRegion::Mask(mask) => mask.contains(voxel),
            ResolvedRegion::Between(axis, indices) => indices.contains(&voxel[*axis]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    fn values(region: &str, affine: Affine) -> Vec<f32> {
        let region: Region = serde_json::from_value(serde_yaml::from_str(region).unwrap()).unwrap();
        let grid = Grid { shape: [5, 1, 1], affine };
        let whole = WholeVolume { grid, image: &[0.0, 1.0, 2.0, 3.0, 9.0], label: Some(&[0, 1, 2, 2, 0]) };
        region.values("mask", &whole, &region.statistics(&whole)).unwrap()
    }

    #[test]
    fn labels_intensities_and_halves_select_voxels() {
        assert_eq!(values("labels: []", Affine::IDENTITY), [1.0, 2.0, 3.0]);
        assert_eq!(values("labels: [1, 7]", Affine::IDENTITY), [1.0]);
        assert_eq!(values("above: 2", Affine::IDENTITY), [3.0, 9.0]);
        assert_eq!(values("above_mean: {}", Affine::IDENTITY), [9.0]);
        assert_eq!(values("nonzero: {}", Affine::IDENTITY), [1.0, 2.0, 3.0, 9.0]);
        assert_eq!(values("half: left", Affine::IDENTITY), [0.0, 1.0]);
        assert_eq!(values("half: right", Affine::IDENTITY), [2.0, 3.0, 9.0]);
    }

    #[test]
    fn halves_are_anatomical() {
        let mirrored = Affine::scale_and_shift([-1.0, 1.0, 1.0], [0.0; 3]);
        assert_eq!(values("half: left", mirrored), [3.0, 9.0]);
        assert_eq!(values("half: right", mirrored), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn missing_labels_are_an_error() {
        let region = Region::Labels(vec![1]);
        let whole = WholeVolume::single_row(&[1.0]);
        let error = region.values("mask", &whole, &region.statistics(&whole)).unwrap_err();
        assert!(error.to_string().contains("no label map"), "{error}");
    }
}

//! Which voxels count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::whole_volume::statistics;
use crate::{TransformError, WholeVolume};
use values::single;
use volume::orientation::axes_to_ras;
use volume::{Grid, Label};

/// Some voxels of a volume: what TorchIO calls a masking method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Region {
    /// Those with one of these labels; an empty list means every label above 0. Needs a label map, also to predict.
    Labels(Vec<Label>),
    /// Those with an intensity above this one.
    Above(#[serde(deserialize_with = "single")] f32),
    /// Those with an intensity above the mean of the whole volume.
    AboveMean {},
    /// One half of the volume, by the world's directions.
    Half(Half),
}

/// A half of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The patient's left.
    Left,
    /// The patient's right.
    Right,
    /// The back.
    Posterior,
    /// The front.
    Anterior,
    /// The feet's.
    Inferior,
    /// The head's.
    Superior,
}

impl Region {
    /// Whether labels decide.
    pub fn needs_labels(&self) -> bool {
        matches!(self, Region::Labels(_))
    }

    /// Whether the mean of the volume decides.
    pub fn needs_mean(&self) -> bool {
        matches!(self, Region::AboveMean {})
    }

    /// Whether a voxel belongs to the region, by its place in the volume, intensity and label.
    ///
    /// # Errors
    /// When labels decide and there are none; `name` is the step that asks.
    pub(crate) fn of<'a>(
        &'a self,
        name: &'static str,
        grid: &Grid,
        label: Option<&'a [Label]>,
        mean: f32,
    ) -> Result<Member<'a>, TransformError> {
        Ok(match self {
            Region::Labels(wanted) => {
                let reason = "its region is given by labels, and the volume has no label map; give it by intensity instead, such as `above: -500`";
                let label = label.ok_or(TransformError { name, reason: reason.to_owned() })?;
                Member::Labelled(wanted, label)
            }
            Region::Above(limit) => Member::Above(*limit),
            Region::AboveMean {} => Member::Above(mean),
            Region::Half(half) => {
                let (world, upper) = half.side();
                let turn = axes_to_ras(&grid.affine)[world];
                let size = grid.shape[turn.source_axis];
                // In RAS the lower half is the one of `size / 2` voxels; a flipped axis counts from the other end.
                let lower = size / 2;
                let places = match (upper, turn.flipped) {
                    (false, false) => 0..lower,
                    (true, false) => lower..size,
                    (false, true) => size - lower..size,
                    (true, true) => 0..size - lower,
                };
                Member::Between(turn.source_axis, places)
            }
        })
    }

    /// The intensities of the region's voxels, of all channels.
    ///
    /// # Errors
    /// As [`Region::of`].
    pub(crate) fn values(&self, name: &'static str, whole: &WholeVolume) -> Result<Vec<f32>, TransformError> {
        let mut values = Vec::new();
        self.visit(name, whole, &mut |_, value| values.push(value))?;
        Ok(values)
    }

    /// The smallest box that holds the region: its first voxel and the one after its last; `None` where it is empty.
    ///
    /// # Errors
    /// As [`Region::of`].
    pub(crate) fn bounds(&self, name: &'static str, whole: &WholeVolume) -> Result<Option<Bounds>, TransformError> {
        let (mut low, mut high) = (whole.grid.shape, [0; 3]);
        self.visit(name, whole, &mut |voxel, _| {
            for (axis, place) in voxel.into_iter().enumerate() {
                low[axis] = low[axis].min(place);
                high[axis] = high[axis].max(place + 1);
            }
        })?;
        Ok((low[0] < high[0]).then_some((low, high)))
    }

    /// Visits the region's voxels in each channel, with their intensities.
    fn visit(
        &self,
        name: &'static str,
        whole: &WholeVolume,
        visit: &mut dyn FnMut([usize; 3], f32),
    ) -> Result<(), TransformError> {
        let mean = if self.needs_mean() { statistics::mean(whole.image) } else { 0.0 };
        let member = self.of(name, &whole.grid, whole.label, mean)?;
        let [_, size_y, size_z] = whole.grid.shape;
        for channel in whole.channels() {
            for (row, values) in channel.chunks_exact(size_z).enumerate() {
                for (z, value) in values.iter().enumerate() {
                    let voxel = [row / size_y, row % size_y, z];
                    if member.has(voxel, *value, row * size_z + z) {
                        visit(voxel, *value);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Half {
    /// The world axis, and whether it is the half with the larger coordinates.
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

/// The first voxel of a box and the one after its last.
pub(crate) type Bounds = ([usize; 3], [usize; 3]);

/// Tells which voxels belong to a region.
pub(crate) enum Member<'a> {
    Labelled(&'a [Label], &'a [Label]),
    Above(f32),
    Between(usize, std::ops::Range<usize>),
}

impl Member<'_> {
    /// `place` is the voxel in its volume, `index` its position in the array of labels.
    pub(crate) fn has(&self, place: [usize; 3], value: f32, index: usize) -> bool {
        match self {
            Member::Labelled([], labels) => labels[index] > 0,
            Member::Labelled(wanted, labels) => wanted.contains(&labels[index]),
            Member::Above(limit) => value > *limit,
            Member::Between(axis, places) => places.contains(&place[*axis]),
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
        region.values("mask", &whole).unwrap()
    }

    #[test]
    fn labels_intensities_and_halves_choose_voxels() {
        assert_eq!(values("labels: []", Affine::IDENTITY), [1.0, 2.0, 3.0]);
        assert_eq!(values("labels: [1, 7]", Affine::IDENTITY), [1.0]);
        assert_eq!(values("above: 2", Affine::IDENTITY), [3.0, 9.0]);
        assert_eq!(values("above_mean: {}", Affine::IDENTITY), [9.0]);
        assert_eq!(values("half: left", Affine::IDENTITY), [0.0, 1.0]);
        assert_eq!(values("half: right", Affine::IDENTITY), [2.0, 3.0, 9.0]);
    }

    #[test]
    fn halves_follow_the_world_and_not_the_array() {
        let mirrored = Affine::scale_and_shift([-1.0, 1.0, 1.0], [0.0; 3]);
        assert_eq!(values("half: left", mirrored), [3.0, 9.0]);
        assert_eq!(values("half: right", mirrored), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn labels_that_are_not_there_are_an_error() {
        let region = Region::Labels(vec![1]);
        let error = region.values("mask", &WholeVolume::of(&[1.0])).unwrap_err();
        assert!(error.to_string().contains("no label map"), "{error}");
    }
}

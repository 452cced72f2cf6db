//! Intensity 0 in the background.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels;
use crate::lazy::BACKGROUND;
use crate::{Component, Incoming, IntensityTransform, KeyProblem, NoParams, VolumeStatistics, Window};
use random::Rng;

/// Sets the background of a patch to intensity 0 again, after steps of `patch_augment` that changed it: voxels outside the mask
/// of `crop_to_nonzero` (those that were not 0 in any channel, with the holes filled), and voxels outside the volume. It is
/// nnU-Net's MaskImageTransform, with which it augments images that are normalized with a mask (`use_mask_for_norm`). A voxel with a
/// label above 0 is not background. The background moves with the labels, and counts as a label of its own when these are
/// interpolated.
///
/// Belongs at the end of `patch_augment`, and requires `crop_to_nonzero` in `preprocess`. Neither validation patches nor images
/// that are predicted are augmented, so nothing is masked in them.
///
/// ```yaml
/// - mask_background: {}
/// - mask_background: { channels: [0, 2] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskBackground {
    /// Channels that the step changes, counted from 0, such as `[0, 2]`: in nnU-Net those that are normalized with a mask. `null`
    /// (default) is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<usize>>,
}

impl Component for MaskBackground {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["MaskImageTransform"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn validate(&self) -> Vec<KeyProblem> {
        channels::validate_channels(&self.channels).into_iter().collect()
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        channels::check_channels(&self.channels, incoming.channels)
    }
}

impl IntensityTransform for MaskBackground {
    fn needs_labels(&self) -> bool {
        true
    }

    fn needs_background(&self) -> bool {
        true
    }

    fn apply(&self, _: &NoParams, _: &VolumeStatistics, window: &mut Window) {
        let Some(label) = window.label else { return };
        for channel in channels::changed(&self.channels, window.channels) {
            for (value, label) in window.channel_mut(channel).iter_mut().zip(label) {
                *value = if *label == BACKGROUND { 0.0 } else { *value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_of_the_given_channels_becomes_0() {
        let mut values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let label = [0, BACKGROUND, 2];
        let grid = volume::Grid { shape: [1, 1, 3], affine: volume::Affine::IDENTITY };
        let mut window = Window::new(&mut values, 2, grid, ([0; 3], grid.shape));
        window.label = Some(&label);
        MaskBackground { channels: Some(vec![1]) }.apply(&NoParams, VolumeStatistics::none(), &mut window);
        assert_eq!(window.image, [1.0, 2.0, 3.0, 4.0, 0.0, 6.0]);
        MaskBackground { channels: None }.apply(&NoParams, VolumeStatistics::none(), &mut window);
        assert_eq!(window.image, [1.0, 0.0, 3.0, 4.0, 0.0, 6.0]);
    }
}

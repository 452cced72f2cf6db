//! Patches anywhere, and in each batch some that surely hold foreground.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::centre::{self, Valid, Wanted};
use super::{PatchIndex, SamplingContext, uniform};
use random::Rng;
use values::{Probability, Shape};
use volume::Label;

/// Forces a share of each batch to lie around foreground and lets the rest lie anywhere, as nnU-Net does.
///
/// A forced patch lies around a voxel of a label above 0 that is drawn evenly among the subject's labels; at the
/// border it is moved inside. Without any foreground it lies anywhere.
///
/// ```yaml
/// foreground_oversample: { patch: [128, 128, 128], share: 0.33 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForegroundOversampleSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
    /// The share of forced patches: of a batch of B the last ones from place round(B * (1 - share)) on, counted from 0, so 1 of 2, 1 of 3 and 3 of 9 at 0.33.
    #[serde(default = "default_share")]
    pub share: Probability,
}

fn default_share() -> Probability {
    Probability::new(0.33).expect("0.33 lies between 0 and 1")
}

impl ForegroundOversampleSampler {
    /// Draws where a patch starts.
    pub(super) fn sample_start(
        &self,
        context: &SamplingContext,
        patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> [usize; 3] {
        let (patch, volume) = (self.patch.0, context.mapping.shape);
        let centre = if self.is_forced(patch_index) { draw_foreground(context, rng) } else { None };
        match centre {
            Some(centre) => {
                std::array::from_fn(|axis| centre[axis].saturating_sub(patch[axis] / 2).min(volume[axis] - patch[axis]))
            }
            None => uniform::start(volume, patch, rng),
        }
    }

    fn is_forced(&self, patch_index: &PatchIndex) -> bool {
        patch_index.index_in_batch >= self.num_unforced(patch_index.batch_size)
    }

    /// Patches of a full batch that lie anywhere; rounded as Python does, halves to even.
    pub fn num_unforced(&self, batch_size: usize) -> usize {
        (batch_size as f64 * (1.0 - self.share.get())).round_ties_even() as usize
    }
}

/// Draws a label evenly among those above 0 that the volume has after the chain, then one of its voxels evenly.
fn draw_foreground(context: &SamplingContext, rng: &mut Rng) -> Option<[usize; 3]> {
    let whole = Valid::whole(context.mapping.shape);
    let mut labels: Vec<Label> = context.labels.labels().collect();
    while !labels.is_empty() {
        let chosen = rng.below(labels.len() as u64) as usize;
        let drawn = centre::draw(context, &whole, Wanted::Label(labels[chosen]), rng);
        if drawn.is_some() {
            return drawn;
        }
        // The chain has lost the label: to choose again is to draw evenly among the others.
        labels.remove(chosen);
    }
    None
}

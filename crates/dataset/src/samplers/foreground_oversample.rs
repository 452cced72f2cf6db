//! Patches at uniformly distributed positions, with a guaranteed fraction of foreground per batch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sampling::centres::{self, Target};
use super::sampling::region::Region;
use super::uniform::sample_anywhere;
use super::{PatchIndex, PatchSampler, SamplingContext, SamplingError};
use random::Rng;
use values::{Diagnostic, Probability, Shape};

/// Guarantees that a fraction of each batch contains foreground; the other patches are uniformly distributed, as in
/// nnU-Net.
///
/// A guaranteed patch is centred on a random voxel of a label above 0, or of a region with `data.regions`; the labels or regions
/// of the subject are equally likely. `border` says what happens near the border of the volume. In a subject without foreground
/// the patch is uniformly distributed. With `data.ignore_label`, patches that need no foreground are centred on an annotated
/// voxel; all of these are equally likely.
///
/// ```yaml
/// foreground_oversample: { patch: [128, 128, 128], share: 0.33 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForegroundOversampleSampler {
    /// Shape of a patch: voxels along x, y and z, such as `[128, 128, 128]`.
    pub patch: Shape,
    /// Fraction of guaranteed patches, from 0 to 1; default 0.33. In a batch of B they are those with an index of at least round(B * (1 - share)); with 0.33, these are 1 of 2, 1 of 3 or 3 of 9 patches.
    #[serde(default = "default_share")]
    pub share: Probability,
    /// Patches near the border of the volume: `clamp` (default) or `pad`.
    #[serde(default, skip_serializing_if = "Border::is_default")]
    pub border: Border,
}

/// What happens to patches at the border of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Every patch is inside the volume: a guaranteed patch near the border is shifted into it.
    #[default]
    Clamp,
    /// As in nnU-Net: a guaranteed patch is shifted into the volume at the lower ends of the axes only, and may extend past the upper ends. Voxels outside have intensity 0 and label 0. Volumes may be smaller than the patch.
    Pad,
}

impl Border {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn default_share() -> Probability {
    Probability::new(0.33).expect("0.33 is between 0 and 1")
}

impl PatchSampler for ForegroundOversampleSampler {
    fn patch(&self) -> [usize; 3] {
        self.patch.0
    }

    fn sample_start(
        &self,
        context: &SamplingContext,
        patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError> {
        let (patch, volume) = (self.patch.0, context.mapping.shape);
        let is_guaranteed = patch_index.index_in_batch >= self.num_unconstrained(patch_index.batch_size);
        let centre = if is_guaranteed { sample_foreground(context, rng) } else { None };
        let centre = centre.or_else(|| sample_annotated(context, rng));
        Ok(match (self.border, centre) {
            (Border::Clamp, Some(centre)) => std::array::from_fn(|axis| {
                centre[axis].saturating_sub(patch[axis] / 2).min(volume[axis] - patch[axis]) as isize
            }),
            (Border::Clamp, None) => sample_anywhere(volume, patch, rng).map(|start| start as isize),
            (Border::Pad, centre) => {
                let blocks = PaddedBlocks::new(volume, patch, patch_index.margin);
                let start = centre.map_or_else(|| blocks.sample(rng), |centre| blocks.around(centre));
                std::array::from_fn(|axis| start[axis] + (patch_index.margin[axis] / 2) as isize)
            }
        })
    }

    fn pads(&self) -> bool {
        self.border == Border::Pad
    }

    fn check(&self, batch_size: usize) -> Vec<Diagnostic> {
        let share = self.share.get();
        let warning = || {
            Diagnostic::Warning(format!(
                "with batches of {batch_size}, a share of {share} guarantees foreground in no patch, because nnU-Net's rule rounds down to 0; take a larger batch or share"
            ))
        };
        let has_none = share > 0.0 && self.num_unconstrained(batch_size) >= batch_size;
        has_none.then(warning).into_iter().collect()
    }
}

impl ForegroundOversampleSampler {
    /// Returns how many patches of a full batch are uniformly distributed; rounded as in Python, ties to even.
    fn num_unconstrained(&self, batch_size: usize) -> usize {
        (batch_size as f64 * (1.0 - self.share.get())).round_ties_even() as usize
    }
}

/// The blocks, of a patch and its margin, that nnU-Net cuts from a padded volume.
struct PaddedBlocks {
    shape: [usize; 3],
    /// The lowest and the highest start along each axis.
    low: [isize; 3],
    high: [isize; 3],
}

impl PaddedBlocks {
    fn new(volume: [usize; 3], patch: [usize; 3], margin: [usize; 3]) -> Self {
        let shape: [usize; 3] = std::array::from_fn(|axis| patch[axis] + margin[axis]);
        // The volume is padded by the margin, or to the block if it is smaller still; of odd numbers, by one more.
        let padding: [usize; 3] =
            std::array::from_fn(|axis| margin[axis].max(shape[axis].saturating_sub(volume[axis])));
        let side = padding.map(|padding| padding.div_ceil(2) as isize);
        let high = std::array::from_fn(|axis| volume[axis] as isize + side[axis] - shape[axis] as isize);
        Self { shape, low: side.map(|side| -side), high }
    }

    /// Samples where a block starts, all positions being equally likely.
    fn sample(&self, rng: &mut Rng) -> [isize; 3] {
        std::array::from_fn(|axis| self.low[axis] + rng.below((self.high[axis] - self.low[axis] + 1) as u64) as isize)
    }

    /// Returns where the block around a voxel starts.
    fn around(&self, centre: [usize; 3]) -> [isize; 3] {
        std::array::from_fn(|axis| self.low[axis].max(centre[axis] as isize - (self.shape[axis] / 2) as isize))
    }
}

/// Samples one of the classes that the volume has after the chain, then one of its voxels, both uniformly.
fn sample_foreground(context: &SamplingContext, rng: &mut Rng) -> Option<[usize; 3]> {
    let whole = Region::whole(context.mapping.shape);
    let mut classes = context.foreground.classes(context.labels.labels());
    while !classes.is_empty() {
        let chosen = rng.below(classes.len() as u64) as usize;
        let centre = centres::sample(context, &whole, Target::Class(&classes[chosen]), rng);
        if centre.is_some() {
            return centre;
        }
        // The chain has removed the class. Choosing again is choosing uniformly among the others.
        classes.remove(chosen);
    }
    None
}

/// Samples one of the annotated voxels, all being equally likely, if there is a label for the others.
fn sample_annotated(context: &SamplingContext, rng: &mut Rng) -> Option<[usize; 3]> {
    context.foreground.ignore?;
    let whole = Region::whole(context.mapping.shape);
    centres::sample(context, &whole, Target::Annotated(context.foreground), rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(share: f64) -> ForegroundOversampleSampler {
        serde_yaml::from_str(&format!("{{patch: [4, 3, 3], share: {share}}}")).unwrap()
    }

    #[test]
    fn as_many_patches_of_a_batch_are_guaranteed_as_in_nnunet() {
        let third = sampler(0.33);
        let guaranteed = [1, 2, 3, 4, 9, 12].map(|batch_size| batch_size - third.num_unconstrained(batch_size));
        assert_eq!(guaranteed, [0, 1, 1, 1, 3, 4]);
        // Python rounds ties to even: round(2.5) is 2.
        assert_eq!(sampler(0.5).num_unconstrained(5), 2);
    }

    #[test]
    fn a_share_that_rounds_down_to_no_patch_is_a_warning() {
        let warns = |share| matches!(&sampler(share).check(1)[..], [Diagnostic::Warning(_)]);
        assert!(warns(0.33) && !warns(0.0) && !warns(0.6));
    }
}

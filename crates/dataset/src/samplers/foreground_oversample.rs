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
/// A guaranteed patch is centred at a voxel of a label above 0, or of a region where regions are trained, which is chosen with
/// equal probabilities among those of the subject; at the border the patch is shifted into the volume. In a subject without
/// foreground it is uniformly distributed. With `data.ignore_label`, patches that need no foreground are centred at an
/// annotated voxel, each being equally likely.
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
    ) -> Result<[usize; 3], SamplingError> {
        let (patch, volume) = (self.patch.0, context.mapping.shape);
        let is_guaranteed = patch_index.index_in_batch >= self.num_unconstrained(patch_index.batch_size);
        let centre = if is_guaranteed { sample_foreground(context, rng) } else { None };
        let centre = centre.or_else(|| sample_annotated(context, rng));
        Ok(match centre {
            Some(centre) => {
                std::array::from_fn(|axis| centre[axis].saturating_sub(patch[axis] / 2).min(volume[axis] - patch[axis]))
            }
            None => sample_anywhere(volume, patch, rng),
        })
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

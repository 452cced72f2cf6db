//! The input channels of a patch that come from the previous runs.

use crate::experiment::plan::Plan;
use crate::previous::masks::write_masks;
use dataset::patch::Patch;
use random::Rng;
use transforms::{MaskTransform, Masks};
use volume::{Label, buffer_pool};

/// What becomes of the label maps of the previous runs: a mask for each label, changed at random in training.
#[derive(Debug)]
pub(super) struct PreviousMasks {
    /// The labels that the previous runs predict.
    pub labels: Vec<Label>,
    augment: Vec<MaskTransform>,
}

impl PreviousMasks {
    /// Returns the masks of a plan, if it has previous runs.
    pub fn new(plan: &Plan) -> Option<Self> {
        let labels = plan.previous.as_ref()?.labels();
        let augment = plan.experiment.data.previous.as_ref().map(|previous| previous.augment.clone());
        Some(Self { labels, augment: augment.unwrap_or_default() })
    }

    /// Appends the masks of a label map `[x, y, z]` to the channels of a patch; with `rng`, they are changed at random.
    pub fn append(&self, patch: &mut Patch, map: Vec<Label>, rng: Option<Rng>) {
        let mut input = buffer_pool::acquire(patch.image.len() + self.labels.len() * map.len());
        let (image, masks) = input.split_at_mut(patch.image.len());
        image.copy_from_slice(&patch.image);
        write_masks(&map, &self.labels, masks);
        buffer_pool::release(map);
        if let Some(mut rng) = rng {
            let change = |step: &MaskTransform| {
                let params = step.component().sample_params(&mut rng, self.labels.len());
                step.component().apply(&params, &mut Masks { values: &mut *masks, shape: patch.shape });
                params
            };
            patch.mask_params = self.augment.iter().map(change).collect();
        }
        buffer_pool::release(std::mem::replace(&mut patch.image, input));
        patch.channels += self.labels.len();
    }
}

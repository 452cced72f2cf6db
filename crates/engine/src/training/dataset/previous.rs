//! The input channels of a patch that come from the previous runs.

use crate::experiment::plan::Plan;
use crate::previous::masks::write_masks;
use random::Rng;
use transforms::lazy::{LabelView, PipelineError};
use transforms::{MaskParams, MaskTransform, Masks, Transform, TransformParams};
use volume::{Grid, Label, Voxels, buffer_pool};

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

    /// Appends the masks of a label map to an image `[channel, x, y, z]`; with `rng`, they are changed at random. Returns the
    /// channels and the sampled parameters.
    pub fn append(
        &self,
        image: Vec<f32>,
        map: Vec<Label>,
        shape: [usize; 3],
        rng: Option<Rng>,
    ) -> (Vec<f32>, Vec<MaskParams>) {
        let mut input = buffer_pool::acquire(image.len() + self.labels.len() * map.len());
        let (before, masks) = input.split_at_mut(image.len());
        before.copy_from_slice(&image);
        write_masks(&map, &self.labels, masks);
        buffer_pool::release(image);
        buffer_pool::release(map);
        let Some(mut rng) = rng else { return (input, Vec::new()) };
        let change = |step: &MaskTransform| {
            let params = step.component().sample_params(&mut rng, self.labels.len());
            step.component().apply(&params, &mut Masks { values: &mut *masks, shape });
            params
        };
        let params = self.augment.iter().map(change).collect();
        (input, params)
    }
}

/// Returns the label map `[x, y, z]` of a patch of this shape: the block `[start, size]` of an augmented label map, after the
/// chain of the patch, whose incoming volume is on `incoming` and starts `first` voxels before the block.
pub(super) fn patch_labels(
    view: &LabelView,
    (start, size): ([isize; 3], [usize; 3]),
    (first, incoming): ([usize; 3], Grid),
    (chain, params): (&[Transform], &[TransformParams]),
    shape: [usize; 3],
) -> Result<Vec<Label>, PipelineError> {
    let block = view.padded_window(start, size)?;
    if chain.is_empty() {
        return Ok(block);
    }
    let block = Voxels::new(1, size, block);
    let labels = LabelView::of_block(block.clone(), first, incoming, chain, params).padded_window([0; 3], shape);
    block.into_values().into_iter().for_each(buffer_pool::release);
    labels
}

//! A chain of transforms, evaluated on demand over a window.
//!
//! The chain is data; nothing is computed until somebody asks a [`View`] for a window of its output.
//! Neighbouring warps are composed into one interpolation; the labels of a whole chain are one look-up
//! through its [`IndexMapping`].

mod block;
mod border_values;
mod empty_space;
mod extrapolate;
mod fixed_point;
mod index_mapping;
mod profile;
mod resample;
mod view;
mod warp;

pub use block::Block;
pub use border_values::BorderValueCache;
pub use empty_space::EmptySpace;
pub use index_mapping::{CandidateBoxes, ElasticStep, IndexMapping};
pub use profile::Profile;
pub use view::View;

use crate::{Incoming, LabelTransform, Transform, TransformError, TransformParams};
use volume::{Grid, Label, Volume, Voxels};

/// A chain that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// A step cannot be applied to this volume.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A step makes more voxels than the machine has memory for.
    #[error(
        "{name}: {shape:?} voxels of {channels} channels do not fit into the machine's memory; take fewer voxels or a coarser spacing"
    )]
    TooLarge {
        /// The step.
        name: &'static str,
        /// Voxels that are asked of it at once.
        shape: [usize; 3],
        /// Image channels.
        channels: usize,
    },
    /// A window lies outside.
    #[error("a window of {shape:?} voxels at {start:?} does not fit into a volume of {volume:?}")]
    Outside {
        /// Where it starts.
        start: [usize; 3],
        /// Its shape.
        shape: [usize; 3],
        /// The shape of the volume after the chain.
        volume: [usize; 3],
    },
}

/// The draws of a chain that leaves nothing to chance.
pub fn fixed_params(chain: &[Transform], incoming: &Incoming) -> Vec<TransformParams> {
    use random::{Purpose, Seed};
    // Every range of such a chain has width zero, so any stream gives the same draws.
    crate::sample_params(chain, &mut Seed(0).stream(Purpose::Augment, 0, "", 0), incoming)
}

/// The draws with what the content of the volume decides, step by step.
///
/// # Errors
/// When a step cannot be applied to this volume.
pub fn resolve_from_volume(
    chain: &[Transform],
    draws: &[TransformParams],
    source: &Volume,
) -> Result<Vec<TransformParams>, PipelineError> {
    settle_after(&mut Vec::new(), chain, draws, source)
}

/// `before` are the steps before the chain; those of the chain are added to it.
fn settle_after(
    before: &mut Vec<(Transform, TransformParams)>,
    chain: &[Transform],
    draws: &[TransformParams],
    source: &Volume,
) -> Result<Vec<TransformParams>, PipelineError> {
    let mut resolved = Vec::with_capacity(draws.len());
    for (step, drawn) in chain.iter().zip(draws) {
        resolved.push(match (step, drawn) {
            (Transform::Maybe(maybe), TransformParams::Maybe(Some(draws))) => {
                TransformParams::Maybe(Some(settle_after(before, &maybe.steps, draws, source)?))
            }
            (Transform::OneOf(steps), TransformParams::OneOf(chosen, drawn)) => {
                let step = std::slice::from_ref(&steps[*chosen]);
                let mut drawn = settle_after(before, step, std::slice::from_ref(&**drawn), source)?;
                TransformParams::OneOf(*chosen, Box::new(drawn.remove(0)))
            }
            _ => {
                let drawn = if step.resolves_from_volume() {
                    let (steps, draws): (Vec<Transform>, Vec<TransformParams>) = before.iter().cloned().unzip();
                    let view = View::new(source.clone(), &steps, &draws)?;
                    view.look(true, |whole| step.resolve_from_volume(drawn, whole))??
                } else {
                    drawn.clone()
                };
                before.push((step.clone(), drawn.clone()));
                drawn
            }
        });
    }
    Ok(resolved)
}

/// A step of a chain that learns from whole volumes, seen on one of them.
///
/// # Errors
/// When a step before cannot be applied to the volume, or the volume has nothing to learn from.
pub fn fitting_sample(
    step: &Transform,
    before: &[Transform],
    draws: &[TransformParams],
    source: Volume,
) -> Result<Vec<Vec<f32>>, PipelineError> {
    Ok(View::new(source, before, draws)?.look(true, |whole| step.observe(whole))??)
}

/// The grid after a chain; its shape does not depend on the draws.
pub fn output_grid(chain: &[Transform], draws: &[TransformParams], incoming: &Grid) -> Grid {
    let mut grid = *incoming;
    for (step, drawn) in chain.iter().zip(draws) {
        grid = step.outgoing(drawn, &grid);
    }
    grid
}

/// Where each voxel after a chain comes from.
pub fn index_mapping(chain: &[Transform], draws: &[TransformParams], incoming: &Grid) -> IndexMapping {
    let mut grid = *incoming;
    let mut mapping = IndexMapping::identity(incoming.shape);
    unroll(chain, draws, &mut |step, drawn| {
        let Some(place) = step.map_grid(drawn, &grid) else { return };
        mapping.extend(&place.map, place.grid.shape);
        grid = place.grid;
    });
    mapping
}

/// What a chain's steps that change label maps as a whole make of one on the grid before the chain.
pub fn relabel(chain: &[Transform], draws: &[TransformParams], mut labels: Voxels<Label>) -> Voxels<Label> {
    unroll(chain, draws, &mut |step, _| {
        if let Some(label_transform) = step.label_transform() {
            labels = relabelled(label_transform, &labels);
        }
    });
    labels
}

/// A label map after one such step.
fn relabelled(step: &dyn LabelTransform, labels: &Voxels<Label>) -> Voxels<Label> {
    let mut values = labels.to_vec();
    step.relabel(&mut values, labels.shape);
    Voxels::new(1, labels.shape, values)
}

/// The labels of a block of the voxels that `mapping` describes, `[x, y, z]`; `source` is the label map they come from.
pub fn resample_labels(source: &[Label], mapping: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    resample::labels(resample::LabelSource { labels: source, empty: None }, mapping, start, shape)
}

fn unroll<'a>(
    chain: &'a [Transform],
    draws: &'a [TransformParams],
    visit: &mut dyn FnMut(&'a Transform, &'a TransformParams),
) {
    assert_eq!(chain.len(), draws.len(), "a chain meets the draws that were drawn for it");
    for (step, drawn) in chain.iter().zip(draws) {
        step.unroll(drawn, visit);
    }
}

/// The first step that needs the whole volume after a random warp or for itself, and so forces it for every patch.
pub fn forces_whole_volume(chain: &[Transform]) -> Option<usize> {
    let warps = |step: &Transform| matches!(step, Transform::Affine(_) | Transform::ElasticDeformation(_));
    let mixes = |step: &Transform| matches!(step, Transform::Swap(_) | Transform::Motion(_) | Transform::Spike(_));
    let first_warp = chain.iter().position(|step| step.any(&warps) && step.is_random()).unwrap_or(chain.len());
    (0..chain.len()).find(|index| {
        let measures = *index >= first_warp && chain[*index].any(&Transform::needs_statistics);
        measures || chain[*index].any(&mixes)
    })
}

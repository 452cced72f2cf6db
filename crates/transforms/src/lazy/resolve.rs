//! Parameters and training samples that depend on the content of a volume, which is evaluated up to the step in question.

use super::error::PipelineError;
use super::view::View;
use crate::{Transform, TransformParams};
use volume::Volume;

/// Resolves the parameters that depend on the content of the volume, step by step.
///
/// # Errors
/// When a step cannot be applied to this volume.
pub fn resolve_from_volume(
    chain: &[Transform],
    params: &[TransformParams],
    source: &Volume,
) -> Result<Vec<TransformParams>, PipelineError> {
    resolve_after(&mut Vec::new(), chain, params, source)
}

/// Resolves a chain after the steps in `before`, to which its own are added.
fn resolve_after(
    before: &mut Vec<(Transform, TransformParams)>,
    chain: &[Transform],
    params: &[TransformParams],
    source: &Volume,
) -> Result<Vec<TransformParams>, PipelineError> {
    let mut resolved = Vec::with_capacity(params.len());
    for (step, params) in chain.iter().zip(params) {
        resolved.push(match (step, params) {
            (Transform::Maybe(maybe), TransformParams::Maybe(Some(params))) => {
                TransformParams::Maybe(Some(resolve_after(before, &maybe.steps, params, source)?))
            }
            (Transform::OneOf(steps), TransformParams::OneOf(chosen, params)) => {
                let step = std::slice::from_ref(&steps[*chosen]);
                let mut params = resolve_after(before, step, std::slice::from_ref(&**params), source)?;
                TransformParams::OneOf(*chosen, Box::new(params.remove(0)))
            }
            _ => {
                let params = if step.resolves_from_volume() {
                    let (steps, before): (Vec<Transform>, Vec<TransformParams>) = before.iter().cloned().unzip();
                    let view = View::new(source.clone(), &steps, &before)?;
                    view.with_whole_volume(|whole| step.resolve_from_volume(params, whole))??
                } else {
                    params.clone()
                };
                before.push((step.clone(), params.clone()));
                params
            }
        });
    }
    Ok(resolved)
}

/// Returns the sample of one training volume that a step is fitted to, after the steps before it.
///
/// # Errors
/// When a step before cannot be applied to the volume, or the volume has no sample.
pub fn fitting_sample(
    step: &Transform,
    before: &[Transform],
    params: &[TransformParams],
    source: Volume,
) -> Result<Vec<Vec<f32>>, PipelineError> {
    Ok(View::new(source, before, params)?.with_whole_volume(|whole| step.observe(whole))??)
}

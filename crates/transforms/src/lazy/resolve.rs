//! Parameters and training samples that depend on the content of a volume, which is evaluated up to the step in question.

use super::error::PipelineError;
use super::view::View;
use crate::{Transform, TransformParams, WholeVolume};
use volume::{Label, Volume};

/// Resolves the parameters that depend on the content of the volume, step by step.
///
/// # Errors
/// When a step cannot be applied to this volume.
pub fn resolve_from_volume(
    chain: &[Transform],
    params: &[TransformParams],
    source: &Volume,
) -> Result<Vec<TransformParams>, PipelineError> {
    // The applied steps before the one that is resolved.
    let mut before: Vec<(Transform, TransformParams)> = Vec::new();
    let mut resolve = |step: &Transform, params: &TransformParams| -> Result<TransformParams, PipelineError> {
        let resolved = if step.component().resolves_from_volume() {
            let (steps, params_before): (Vec<Transform>, Vec<TransformParams>) = before.iter().cloned().unzip();
            let view = View::new(source.clone(), &steps, &params_before)?;
            view.with_whole_volume(|whole| step.component().resolve_from_volume(params, whole))??
        } else {
            params.clone()
        };
        before.push((step.clone(), resolved.clone()));
        Ok(resolved)
    };
    chain.iter().zip(params).map(|(step, params)| step.try_map_params(params, &mut resolve)).collect()
}

/// Returns the sample of one training volume that a step is fitted to, after the steps before it; to the step, voxels with the
/// label `ignore` are background.
///
/// # Errors
/// When a step before cannot be applied to the volume, or the volume has no sample.
pub fn fitting_sample(
    step: &Transform,
    before: &[Transform],
    params: &[TransformParams],
    source: Volume,
    ignore: Option<Label>,
) -> Result<Vec<Vec<f32>>, PipelineError> {
    let observe = |whole: &WholeVolume| match (ignore, whole.label) {
        (Some(ignore), Some(label)) => {
            let annotated: Vec<Label> = label.iter().map(|label| if *label == ignore { 0 } else { *label }).collect();
            step.component().observe(&WholeVolume { label: Some(&annotated), ..*whole })
        }
        _ => step.component().observe(whole),
    };
    Ok(View::new(source, before, params)?.with_whole_volume(observe)??)
}

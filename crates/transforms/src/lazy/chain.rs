//! The effect of a chain on grids and label maps; image voxels are not needed.

use super::index_mapping::IndexMapping;
use super::resample::{self, LabelSource};
use crate::{Incoming, Transform, TransformParams};
use volume::{Grid, Label, Voxels};

/// Returns the parameters of a chain without randomness.
pub fn fixed_params(chain: &[Transform], incoming: &Incoming) -> Vec<TransformParams> {
    use random::{Purpose, Seed};
    // Every range of such a chain has width zero, so any stream yields the same parameters.
    crate::sample_params(chain, &mut Seed(0).stream(Purpose::Augment, 0, "", 0), incoming)
}

/// Returns the grid after a chain; its shape does not depend on the sampled parameters, but may on those that are resolved
/// from the volume.
pub fn output_grid(chain: &[Transform], params: &[TransformParams], incoming: &Grid) -> Grid {
    let mut grid = *incoming;
    for (step, params) in chain.iter().zip(params) {
        grid = step.outgoing_grid(params, &grid);
    }
    grid
}

/// Returns the shape of the incoming volume from which a chain computes an outgoing one of the shape `output`: at least that.
pub fn input_shape(chain: &[Transform], output: [usize; 3]) -> [usize; 3] {
    chain.iter().rev().fold(output, |shape, step| {
        let needed = step.component().input_shape(shape);
        std::array::from_fn(|axis| shape[axis].max(needed[axis]))
    })
}

/// Returns the mapping from voxels after a chain to their source voxels.
pub fn index_mapping(chain: &[Transform], params: &[TransformParams], incoming: &Grid) -> IndexMapping {
    let mut grid = *incoming;
    let mut mapping = IndexMapping::identity(incoming.shape);
    unroll(chain, params, &mut |step, params| {
        let Some(grid_mapping) = step.component().map_grid(params, &grid) else { return };
        mapping.append_step(&grid_mapping);
        grid = grid_mapping.grid;
    });
    mapping
}

/// Applies the label transforms of a chain, which change label values, to a label map on the grid before the chain.
pub fn relabel(chain: &[Transform], params: &[TransformParams], mut labels: Voxels<Label>) -> Voxels<Label> {
    unroll(chain, params, &mut |step, params| {
        if step.component().relabels() {
            labels = relabelled(step, params, &labels);
        }
    });
    labels
}

/// Returns a label map after one label transform.
pub(super) fn relabelled(step: &Transform, params: &TransformParams, labels: &Voxels<Label>) -> Voxels<Label> {
    let mut values = labels.to_vec();
    step.component().relabel(params, &mut values, labels.shape);
    Voxels::new(1, labels.shape, values)
}

/// Looks up the labels of a block of outgoing voxels, `[x, y, z]`, in the label map `source` on the mapping's source grid.
pub fn resample_labels(source: &[Label], mapping: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    resample::labels(LabelSource::whole(source, mapping.source_shape), mapping, start, shape)
}

/// Calls `visit` with each step that is applied, and its parameters: lists of steps are replaced by their steps.
///
/// # Panics
/// When the chain and the parameters differ in length.
pub(super) fn unroll<'a>(
    chain: &'a [Transform],
    params: &'a [TransformParams],
    visit: &mut dyn FnMut(&'a Transform, &'a TransformParams),
) {
    assert_eq!(chain.len(), params.len(), "each step has its parameters");
    for (step, params) in chain.iter().zip(params) {
        step.visit_applied(params, visit);
    }
}

/// Why every patch needs the whole volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeVolumeUse {
    /// A step mixes distant voxels.
    Mixing,
    /// A step needs statistics of the volume, which differ from patch to patch, since a step before is random.
    Statistics,
    /// A step needs statistics of the volume, which are the same for every patch of a subject.
    SameStatistics,
}

/// Returns the index of each step for which the whole volume is computed for every patch, with the reason.
pub fn forces_whole_volume(chain: &[Transform]) -> Vec<(usize, WholeVolumeUse)> {
    let first_random = chain.iter().position(Transform::is_random).unwrap_or(chain.len());
    let reason = |(index, step): (usize, &Transform)| {
        let reason = if step.any(&|step| step.needs_whole_volume()) {
            WholeVolumeUse::Mixing
        } else if !step.any(&|step| step.needs_statistics()) {
            return None;
        } else if index < first_random {
            WholeVolumeUse::SameStatistics
        } else {
            WholeVolumeUse::Statistics
        };
        Some((index, reason))
    };
    chain.iter().enumerate().filter_map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_shape_suffices_for_every_step() {
        let shape = |chain: &str| input_shape(&serde_json::from_str::<Vec<Transform>>(chain).unwrap(), [4, 5, 6]);
        let crop = |x: usize, z: usize| format!(r#"{{"crop": {{"start": [{x}, 0, 0], "end": [0, 0, {z}]}}}}"#);
        let flip = r#"{"flip": {"probabilities": [1, 0.5, 0]}}"#;
        assert_eq!(shape(&format!("[{flip}]")), [4, 5, 6]);
        assert_eq!(shape(&format!("[{}, {flip}, {}]", crop(1, 0), crop(2, 3))), [7, 5, 9]);
        assert_eq!(shape(&format!(r#"[{{"one_of": [{}, {flip}, {}]}}]"#, crop(1, 0), crop(0, 3))), [5, 5, 9]);
        let maybe = format!(r#"{{"maybe": {{"probability": 0.5, "steps": [{}, {}]}}}}"#, crop(1, 0), crop(1, 1));
        assert_eq!(shape(&format!("[{maybe}, {}]", crop(0, 1))), [6, 5, 8]);
    }

    #[test]
    fn whole_volumes_are_computed_for_statistics_and_for_steps_that_mix_distant_voxels() {
        let uses = |chain: &str| forces_whole_volume(&serde_json::from_str::<Vec<Transform>>(chain).unwrap());
        let (z, flip, gamma) = (
            r#"{"z_normalize": {}}"#,
            r#"{"flip": {"probabilities": [1, 0.5, 0]}}"#,
            r#"{"gamma": {"log_gamma": [0, 1]}}"#,
        );
        assert_eq!(uses(&format!("[{flip}, {gamma}]")), []);
        assert_eq!(uses(&format!("[{z}, {gamma}]")), [(0, WholeVolumeUse::SameStatistics)]);
        assert_eq!(uses(&format!("[{gamma}, {z}]")), [(1, WholeVolumeUse::Statistics)]);
        assert_eq!(
            uses(&format!(r#"[{{"motion": {{}}}}, {{"maybe": {{"probability": 0.5, "steps": [{z}]}}}}]"#)),
            [(0, WholeVolumeUse::Mixing), (1, WholeVolumeUse::Statistics)]
        );
    }
}

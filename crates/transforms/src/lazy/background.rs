//! Background: the voxels outside the mask of `crop_to_nonzero`, and those outside the volume, which nnU-Net labels -1.
//!
//! They are marked by a label while whole volumes are preprocessed and while patches are augmented, so that they compete with
//! the other labels when label maps are interpolated. Anywhere else, they have label 0.

use crate::erasure::Registered;
use crate::statistics::nonzero::NonzeroMask;
use crate::{MaskBackground, Transform, TransformError, WholeVolume};
use volume::{Label, Volume, Voxels, unravel_index};

/// The label of background, where it is marked.
pub const BACKGROUND: Label = Label::MAX;

/// Returns the index of the step of a chain that defines the background.
pub fn background_step(chain: &[Transform]) -> Option<usize> {
    chain.iter().position(|step| matches!(step, Transform::CropToNonzero(_)))
}

/// Marks the background in the labels of a volume after the step that defines it.
///
/// # Errors
/// When a voxel has the label [`BACKGROUND`] already.
pub(super) fn mark(volume: &mut Volume) -> Result<(), TransformError> {
    let shape = volume.grid.shape;
    let Some(label) = &volume.label else { return Ok(()) };
    if label.contains(&BACKGROUND) {
        let reason = format!("label {BACKGROUND} is reserved for the background; give these voxels another label");
        return Err(TransformError { name: MaskBackground::NAME, reason });
    }
    let mask = NonzeroMask::new(&WholeVolume { grid: volume.grid, image: &volume.image, label: None });
    let marked = |(voxel, label): (usize, &Label)| {
        let is_background = *label == 0 && !mask.contains(unravel_index(shape, voxel));
        if is_background { BACKGROUND } else { *label }
    };
    let marked = label.iter().enumerate().map(marked).collect();
    volume.label = Some(Voxels::new(1, shape, marked));
    Ok(())
}

/// Gives the marked background of a volume label 0 again, and returns a map `[x, y, z]` that is 0 there and 1 elsewhere.
pub(super) fn unmark(volume: &mut Volume) -> Voxels<f32> {
    let shape = volume.grid.shape;
    let Some(label) = &volume.label else { return Voxels::new(1, shape, vec![1.0; volume.grid.num_voxels()]) };
    let map = label.iter().map(|label| f32::from(u8::from(*label != BACKGROUND))).collect();
    let unmarked = label.iter().map(|label| if *label == BACKGROUND { 0 } else { *label }).collect();
    volume.label = Some(Voxels::new(1, shape, unmarked));
    Voxels::new(1, shape, map)
}

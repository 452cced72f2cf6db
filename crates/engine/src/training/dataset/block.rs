//! The block of an augmented volume that a patch is computed from.

use super::background;
use dataset::queue::MakeError;
use random::Rng;
use transforms::lazy::{self, IndexMapping, LabelView, PaddedWindow, PipelineError, Profile, View};
use transforms::{Incoming, Transform, TransformParams, sample_params};
use volume::{Affine, Grid, Label, Volume, Voxels, buffer_pool};

/// Where a block lies, and the steps of `patch_augment` that make the patch from it.
pub(super) struct Block<'a> {
    /// The grid that the steps start from; of it, only the block is computed.
    pub incoming: Grid,
    /// First voxel of the block on that grid.
    first: [usize; 3],
    /// First voxel of the grid in the augmented volume; it may be outside.
    corner: [isize; 3],
    /// Voxels of the block along x, y and z.
    size: [usize; 3],
    chain: &'a [Transform],
    /// The sampled parameters of the steps.
    pub params: Vec<TransformParams>,
    /// Voxels of the patch along x, y and z.
    patch: [usize; 3],
}

/// The values of a block.
pub(super) struct BlockValues {
    image: Vec<f32>,
    label: Option<Vec<Label>>,
    /// Whether the background is marked in the labels.
    is_marked: bool,
}

impl<'a> Block<'a> {
    /// Samples the parameters of the steps, and returns the block that they need for a patch of this shape from a volume with
    /// its number of channels; `corner` is the first voxel of what the steps start from.
    pub fn new(
        (volume, channels): (&Grid, usize),
        corner: [isize; 3],
        (chain, patch): (&'a [Transform], [usize; 3]),
        rng: &mut Rng,
    ) -> Self {
        let shift = Affine::scale_and_shift([1.0; 3], corner.map(|index| index as f64));
        let incoming = Grid { shape: lazy::input_shape(chain, patch), affine: volume.affine.after(&shift) };
        let params = sample_params(chain, rng, &Incoming { grid: incoming, channels });
        let (first, size) = lazy::required_region(chain, &params, &incoming);
        Self { incoming, first, corner, size, chain, params, patch }
    }

    /// Returns the first voxel of the block in the augmented volume.
    fn start(&self) -> [isize; 3] {
        std::array::from_fn(|axis| self.corner[axis] + self.first[axis] as isize)
    }

    /// Computes the block. With `background`, the map of the volume that is 0 there, the background is marked in its labels if
    /// there are steps.
    ///
    /// # Errors
    /// When a transform cannot be applied or the block does not fit into memory.
    pub fn values(&self, view: &View, background: Option<&Voxels<f32>>) -> Result<BlockValues, PipelineError> {
        let (image, mut label) = view.padded_window(self.start(), self.size)?;
        let background = background.filter(|_| !self.chain.is_empty());
        let is_marked = match (background, &mut label) {
            (Some(map), Some(label)) => {
                background::mark(label, (self.start(), self.size), map, view.index_mapping());
                true
            }
            _ => false,
        };
        Ok(BlockValues { image, label, is_marked })
    }

    /// Returns the image and the labels of the patch.
    ///
    /// # Errors
    /// When a transform cannot be applied or returns another shape.
    pub fn patch(
        &self,
        values: BlockValues,
        channels: usize,
        profile: Option<&Profile>,
    ) -> Result<PaddedWindow, MakeError> {
        if self.chain.is_empty() {
            return Ok((values.image, values.label));
        }
        let shift = Affine::scale_and_shift([1.0; 3], self.first.map(|index| index as f64));
        let image = Voxels::new(channels, self.size, values.image);
        let label = values.label.map(|label| Voxels::new(1, self.size, label));
        let grid = Grid { shape: self.size, affine: self.incoming.affine.after(&shift) };
        let block = Volume { grid, image: image.clone(), label: label.clone() };
        let mut view =
            View::of_block(block, self.first, self.incoming, self.chain, &self.params)?.with_profile(profile);
        if values.is_marked {
            view = view.with_background_outside();
        }
        let (returned, shape) = (view.grid().shape, self.patch);
        if returned != shape {
            return Err(format!("patch_augment returned a patch of {returned:?} voxels, expected {shape:?}").into());
        }
        let mut out = view.padded_window([0; 3], shape)?;
        drop(view);
        image.into_values().into_iter().for_each(buffer_pool::release);
        label.and_then(Voxels::into_values).into_iter().for_each(buffer_pool::release);
        if let (true, Some(label)) = (values.is_marked, &mut out.1) {
            background::unmark(label);
        }
        Ok(out)
    }

    /// Returns another label map of the patch, `[x, y, z]`, given its view after the augmentation of the volume.
    ///
    /// # Errors
    /// When it does not fit into memory.
    pub fn labels(&self, view: &LabelView) -> Result<Vec<Label>, PipelineError> {
        let block = view.padded_window(self.start(), self.size)?;
        if self.chain.is_empty() {
            return Ok(block);
        }
        let block = Voxels::new(1, self.size, block);
        let labels = LabelView::of_block(block.clone(), self.first, self.incoming, self.chain, &self.params)
            .padded_window([0; 3], self.patch);
        block.into_values().into_iter().for_each(buffer_pool::release);
        labels
    }

    /// Returns the voxel of a map that a voxel of the patch comes from; `None` if that is outside. `of_volume` maps the augmented
    /// volume to the map.
    pub fn source<'m>(&self, of_volume: &'m IndexMapping) -> impl Fn([usize; 3]) -> Option<[usize; 3]> + use<'m> {
        let (of_patch, corner) = (lazy::index_mapping(self.chain, &self.params, &self.incoming), self.corner);
        move |voxel| {
            let incoming = of_patch.source(voxel)?;
            let index = |axis: usize| usize::try_from(corner[axis] + incoming[axis] as isize).ok();
            let in_volume = [index(0)?, index(1)?, index(2)?];
            let is_inside = (0..3).all(|axis| in_volume[axis] < of_volume.shape[axis]);
            is_inside.then(|| of_volume.source(in_volume)).flatten()
        }
    }
}

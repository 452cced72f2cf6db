//! Views: a volume after a chain, whose windows are computed on demand.

use super::background::{self, BACKGROUND, background_step};
use super::block::Block;
use super::border_values::BorderValueCache;
use super::chain::{relabelled, unroll};
use super::empty_space::EmptySpace;
use super::error::PipelineError;
use super::evaluator::{Evaluator, Region, require_memory};
use super::extrapolate::extrapolate;
use super::index_mapping::IndexMapping;
use super::profile::Profile;
use super::stage::compile;
use crate::{Transform, TransformParams, WholeVolume};
use volume::{Grid, Label, Volume, Voxels, buffer_pool, offset};

/// A volume after a chain with its parameters, computed on demand.
#[derive(Debug)]
pub struct View<'a> {
    evaluator: Evaluator<'a>,
    grid: Grid,
    mapping: IndexMapping,
    /// Whether the evaluator's source is not the given volume, because the first part of the chain was computed already.
    is_replaced: bool,
}

/// An image `[channel, x, y, z]` and its labels `[x, y, z]`.
pub type PaddedWindow = (Vec<f32>, Option<Vec<Label>>);

impl<'a> View<'a> {
    /// Returns a view of `source` through `chain` with its `params`.
    ///
    /// Nothing is computed yet, unless a step changes label values, extrapolates the volume or resamples it as a whole: then
    /// the chain up to the last such step is.
    ///
    /// # Errors
    /// When that part cannot be computed.
    pub fn new(source: Volume, chain: &'a [Transform], params: &'a [TransformParams]) -> Result<Self, PipelineError> {
        Self::with_outside(source, chain, params, 0)
    }

    /// Returns a view as [`new`](Self::new) that gives voxels outside the volume the label `outside`.
    pub(super) fn with_outside(
        mut source: Volume,
        chain: &'a [Transform],
        params: &'a [TransformParams],
        outside: Label,
    ) -> Result<Self, PipelineError> {
        let mut is_replaced = false;
        let mut steps = Vec::with_capacity(chain.len());
        unroll(chain, params, &mut |step, params| steps.push((step, params)));
        while let Some(index) = steps.iter().position(|(step, _)| is_eager(step)) {
            let rest = steps.split_off(index + 1);
            let (step, params) = steps.pop().expect("the list has a step at the index");
            let mut before = Self::through(source, &steps);
            before.evaluator.outside = outside;
            source = before.volume()?;
            let component = step.component();
            if let (true, Some(label)) = (component.relabels(), &mut source.label) {
                *label = relabelled(step, params, label);
            }
            if let (Some(extension), Some(mapping)) = (component.extension(), component.map_grid(params, &source.grid))
            {
                require_memory(step.name(), source.image.channels, mapping.grid.shape)?;
                source = extrapolate(&source, &mapping, extension);
            }
            if let (Some(zoom), Some(mapping)) =
                (component.zoom(&source.grid), component.map_grid(params, &source.grid))
            {
                require_memory(step.name(), source.image.channels, mapping.grid.shape)?;
                let label = source.label.map(|label| zoom.forward.labels(&label));
                source = Volume { grid: mapping.grid, image: zoom.forward.image(source.image), label };
            }
            (steps, is_replaced) = (rest, true);
        }
        let mut view = Self { is_replaced, ..Self::through(source, &steps) };
        view.evaluator.outside = outside;
        Ok(view)
    }

    /// Returns a view through steps of which none changes label values, extrapolates or resamples whole volumes.
    fn through(source: Volume, steps: &[(&'a Transform, &'a TransformParams)]) -> Self {
        let grid = source.grid;
        Self::through_block(source, [0; 3], grid, steps)
    }

    /// Returns a view as [`through`](Self::through), of a volume on `incoming` of which `block` is what the steps read.
    fn through_block(
        block: Volume,
        start: [usize; 3],
        incoming: Grid,
        steps: &[(&'a Transform, &'a TransformParams)],
    ) -> Self {
        let (stages, mapping) = compile(&incoming, steps);
        let grid = stages.last().map_or(incoming, |stage| stage.grid);
        Self { evaluator: Evaluator::new(block, start, incoming, stages), grid, mapping, is_replaced: false }
    }

    /// Returns a view of a volume on `incoming` through `chain` with its `params`, given only the `block` of the volume from
    /// the voxel `start` on: its [`required_region`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_block(
        block: Volume,
        start: [usize; 3],
        incoming: Grid,
        chain: &'a [Transform],
        params: &'a [TransformParams],
    ) -> Result<Self, PipelineError> {
        if block.grid.shape == incoming.shape {
            return Self::new(Volume { grid: incoming, ..block }, chain, params);
        }
        let mut steps = Vec::with_capacity(chain.len());
        unroll(chain, params, &mut |step, params| steps.push((step, params)));
        Ok(Self::through_block(block, start, incoming, &steps))
    }

    /// Takes the border values of the given volume from a cache that its views share.
    pub fn with_border_values(mut self, cache: &'a BorderValueCache) -> Self {
        self.evaluator.border_cache = (!self.is_replaced).then_some(cache);
        self
    }

    /// Skips look-ups where the labels of the given volume are known to be 0.
    pub fn with_empty_space(mut self, empty: &'a EmptySpace) -> Self {
        self.evaluator.empty = (!self.is_replaced).then_some(empty);
        self
    }

    /// Gives voxels outside the given volume the label [`BACKGROUND`] instead of 0, with which its background is marked.
    pub fn with_background_outside(mut self) -> Self {
        self.evaluator.outside = BACKGROUND;
        self
    }

    /// Adds the time of each step to a profile.
    pub fn with_profile(mut self, profile: Option<&'a Profile>) -> Self {
        self.evaluator.profile = profile;
        self
    }

    /// Returns the grid after the chain.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Returns the mapping from voxels after the chain to source voxels.
    pub fn index_mapping(&self) -> &IndexMapping {
        &self.mapping
    }

    /// Computes a window of the output, image and labels.
    ///
    /// # Errors
    /// When it extends past the volume, or a step cannot be applied to this volume.
    pub fn window(&self, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        if (0..3).any(|axis| start[axis] + shape[axis] > self.grid.shape[axis]) {
            return Err(PipelineError::Outside { start, shape, volume: self.grid.shape });
        }
        let region = Region { start, shape, with_labels: true };
        let mut block = self.evaluator.block(self.evaluator.stages.len(), region)?;
        let label = block.label.take().or_else(|| self.evaluator.labels(&self.mapping, start, shape));
        let image = block.crop(self.evaluator.source.image.channels, start, shape);
        Ok(Block { label, ..Block::new(start, shape, image) })
    }

    /// Computes the image and the labels of a window of the output that may extend past the volume; voxels outside have
    /// intensity 0 and label 0.
    ///
    /// # Errors
    /// When a step cannot be applied to this volume.
    pub fn padded_window(&self, start: [isize; 3], shape: [usize; 3]) -> Result<PaddedWindow, PipelineError> {
        let (first, size) = inside(self.grid.shape, start, shape);
        let (channels, voxels) = (self.evaluator.source.image.channels, shape.iter().product::<usize>());
        if size == shape {
            let mut block = self.window(first, shape)?;
            let label = block.label.take();
            return Ok((block.into_owned_crop(channels, first, shape), label));
        }
        require_memory("padding", channels, shape)?;
        let mut image = buffer_pool::acquire(channels * voxels);
        image.fill(0.0);
        let mut label = self.evaluator.source.label.as_ref().map(|_| buffer_pool::acquire(voxels));
        label.iter_mut().for_each(|label| label.fill(0));
        if !size.contains(&0) {
            let at = std::array::from_fn(|axis| (first[axis] as isize - start[axis]) as usize);
            let mut block = self.window(first, size)?;
            let channels = image.chunks_exact_mut(voxels).zip(block.image.chunks_exact(size.iter().product()));
            channels.for_each(|(out, values)| insert(values, size, out, shape, at));
            if let (Some(out), Some(values)) = (&mut label, block.label.take()) {
                insert(&values, size, out, shape, at);
                buffer_pool::release(values);
            }
            block.recycle();
        }
        Ok((image, label))
    }

    /// Computes the whole output.
    ///
    /// # Errors
    /// When a step cannot be applied to this volume.
    pub fn volume(&self) -> Result<Volume, PipelineError> {
        let source = &self.evaluator.source;
        if self.evaluator.stages.is_empty() {
            return Ok(source.clone());
        }
        let shape = self.grid.shape;
        let block = self.window([0; 3], shape)?;
        let image = Voxels::new(source.image.channels, shape, block.image.into_owned());
        Ok(Volume { grid: self.grid, image, label: block.label.map(|label| Voxels::new(1, shape, label)) })
    }

    /// Calls `read` with the whole output, image and labels.
    pub(super) fn with_whole_volume<T>(&self, read: impl FnOnce(&WholeVolume) -> T) -> Result<T, PipelineError> {
        let block = self.window([0; 3], self.grid.shape)?;
        Ok(read(&WholeVolume { grid: self.grid, image: &block.image, label: block.label.as_deref() }))
    }
}

/// Returns a volume after a chain, and a map `[x, y, z]` of it that is 0 in the background and 1 elsewhere. Voxels that had a label
/// above 0 after the [`background_step`] are not in the background.
///
/// # Errors
/// When the chain cannot be applied, or a voxel has the label [`BACKGROUND`].
///
/// # Panics
/// When the chain has no step that defines the background.
pub fn volume_and_background(
    source: Volume,
    chain: &[Transform],
    params: &[TransformParams],
) -> Result<(Volume, Voxels<f32>), PipelineError> {
    let (before, after) = chain.split_at(background_step(chain).expect("the chain defines the background") + 1);
    let (params_before, params_after) = params.split_at(before.len());
    let mut volume = View::new(source, before, params_before)?.volume()?;
    background::mark(&mut volume)?;
    let mut volume = View::with_outside(volume, after, params_after, BACKGROUND)?.volume()?;
    let map = background::unmark(&mut volume);
    Ok((volume, map))
}

/// Returns whether the chain up to a step is computed for the whole volume.
fn is_eager(step: &Transform) -> bool {
    let step = step.component();
    step.relabels() || step.extension().is_some() || step.zooms()
}

/// Returns the region of a volume on `incoming` that the whole output of a chain depends on: its first voxel and its shape. A
/// patch that is rotated needs less than the box around all rotations, and one that is not rotated its centre only.
pub fn required_region(chain: &[Transform], params: &[TransformParams], incoming: &Grid) -> ([usize; 3], [usize; 3]) {
    let mut steps = Vec::with_capacity(chain.len());
    unroll(chain, params, &mut |step, params| steps.push((step, params)));
    if steps.iter().any(|(step, _)| is_eager(step)) {
        return ([0; 3], incoming.shape);
    }
    let (stages, _) = compile(incoming, &steps);
    let mut region = ([0; 3], stages.last().map_or(incoming.shape, |stage| stage.grid.shape));
    for index in (0..stages.len()).rev() {
        let before = if index == 0 { incoming } else { &stages[index - 1].grid };
        region = stages[index].required_region(region, before.shape);
    }
    region
}

/// Returns the part of a window that is inside a volume: its first voxel and its shape.
pub(super) fn inside(volume: [usize; 3], start: [isize; 3], shape: [usize; 3]) -> ([usize; 3], [usize; 3]) {
    let clamped = |axis: usize, index: isize| index.clamp(0, volume[axis] as isize) as usize;
    let first: [usize; 3] = std::array::from_fn(|axis| clamped(axis, start[axis]));
    let end: [usize; 3] = std::array::from_fn(|axis| clamped(axis, start[axis] + shape[axis] as isize));
    (first, std::array::from_fn(|axis| end[axis] - first[axis]))
}

/// Copies a block of voxels into a larger one; its first voxel goes to the voxel `at`.
pub(super) fn insert<T: Copy>(values: &[T], size: [usize; 3], out: &mut [T], shape: [usize; 3], at: [usize; 3]) {
    for (row, values) in values.chunks_exact(size[2]).enumerate() {
        let first = offset(shape, [at[0] + row / size[1], at[1] + row % size[1], at[2]]);
        out[first..first + size[2]].copy_from_slice(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn voxels_outside_the_volume_have_intensity_and_label_0() {
        let shape = [2, 3, 4];
        let grid = Grid { shape, affine: Affine::IDENTITY };
        let image = Voxels::new(2, shape, (1..49u8).map(f32::from).collect());
        let label = Some(Voxels::new(1, shape, (1..25).collect()));
        let view = View::new(Volume { grid, image: image.clone(), label }, &[], &[]).unwrap();
        for (start, size) in [
            ([0, 0, 0], [2, 3, 4]),
            ([0, 1, 1], [2, 2, 2]),
            ([-1, -2, -3], [4, 4, 5]),
            ([-1, 1, 2], [2, 1, 9]),
            ([1, 2, 3], [3, 3, 3]),
            ([0, 0, -5], [1, 1, 5]),
            ([2, 0, 0], [1, 3, 4]),
            ([0, 7, 0], [1, 3, 4]),
        ] {
            let (values, labels) = view.padded_window(start, size).unwrap();
            let labels = labels.unwrap();
            let voxels: usize = size.iter().product();
            assert_eq!((values.len(), labels.len()), (2 * voxels, voxels));
            for voxel in 0..voxels {
                let local = volume::unravel_index(size, voxel);
                let index: [isize; 3] = std::array::from_fn(|axis| start[axis] + local[axis] as isize);
                let is_inside = (0..3).all(|axis| (0..shape[axis] as isize).contains(&index[axis]));
                let source = is_inside.then(|| offset(shape, index.map(|index| index as usize)));
                let expected = |channel: usize| source.map_or(0.0, |source| image.channel(channel)[source]);
                assert_eq!([values[voxel], values[voxels + voxel]], [expected(0), expected(1)], "{start:?} {local:?}");
                assert_eq!(usize::from(labels[voxel]), source.map_or(0, |source| source + 1), "{start:?} {local:?}");
            }
        }
    }
}

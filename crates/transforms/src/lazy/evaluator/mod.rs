//! Computes regions of the output of stages, recursively from the last stage to the source.

mod intensity;
mod spatial;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::block::Block;
use super::border_values::{self, BorderValueCache, BorderValues};
use super::empty_space::EmptySpace;
use super::error::PipelineError;
use super::finite;
use super::index_mapping::IndexMapping;
use super::profile::Profile;
use super::resample::{self, LabelSource};
use super::stage::{Kind, Stage};
use crate::{Convention, Fill, WholeVolume, Window, smooth_recursively};
use volume::{Grid, Label, Volume, memory};

/// A volume with the stages that are applied to it.
#[derive(Debug)]
pub(super) struct Evaluator<'a> {
    /// The source, or the block of it that the stages read.
    pub(super) source: Volume,
    /// First voxel of that block.
    start: [usize; 3],
    /// The grid of the whole source.
    grid: Grid,
    pub(super) stages: Vec<Stage<'a>>,
    /// The number of stages up to the first one that moves voxels, if all others that do move whole voxels: labels can then be
    /// computed with the image, stage by stage.
    first_move: Option<usize>,
    /// Border values of the source.
    pub(super) border_cache: Option<&'a BorderValueCache>,
    /// Where the source's labels are known to be 0.
    pub(super) empty: Option<&'a EmptySpace>,
    /// The label of voxels outside the source.
    pub(super) outside: Label,
    pub(super) profile: Option<&'a Profile>,
}

/// A region requested from a stage.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
    /// If true, the labels after the last stage may be returned as a by-product, for exactly this region.
    pub(super) with_labels: bool,
}

impl Region {
    /// Returns a region without labels.
    pub(super) fn image_only(start: [usize; 3], shape: [usize; 3]) -> Self {
        Self { start, shape, with_labels: false }
    }

    /// Returns whether the region is all of a grid.
    fn is_whole(&self, grid: &Grid) -> bool {
        (self.start, self.shape) == ([0; 3], grid.shape)
    }
}

impl<'a> Evaluator<'a> {
    /// Returns the evaluator of stages after a volume on `grid`, of which `source` is the block from the voxel `start` on.
    pub(super) fn new(source: Volume, start: [usize; 3], grid: Grid, stages: Vec<Stage<'a>>) -> Self {
        let first_move = first_move(&stages);
        Self { source, start, grid, stages, first_move, border_cache: None, empty: None, outside: 0, profile: None }
    }

    fn channels(&self) -> usize {
        self.source.image.channels
    }

    fn label_source(&self) -> Option<LabelSource<'_>> {
        let labels = self.source.label.as_ref()?;
        let (start, shape, empty, outside) = (self.start, self.source.image.shape, self.empty, self.outside);
        Some(LabelSource { labels, start, shape, empty, outside })
    }

    /// Looks up the labels of a region; `None` if the source has none.
    pub(super) fn labels(&self, mapping: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Option<Vec<Label>> {
        let source = self.label_source()?;
        Some(Profile::time(self.profile, "labels", || resample::labels(source, mapping, start, shape)))
    }

    /// Returns a block that contains at least the region, after the first `level` stages.
    pub(super) fn block(&self, level: usize, region: Region) -> Result<Block<'_>, PipelineError> {
        match level.checked_sub(1).map(|index| &self.stages[index]) {
            None => Ok(Block::new(self.start, self.source.image.shape, &self.source.image[..])),
            Some(stage) => Profile::time(self.profile, stage.name, || self.apply(level, stage, region)),
        }
    }

    fn apply<'s>(&'s self, level: usize, stage: &'s Stage<'a>, region: Region) -> Result<Block<'s>, PipelineError> {
        require_memory(stage.name, self.channels(), region.shape)?;
        match &stage.kind {
            Kind::Lattice(lattice, fill) => self.lattice(level, lattice, *fill, region),
            Kind::Warp(mapping, interpolation, fill) => {
                let block = self.warp(level, mapping, (*interpolation, *fill), region)?;
                require_finite(stage.name, &block.image, block.start, block.shape)?;
                Ok(block)
            }
            Kind::Smooth(deviations) => {
                let shape = stage.grid.shape;
                let whole = self.incoming(level, Region::image_only([0; 3], shape))?;
                let mut image = whole.into_owned_crop(self.channels(), [0; 3], shape);
                let mut window = Window::new(&mut image, self.channels(), stage.grid, ([0; 3], shape));
                smooth_recursively(&mut window, *deviations);
                require_finite(stage.name, &image, [0; 3], shape)?;
                Ok(Block::new([0; 3], shape, image))
            }
            Kind::Intensity(intensity) => self.intensity(level, &stage.grid, intensity, region),
        }
    }

    /// Returns a block of the volume before a stage: all of it if it was computed already, else the region.
    fn incoming(&self, level: usize, region: Region) -> Result<Block<'_>, PipelineError> {
        match self.stages[level - 1].incoming.get() {
            Some(whole) => Ok(Block::new([0; 3], self.incoming_grid(level).shape, &whole[..])),
            None => self.block(level - 1, region),
        }
    }

    fn incoming_grid(&self, level: usize) -> &Grid {
        (level - 1).checked_sub(1).map_or(&self.grid, |index| &self.stages[index].grid)
    }

    /// Calls `read` with the whole volume before a stage, which is then cached.
    fn with_whole_incoming<T>(&self, level: usize, read: impl FnOnce(&[f32]) -> T) -> Result<T, PipelineError> {
        let shape = self.incoming_grid(level).shape;
        let block = self.incoming(level, Region::image_only([0; 3], shape))?;
        let result = read(&block.image);
        if let Cow::Owned(image) = block.image {
            // Another thread may have set the same values already.
            let _ = self.stages[level - 1].incoming.set(Arc::new(image));
        }
        Ok(result)
    }

    /// Returns the border value of each channel for a stage.
    fn border_values(&self, level: usize, fill: Fill) -> Result<BorderValues<'_>, PipelineError> {
        let channels = self.channels();
        if let Fill::Value(value) = fill {
            return Ok(match channels {
                1 => BorderValues::One([value]),
                _ => BorderValues::Owned(vec![value; channels]),
            });
        }
        let entry: Option<&OnceLock<_>> = self.border_cache.filter(|_| level == 1).and_then(|cache| cache.entry(fill));
        if let Some(values) = entry.and_then(OnceLock::get) {
            return Ok(BorderValues::Cached(values));
        }
        let grid = *self.incoming_grid(level);
        let compute = |image: &[f32]| border_values::compute(fill, &WholeVolume { grid, image, label: None });
        let values = self.with_whole_incoming(level, compute)?;
        Ok(match entry {
            Some(entry) => BorderValues::Cached(entry.get_or_init(|| values)),
            None => BorderValues::Owned(values),
        })
    }
}

/// Returns the number of stages up to the first one that moves voxels, if labels can be computed stage by stage from it on: if it is
/// the only one, or one whose labels are not those of the nearest voxel, or the others move whole voxels as it does.
fn first_move(stages: &[Stage]) -> Option<usize> {
    let mut moves = stages.iter().enumerate().filter(|(_, stage)| stage.moves_voxels());
    let (first, stage) = moves.next()?;
    let mut others = moves.map(|(_, stage)| &stage.kind).peekable();
    // A point is rounded in the coordinates of the source, so the nearest voxel is that of the composed map.
    let is_composed = matches!(&stage.kind, Kind::Warp(mapping, ..) if mapping.convention == Convention::Itk);
    let is_alone = others.peek().is_none();
    let is_possible = is_alone || (!is_composed && others.all(|kind| matches!(kind, Kind::Lattice(..))));
    is_possible.then_some(first + 1)
}

/// Checks that an output array fits into memory.
///
/// # Errors
/// When it does not.
pub(super) fn require_memory(name: &'static str, channels: usize, shape: [usize; 3]) -> Result<(), PipelineError> {
    if memory::fits_in_memory::<f32>(channels, shape) {
        Ok(())
    } else {
        Err(PipelineError::TooLarge { name, shape, channels })
    }
}

/// Checks that a step computed finite values for a block.
fn require_finite(
    name: &'static str,
    image: &[f32],
    start: [usize; 3],
    shape: [usize; 3],
) -> Result<(), PipelineError> {
    finite::find(image, start, shape).map_or(Ok(()), |voxels| Err(PipelineError::NotFinite { name, voxels }))
}

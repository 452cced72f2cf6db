//! Computes regions of the output of stages, recursively from the last stage to the source.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::block::{Block, widened};
use super::border_values::{self, BorderValueCache, BorderValues};
use super::empty_space::EmptySpace;
use super::error::PipelineError;
use super::finite;
use super::index_mapping::IndexMapping;
use super::profile::Profile;
use super::resample::{self, LabelSource};
use super::stage::{IntensityStage, Kind, Stage};
use crate::{
    Convention, Fill, Interpolation, Lattice, Map, VolumeStatistics, WholeVolume, Window, smooth_recursively,
    spline_coefficients, spline_reach,
};
use volume::{Affine, Grid, Label, Volume, buffer_pool, memory};

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

    fn lattice(
        &self,
        level: usize,
        lattice: &Lattice,
        fill: Fill,
        Region { start, shape, with_labels }: Region,
    ) -> Result<Block<'_>, PipelineError> {
        let with_labels = with_labels && self.first_move.is_some();
        let border_values = self.border_values(level, fill)?;
        let incoming_shape = self.incoming_grid(level).shape;
        let Some((from, size)) = resample::lattice_source(lattice, incoming_shape, start, shape) else {
            let voxels: usize = shape.iter().product();
            let mut image = buffer_pool::acquire(self.channels() * voxels);
            let channels = image.chunks_exact_mut(voxels).zip(border_values.iter());
            channels.for_each(|(image, border)| image.fill(*border));
            return Ok(Block::new(start, shape, image));
        };
        let incoming = self.incoming(level, Region { start: from, shape: size, with_labels })?;
        let needs_source_labels = with_labels && incoming.label.is_none() && self.first_move == Some(level);
        if let (Some(flipped), Cow::Owned(_), false) =
            (resample::flipped_axes(lattice, &incoming, (from, size), shape), &incoming.image, needs_source_labels)
        {
            return Ok(Block { start, ..incoming.reversed(flipped) });
        }
        let image = resample::lattice(&incoming, lattice, incoming_shape, &border_values, start, shape);
        let source = match &incoming.label {
            Some(labels) => {
                let (empty, outside) = (None, self.outside);
                Some(LabelSource { labels, start: incoming.start, shape: incoming.shape, empty, outside })
            }
            None => self.label_source().filter(|_| with_labels && self.first_move == Some(level)),
        };
        let label = source.map(|source| resample::lattice_labels(&source, lattice, incoming_shape, start, shape));
        incoming.recycle();
        Ok(Block { label, ..Block::new(start, shape, image) })
    }

    fn warp(
        &self,
        level: usize,
        mapping: &IndexMapping,
        (interpolation, fill): (Interpolation, Fill),
        Region { start, shape, with_labels }: Region,
    ) -> Result<Block<'_>, PipelineError> {
        let border_values = self.border_values(level, fill)?;
        let (from, size) = mapping.source_region(start, shape);
        let incoming = match interpolation {
            Interpolation::Cubic => self.spline_coefficients(level, from, size)?,
            Interpolation::Nearest | Interpolation::Linear => self.incoming(level, Region::image_only(from, size))?,
        };
        let labels = if with_labels && self.first_move == Some(level) { self.label_source() } else { None };
        let (image, label) = resample::warp(&incoming, (mapping, interpolation), &border_values, labels, start, shape);
        incoming.recycle();
        Ok(Block { label, ..Block::new(start, shape, image) })
    }

    fn intensity<'s>(
        &'s self,
        level: usize,
        grid: &Grid,
        stage: &'s IntensityStage<'a>,
        region: Region,
    ) -> Result<Block<'s>, PipelineError> {
        if let Some(whole) = stage.outgoing.get() {
            return Ok(Block::new([0; 3], grid.shape, &whole[..]));
        }
        let halo = stage.step.component().halo(stage.params, grid);
        let (from, size) = widened(region.start, region.shape, halo, grid.shape);
        let with_labels = region.with_labels && (from, size) == (region.start, region.shape);
        let region_with_halo = Region { start: from, shape: size, with_labels };
        let (image, label) = self.mapped(level, grid, stage, region_with_halo)?;
        if halo == [usize::MAX; 3] {
            require_finite(stage.step.name(), &image, from, size)?;
            if region.is_whole(grid) {
                return Ok(Block { label, ..Block::new(from, size, image) });
            }
            // Every window needs the whole volume, so it is cached.
            let whole = stage.outgoing.get_or_init(|| Arc::new(image));
            return Ok(Block { label, ..Block::new(from, size, &whole[..]) });
        }
        let image = Block::new(from, size, image).crop(self.channels(), region.start, region.shape);
        // Not before cropping: the values of the halo may be anything.
        require_finite(stage.step.name(), &image, region.start, region.shape)?;
        Ok(Block { label, ..Block::new(region.start, region.shape, image) })
    }

    /// Applies an intensity step to a region, which includes its halo.
    fn mapped(
        &self,
        level: usize,
        grid: &Grid,
        stage: &IntensityStage<'a>,
        region: Region,
    ) -> Result<(Vec<f32>, Option<Vec<Label>>), PipelineError> {
        let (channels, Region { start, shape, .. }) = (self.channels(), region);
        // Statistics of a region that is the whole volume need no copy of it.
        let measures_region =
            region.is_whole(grid) && stage.step.component().needs_statistics() && stage.statistics.get().is_none();
        if !measures_region {
            self.measure(level, grid, stage)?;
        }
        let moves = stage.step.component().copies(stage.params, grid);
        let moved = if moves.is_empty() {
            Vec::new()
        } else {
            let border_values = self.border_values(level, Fill::Minimum)?;
            let incoming = self.incoming(level, Region::image_only(start, shape))?;
            let resampled = |map: &Affine| {
                let mut mapping = IndexMapping::identity(grid.shape);
                mapping.append(&Map::Warp(*map), grid.shape);
                resample::warp(&incoming, (&mapping, Interpolation::Linear), &border_values, None, start, shape).0
            };
            moves.iter().map(resampled).collect()
        };
        let mut incoming = self.incoming(level, region)?;
        // These are also the labels that the step reads, since no step after it moves voxels.
        let output_label = incoming.label.take();
        let own_label = match (&stage.labels, &output_label) {
            (Some(mapping), None) => self.labels(mapping, start, shape),
            _ => None,
        };
        let label = own_label.as_deref().or(output_label.as_deref().filter(|_| stage.labels.is_some()));
        if measures_region {
            let whole = WholeVolume { grid: *grid, image: &incoming.image, label };
            let statistics = stage.step.component().statistics(stage.params, &whole)?;
            stage.statistics.get_or_init(|| statistics);
        }
        let statistics = stage.statistics.get().unwrap_or(VolumeStatistics::none());
        let mut image = incoming.into_owned_crop(channels, start, shape);
        let window = Window::new(&mut image, channels, *grid, (start, shape));
        stage.step.component().apply(stage.params, statistics, &mut Window { label, moved, ..window });
        // Where the labels of the output are requested, those that were looked up are those too.
        if region.with_labels && output_label.is_none() {
            return Ok((image, own_label));
        }
        own_label.into_iter().for_each(buffer_pool::release);
        Ok((image, output_label))
    }

    /// Returns the spline coefficients of the volume before a stage, for interpolation at points inside a region.
    fn spline_coefficients(
        &self,
        level: usize,
        start: [usize; 3],
        shape: [usize; 3],
    ) -> Result<Block<'_>, PipelineError> {
        let (channels, grid) = (self.channels(), *self.incoming_grid(level));
        // A point depends on four coefficients along each axis.
        let (start, shape) = widened(start, shape, [2; 3], grid.shape);
        let (from, size) = widened(start, shape, [spline_reach(); 3], grid.shape);
        let incoming = self.incoming(level, Region::image_only(from, size))?;
        let mut image = incoming.into_owned_crop(channels, from, size);
        spline_coefficients(&mut Window::new(&mut image, channels, grid, (from, size)));
        Ok(Block::new(start, shape, Block::new(from, size, image).crop(channels, start, shape)))
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

    /// Computes the statistics of the whole volume before a stage, if its step needs them and they are not known yet.
    fn measure(&self, level: usize, grid: &Grid, stage: &IntensityStage<'a>) -> Result<(), PipelineError> {
        if !stage.step.component().needs_statistics() || stage.statistics.get().is_some() {
            return Ok(());
        }
        let label = stage.labels.as_ref().and_then(|mapping| self.labels(mapping, [0; 3], grid.shape));
        let measure = |image: &[f32]| {
            stage
                .step
                .component()
                .statistics(stage.params, &WholeVolume { grid: *grid, image, label: label.as_deref() })
        };
        let statistics = self.with_whole_incoming(level, measure)??;
        stage.statistics.get_or_init(|| statistics);
        Ok(())
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

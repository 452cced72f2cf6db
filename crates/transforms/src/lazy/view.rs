//! A volume seen through a chain: windows of its output, computed when they are asked for.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock};

use super::border_values::{self, BorderValueCache, BorderValues};
use super::extrapolate::extended;
use super::{EmptySpace, IndexMapping, PipelineError, Profile};
use crate::lazy::block::{Block, cut, owned, widened};
use crate::lazy::resample::{self, LabelSource};
use crate::{
    Fill, GridMapping, Interpolation, Lattice, Map, Transform, TransformParams, VolumeStatistics, WholeVolume, Window,
    smooth_recursively, spline_coefficients, spline_reach,
};
use volume::buffer_pool;
use volume::lock::lock;
use volume::memory;
use volume::{Affine, Grid, Label, Volume, Voxels};

/// A volume seen through a chain with its draws.
#[derive(Debug)]
pub struct View<'a> {
    source: Volume,
    stages: Vec<Stage<'a>>,
    grid: Grid,
    mapping: IndexMapping,
    /// Where the intensities that voxels from outside the source get are kept once they are known.
    border_cache: Option<&'a BorderValueCache>,
    /// Whether the source is another one than was given: the chain's first part was computed at once.
    is_replaced: bool,
    /// Where the source's labels are all 0, where that is known.
    empty: Option<&'a EmptySpace>,
    times: Option<&'a Profile>,
    /// Labels that a stage is to find along with its intensities, since their places are the same.
    along: Mutex<Along>,
}

#[derive(Debug, Default)]
struct Along {
    /// The block whose labels are wanted.
    wanted: Option<([usize; 3], [usize; 3])>,
    found: Option<Vec<Label>>,
}

/// One evaluation step: a step of the chain, or several warps as one.
#[derive(Debug)]
struct Stage<'a> {
    kind: Kind<'a>,
    /// The step's name, of several the last one's.
    name: &'static str,
    /// The grid after the stage.
    grid: Grid,
    /// The whole incoming volume, where some stage has asked for it.
    whole: OnceLock<Arc<Vec<f32>>>,
}

#[derive(Debug)]
enum Kind<'a> {
    Lattice(Lattice, Fill),
    Warp(Box<IndexMapping>, Interpolation, Fill),
    /// A Gaussian over the whole volume, with its deviations in voxels.
    Smooth([f64; 3]),
    Intensity {
        step: &'a Transform,
        drawn: &'a TransformParams,
        measured: OnceLock<VolumeStatistics>,
        /// Where the labels of the stage come from, where its step wants them.
        labels: Option<Box<IndexMapping>>,
        /// The whole outgoing volume, where the step needs the whole incoming one.
        out: OnceLock<Arc<Vec<f32>>>,
    },
}

impl<'a> View<'a> {
    /// A view of `source` through `chain` with its `draws`. Computes nothing yet, unless a step changes label maps as
    /// a whole or goes on beyond the volume's ends: the chain up to the last such step is computed at once.
    ///
    /// # Errors
    /// When such a part cannot be computed.
    pub fn new(
        mut source: Volume,
        chain: &'a [Transform],
        draws: &'a [TransformParams],
    ) -> Result<Self, PipelineError> {
        let mut is_replaced = false;
        let mut steps = Vec::with_capacity(chain.len());
        super::unroll(chain, draws, &mut |step, drawn| steps.push((step, drawn)));
        let needs_whole = |step: &Transform| step.label_transform().is_some() || step.extension().is_some();
        while let Some(place) = steps.iter().position(|(step, _)| needs_whole(step)) {
            let rest = steps.split_off(place + 1);
            let (step, drawn) = steps.pop().expect("the step stands at its place");
            source = Self::through(source, &steps).volume()?;
            if let (Some(label_transform), Some(label)) = (step.label_transform(), &mut source.label) {
                *label = super::relabelled(label_transform, label);
            }
            if let (Some(extension), Some(place)) = (step.extension(), step.map_grid(drawn, &source.grid)) {
                refuse_too_large(step.name(), source.image.channels, place.grid.shape)?;
                source = extended(&source, &place, extension);
            }
            (steps, is_replaced) = (rest, true);
        }
        Ok(Self { is_replaced, ..Self::through(source, &steps) })
    }

    /// A view through steps none of which changes label maps.
    pub(super) fn through(source: Volume, steps: &[(&'a Transform, &'a TransformParams)]) -> Self {
        let mut grid = source.grid;
        let mut mapping = IndexMapping::identity(grid.shape);
        let mut stages: Vec<Stage> = Vec::with_capacity(steps.len());
        for (step, drawn) in steps {
            let stage = |kind, grid| Stage { kind, name: step.name(), grid, whole: OnceLock::new() };
            let Some(place) = step.map_grid(drawn, &grid) else {
                let labels = step.needs_labels().then(|| Box::new(mapping.clone()));
                let (measured, out) = (OnceLock::new(), OnceLock::new());
                stages.push(stage(Kind::Intensity { step, drawn, measured, labels, out }, grid));
                continue;
            };
            if place.smoothing != [0.0; 3] {
                stages.push(stage(Kind::Smooth(place.smoothing), grid));
            }
            let kind = match place.map {
                Map::Lattice(lattice) => Kind::Lattice(lattice, place.fill),
                Map::Warp(_) | Map::Elastic(_) => {
                    let before = stages.pop_if(|stage| stage.composes_with(&place));
                    let mut warp = match before.map(|stage| stage.kind) {
                        Some(Kind::Warp(warp, ..)) => warp,
                        _ => Box::new(IndexMapping::identity(grid.shape)),
                    };
                    warp.extend(&place.map, place.grid.shape);
                    Kind::Warp(warp, place.interpolation, place.fill)
                }
            };
            mapping.extend(&place.map, place.grid.shape);
            grid = place.grid;
            stages.push(stage(kind, grid));
        }
        Self {
            source,
            stages,
            grid,
            mapping,
            border_cache: None,
            is_replaced: false,
            empty: None,
            times: None,
            along: Mutex::default(),
        }
    }

    /// Keeps the intensities that voxels from outside the given source get for other views, or takes them from there.
    pub fn with_border_values(self, known: &'a BorderValueCache) -> Self {
        Self { border_cache: (!self.is_replaced).then_some(known), ..self }
    }

    /// Tells where the given source's labels are all 0, so that they need not be looked at.
    pub fn with_empty_space(self, empty: &'a EmptySpace) -> Self {
        Self { empty: (!self.is_replaced).then_some(empty), ..self }
    }

    /// Lets the time that each step takes be noted.
    pub fn with_profile(self, times: Option<&'a Profile>) -> Self {
        Self { times, ..self }
    }

    /// The grid after the chain.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Where each voxel's label comes from.
    pub fn index_mapping(&self) -> &IndexMapping {
        &self.mapping
    }

    /// A window of the output, image and labels.
    ///
    /// # Errors
    /// When it lies outside, or a step cannot be applied to this volume.
    pub fn window(&self, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        if (0..3).any(|axis| start[axis] + shape[axis] > self.grid.shape[axis]) {
            return Err(PipelineError::Outside { start, shape, volume: self.grid.shape });
        }
        *lock(&self.along) = Along { wanted: Some((start, shape)), found: None };
        let block = self.image(self.stages.len(), start, shape)?;
        let image = cut(block, self.source.image.channels, start, shape);
        let found = std::mem::take(&mut *lock(&self.along)).found;
        let label = found.or_else(|| self.labels(&self.mapping, start, shape));
        Ok(Block { label, ..Block::new(start, shape, image) })
    }

    /// The labels whose places are those of a warp: those of the source, where no other stage moves voxels.
    fn labels_along(&self, start: [usize; 3], shape: [usize; 3]) -> Option<LabelSource<'_>> {
        let moves = |stage: &&Stage| matches!(stage.kind, Kind::Lattice(..) | Kind::Warp(..));
        let is_alone = self.stages.iter().filter(moves).count() == 1;
        (is_alone && lock(&self.along).wanted == Some((start, shape))).then(|| self.label_source())?
    }

    /// The whole output.
    ///
    /// # Errors
    /// When a step cannot be applied to this volume.
    pub fn volume(&self) -> Result<Volume, PipelineError> {
        if self.stages.is_empty() {
            return Ok(self.source.clone());
        }
        let shape = self.grid.shape;
        let block = self.window([0; 3], shape)?;
        let image = Voxels::new(self.source.image.channels, shape, block.image.into_owned());
        Ok(Volume { grid: self.grid, image, label: block.label.map(|label| Voxels::new(1, shape, label)) })
    }

    /// Calls `look` with the whole output, its labels too where they are wanted.
    pub(super) fn look<T>(&self, labels: bool, look: impl FnOnce(&WholeVolume) -> T) -> Result<T, PipelineError> {
        let shape = self.grid.shape;
        let block = self.image(self.stages.len(), [0; 3], shape)?;
        let label = labels.then(|| self.labels(&self.mapping, [0; 3], shape)).flatten();
        Ok(look(&WholeVolume { grid: self.grid, image: &block.image, label: label.as_deref() }))
    }

    fn label_source(&self) -> Option<LabelSource<'_>> {
        Some(LabelSource { labels: self.source.label.as_ref()?, empty: self.empty })
    }

    /// The labels of a window, by where they come from.
    fn labels(&self, mapping: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Option<Vec<Label>> {
        let source = self.label_source()?;
        Some(Profile::note(self.times, "labels", || resample::labels(source, mapping, start, shape)))
    }

    /// A block that holds at least the wanted region, after the first `level` stages.
    fn image(&self, level: usize, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        match level.checked_sub(1).map(|index| &self.stages[index]) {
            None => Ok(Block::new([0; 3], self.source.image.shape, &self.source.image[..])),
            Some(stage) => Profile::note(self.times, stage.name, || self.staged(level, stage, start, shape)),
        }
    }

    fn staged<'s>(
        &'s self,
        level: usize,
        stage: &'s Stage<'a>,
        start: [usize; 3],
        shape: [usize; 3],
    ) -> Result<Block<'s>, PipelineError> {
        let channels = self.source.image.channels;
        refuse_too_large(stage.name, channels, shape)?;
        let incoming_shape = self.grid_after(level - 1).shape;
        let image = match &stage.kind {
            Kind::Lattice(lattice, fill) => {
                let border_values = self.border_values(level, *fill)?;
                let Some((from, size)) = wanted_by(lattice, incoming_shape, start, shape) else {
                    let voxels: usize = shape.iter().product();
                    let mut image = buffer_pool::acquire(channels * voxels);
                    image
                        .chunks_exact_mut(voxels)
                        .zip(border_values.iter())
                        .for_each(|(image, fill)| image.fill(*fill));
                    return Ok(Block::new(start, shape, image));
                };
                let incoming = self.incoming(level, from, size)?;
                let image = resample::lattice(&incoming, lattice, incoming_shape, &border_values, start, shape);
                incoming.give_back();
                image
            }
            Kind::Warp(warp, interpolation, fill) => {
                let border_values = self.border_values(level, *fill)?;
                let (from, size) = warp.touched(start, shape);
                let incoming = match interpolation {
                    Interpolation::Cubic => self.coefficients(level, from, size)?,
                    Interpolation::Nearest | Interpolation::Linear => self.incoming(level, from, size)?,
                };
                let labels = self.labels_along(start, shape);
                let (image, found) =
                    resample::warp(&incoming, (warp, *interpolation), &border_values, labels, start, shape);
                if found.is_some() {
                    lock(&self.along).found = found;
                }
                incoming.give_back();
                image
            }
            Kind::Smooth(deviations) => {
                let (all, whole) = (([0; 3], incoming_shape), self.incoming(level, [0; 3], incoming_shape)?);
                let mut image = owned(whole, channels, [0; 3], incoming_shape);
                smooth_recursively(&mut Window::new(&mut image, channels, stage.grid, all), *deviations);
                return Ok(Block::new([0; 3], incoming_shape, image));
            }
            Kind::Intensity { out, .. } if out.get().is_some() => {
                let whole = out.get().expect("it was there just now");
                return Ok(Block::new([0; 3], stage.grid.shape, &whole[..]));
            }
            Kind::Intensity { step, drawn, out, .. } => {
                let halo = step.halo(drawn, &stage.grid);
                let (from, size) = widened(start, shape, halo, stage.grid.shape);
                let image = self.mapped(level, stage, from, size)?;
                if halo == [usize::MAX; 3] {
                    // Every window needs the whole, so the whole is kept.
                    return Ok(Block::new(from, size, &out.get_or_init(|| Arc::new(image))[..]));
                }
                return Ok(Block::new(start, shape, cut(Block::new(from, size, image), channels, start, shape)));
            }
        };
        Ok(Block::new(start, shape, image))
    }

    /// A block after an intensity step.
    fn mapped(
        &self,
        level: usize,
        stage: &Stage<'a>,
        from: [usize; 3],
        size: [usize; 3],
    ) -> Result<Vec<f32>, PipelineError> {
        let Kind::Intensity { step, drawn, measured, labels, .. } = &stage.kind else {
            unreachable!("only intensity steps map intensities");
        };
        let channels = self.source.image.channels;
        let measured = self.measured(level, stage, measured)?;
        let moves = step.copies(drawn, &stage.grid);
        let moved = if moves.is_empty() {
            Vec::new()
        } else {
            let border_values = self.border_values(level, Fill::Minimum)?;
            let incoming = self.incoming(level, from, size)?;
            let of_move = |map: &Affine| {
                let mut mapping = IndexMapping::identity(stage.grid.shape);
                mapping.extend(&Map::Warp(*map), stage.grid.shape);
                resample::warp(&incoming, (&mapping, Interpolation::Linear), &border_values, None, from, size).0
            };
            moves.iter().map(of_move).collect()
        };
        let mut image = owned(self.incoming(level, from, size)?, channels, from, size);
        let label = labels.as_ref().and_then(|mapping| self.labels(mapping, from, size));
        let window = Window::new(&mut image, channels, stage.grid, (from, size));
        step.apply(drawn, measured, &mut Window { label: label.as_deref(), moved, ..window });
        label.into_iter().for_each(buffer_pool::release);
        Ok(image)
    }

    /// The spline coefficients of what comes into a stage, for places inside a region.
    fn coefficients(&self, level: usize, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        let (channels, grid) = (self.source.image.channels, *self.grid_after(level - 1));
        // Four coefficients around a place decide its value.
        let (start, shape) = widened(start, shape, [2; 3], grid.shape);
        let (from, size) = widened(start, shape, [spline_reach(); 3], grid.shape);
        let mut image = owned(self.incoming(level, from, size)?, channels, from, size);
        spline_coefficients(&mut Window::new(&mut image, channels, grid, (from, size)));
        Ok(Block::new(start, shape, cut(Block::new(from, size, image), channels, start, shape)))
    }

    /// What comes into a stage: from the whole volume where that was made already, else the wanted region.
    fn incoming(&self, level: usize, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        match self.stages[level - 1].whole.get() {
            Some(whole) => Ok(Block::new([0; 3], self.grid_after(level - 1).shape, &whole[..])),
            None => self.image(level - 1, start, shape),
        }
    }

    fn grid_after(&self, level: usize) -> &Grid {
        level.checked_sub(1).map_or(&self.source.grid, |index| &self.stages[index].grid)
    }

    /// Calls `use_whole` with the whole volume that comes into a stage, which is then kept.
    fn with_whole<T>(&self, level: usize, use_whole: impl FnOnce(&[f32]) -> T) -> Result<T, PipelineError> {
        let shape = self.grid_after(level - 1).shape;
        let block = self.incoming(level, [0; 3], shape)?;
        let result = use_whole(&block.image);
        if let Cow::Owned(image) = block.image {
            // Another thread may have been faster; its values are the same.
            let _ = self.stages[level - 1].whole.set(Arc::new(image));
        }
        Ok(result)
    }

    fn measured<'s>(
        &'s self,
        level: usize,
        stage: &'s Stage<'a>,
        known: &'s OnceLock<VolumeStatistics>,
    ) -> Result<&'s VolumeStatistics, PipelineError> {
        let Kind::Intensity { step, drawn, labels, .. } = &stage.kind else { return Ok(&VolumeStatistics::Nothing) };
        if !step.needs_statistics() {
            return Ok(&VolumeStatistics::Nothing);
        }
        if let Some(measured) = known.get() {
            return Ok(measured);
        }
        let label = labels.as_ref().and_then(|mapping| self.labels(mapping, [0; 3], stage.grid.shape));
        let measure =
            |image: &[f32]| step.statistics(drawn, &WholeVolume { grid: stage.grid, image, label: label.as_deref() });
        let measured = self.with_whole(level, measure)??;
        Ok(known.get_or_init(|| measured))
    }

    /// The intensity that each channel gets from outside.
    fn border_values(&self, level: usize, fill: Fill) -> Result<BorderValues<'_>, PipelineError> {
        let channels = self.source.image.channels;
        if let Fill::Value(value) = fill {
            return Ok(if channels == 1 {
                BorderValues::One([value])
            } else {
                BorderValues::Many(vec![value; channels])
            });
        }
        let known = self.border_cache.filter(|_| level == 1).and_then(|known| known.of(fill));
        if let Some(values) = known.and_then(OnceLock::get) {
            return Ok(BorderValues::Known(values));
        }
        let grid = *self.grid_after(level - 1);
        let found =
            self.with_whole(level, |image| border_values::found(fill, &WholeVolume { grid, image, label: None }))?;
        Ok(match known {
            Some(known) => BorderValues::Known(known.get_or_init(|| found)),
            None => BorderValues::Many(found),
        })
    }
}

impl Stage<'_> {
    /// Whether a warp that follows can be made one with this stage: it interpolates and border_values in the same way.
    fn composes_with(&self, next: &GridMapping) -> bool {
        matches!(&self.kind, Kind::Warp(_, own, fill) if (*own, *fill) == (next.interpolation, next.fill))
    }
}

/// Refuses voxels that the machine has no memory for.
fn refuse_too_large(name: &'static str, channels: usize, shape: [usize; 3]) -> Result<(), PipelineError> {
    if memory::fits_in_memory::<f32>(channels, shape) {
        Ok(())
    } else {
        Err(PipelineError::TooLarge { name, shape, channels })
    }
}

/// The incoming voxels that a block of outgoing ones comes from; `None` where all of it lies outside.
fn wanted_by(
    lattice: &Lattice,
    incoming: [usize; 3],
    start: [usize; 3],
    shape: [usize; 3],
) -> Option<([usize; 3], [usize; 3])> {
    let mut from = [0; 3];
    let mut size = [0; 3];
    for (outgoing, axis) in lattice.axes.iter().enumerate() {
        let (first, last) = (start[outgoing] as i64, (start[outgoing] + shape[outgoing]) as i64 - 1);
        let (first, last) = if axis.flipped {
            (axis.offset - last, axis.offset - first)
        } else {
            (axis.offset + first, axis.offset + last)
        };
        let (first, last) = (first.max(0), last.min(incoming[axis.source] as i64 - 1));
        if first > last {
            return None;
        }
        from[axis.source] = first as usize;
        size[axis.source] = (last - first) as usize + 1;
    }
    Some((from, size))
}

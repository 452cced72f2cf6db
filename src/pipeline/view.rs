//! A volume seen through a chain: windows of its output, computed when they are asked for.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::gather::{self, Warp};
use super::{Origin, PipelineError};
use crate::data::volume::{Grid, Label, Volume, Voxels, offset};
use crate::transforms::{Drawn, Fill, Lattice, Map, Measured, Transform, Window};

/// A volume seen through a chain with its draws.
#[derive(Debug)]
pub struct View<'a> {
    source: Volume,
    stages: Vec<Stage<'a>>,
    grid: Grid,
    origin: Origin,
    /// The smallest intensity of each channel of the source, where that is known.
    minima: Option<&'a [f32]>,
}

/// One evaluation step: a step of the chain, or several warps as one.
#[derive(Debug)]
struct Stage<'a> {
    kind: Kind<'a>,
    /// The shape after the stage.
    shape: [usize; 3],
    /// Millimetres per voxel after it.
    spacing: [f64; 3],
    /// The whole incoming volume, where some stage has asked for it.
    whole: OnceLock<Arc<Vec<f32>>>,
}

#[derive(Debug)]
enum Kind<'a> {
    Lattice(Lattice, Fill),
    Warp(Warp, Fill),
    Intensity { step: &'a Transform, drawn: &'a Drawn, measured: OnceLock<Measured> },
}

/// Values of some region of a volume, all channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<'a> {
    /// Where the region starts, in voxels.
    pub start: [usize; 3],
    /// Voxels of the region along x, y and z.
    pub shape: [usize; 3],
    /// The values, `[channel, x, y, z]`.
    pub image: Cow<'a, [f32]>,
    /// The labels, `[x, y, z]`, where the source has them and they were asked for.
    pub label: Option<Vec<Label>>,
}

impl Block<'_> {
    /// The values of one channel.
    pub fn channel(&self, channel: usize) -> &[f32] {
        let size: usize = self.shape.iter().product();
        &self.image[channel * size..(channel + 1) * size]
    }

    /// The value at a voxel of the whole volume.
    pub(super) fn at(&self, channel: usize, index: [usize; 3]) -> f32 {
        let local = std::array::from_fn(|axis| index[axis] - self.start[axis]);
        self.channel(channel)[offset(self.shape, local)]
    }
}

impl<'a> View<'a> {
    /// A view of `source` through `chain` with its `draws`. Computes nothing yet.
    pub fn new(source: Volume, chain: &'a [Transform], draws: &'a [Drawn]) -> Self {
        let origin = super::origin(chain, draws, &source.grid);
        let mut grid = source.grid;
        let mut stages: Vec<Stage> = Vec::new();
        super::unroll(chain, draws, &mut |step, drawn| {
            let kind = match step.place(drawn, &grid) {
                None => Kind::Intensity { step, drawn, measured: OnceLock::new() },
                Some(place) => {
                    let incoming = grid.shape;
                    grid = place.grid;
                    match place.map {
                        Map::Lattice(lattice) => Kind::Lattice(lattice, place.fill),
                        Map::Warp(map) => {
                            let before = stages.pop_if(|stage| stage.composes_with(place.fill));
                            Kind::Warp(composed(before, map, incoming), place.fill)
                        }
                    }
                }
            };
            stages.push(Stage { kind, shape: grid.shape, spacing: grid.spacing(), whole: OnceLock::new() });
        });
        Self { source, stages, grid, origin, minima: None }
    }

    /// Tells the smallest intensity of each channel of the source, so that it need not be looked for.
    pub fn with_minima(self, minima: &'a [f32]) -> Self {
        Self { minima: Some(minima), ..self }
    }

    /// The grid after the chain.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Where each voxel's label comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A window of the output, image and labels.
    ///
    /// # Errors
    /// When it lies outside, or a step cannot be applied to this volume.
    pub fn window(&self, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        if (0..3).any(|axis| start[axis] + shape[axis] > self.grid.shape[axis]) {
            return Err(PipelineError::Outside { start, shape, volume: self.grid.shape });
        }
        let block = self.image(self.stages.len(), start, shape)?;
        let block = Block { image: cut(block, self.source.image.channels, start, shape), start, shape, label: None };
        let label = self.source.label.as_ref().map(|label| gather::labels(label, &self.origin, start, shape));
        Ok(Block { label, ..block })
    }

    /// The whole output.
    ///
    /// # Errors
    /// When a step cannot be applied to this volume.
    pub fn volume(&self) -> Result<Volume, PipelineError> {
        let shape = self.grid.shape;
        let block = self.window([0; 3], shape)?;
        let image = Voxels::new(self.source.image.channels, shape, block.image.into_owned());
        Ok(Volume { grid: self.grid, image, label: block.label.map(|label| Voxels::new(1, shape, label)) })
    }

    /// A block that holds at least the wanted region, after the first `level` stages.
    fn image(&self, level: usize, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        let Some(stage) = level.checked_sub(1).map(|index| &self.stages[index]) else {
            let image = Cow::Borrowed(&self.source.image[..]);
            return Ok(Block { start: [0; 3], shape: self.source.image.shape, image, label: None });
        };
        let channels = self.source.image.channels;
        let incoming_shape = self.shape_after(level - 1);
        let image = match &stage.kind {
            Kind::Lattice(lattice, fill) => {
                let fills = self.fills(level, *fill)?;
                let Some((from, size)) = wanted_by(lattice, incoming_shape, start, shape) else {
                    let voxels = shape.iter().product();
                    let image = fills.iter().flat_map(|fill| std::iter::repeat_n(*fill, voxels)).collect();
                    return Ok(Block { start, shape, image, label: None });
                };
                let incoming = self.incoming(level, from, size)?;
                gather::lattice(&incoming, lattice, incoming_shape, &fills, start, shape)
            }
            Kind::Warp(warp, fill) => {
                let fills = self.fills(level, *fill)?;
                let (from, size) = warp.touched(start, shape);
                gather::linear(&self.incoming(level, from, size)?, warp, &fills, start, shape)
            }
            Kind::Intensity { step, drawn, measured } => {
                let measured = self.measured(level, step, measured)?;
                let (from, size) = widened(start, shape, step.halo(drawn, stage.spacing), stage.shape);
                let block = self.incoming(level, from, size)?;
                let mut image = cut(block, channels, from, size).into_owned();
                let (volume, spacing) = (stage.shape, stage.spacing);
                let mut window = Window { channels, start: from, shape: size, volume, spacing, image: &mut image };
                step.apply(drawn, &measured, &mut window);
                let block = Block { start: from, shape: size, image: Cow::Owned(image), label: None };
                cut(block, channels, start, shape).into_owned()
            }
        };
        Ok(Block { start, shape, image: Cow::Owned(image), label: None })
    }

    /// What comes into a stage: from the whole volume where that was made already, else the wanted region.
    fn incoming(&self, level: usize, start: [usize; 3], shape: [usize; 3]) -> Result<Block<'_>, PipelineError> {
        match self.stages[level - 1].whole.get() {
            Some(whole) => {
                let shape = self.shape_after(level - 1);
                Ok(Block { start: [0; 3], shape, image: Cow::Borrowed(whole), label: None })
            }
            None => self.image(level - 1, start, shape),
        }
    }

    fn shape_after(&self, level: usize) -> [usize; 3] {
        level.checked_sub(1).map_or(self.source.image.shape, |index| self.stages[index].shape)
    }

    /// Calls `use_whole` with the whole volume that comes into a stage, which is then kept.
    fn with_whole<T>(&self, level: usize, use_whole: impl FnOnce(&[f32]) -> T) -> Result<T, PipelineError> {
        let shape = self.shape_after(level - 1);
        let block = self.incoming(level, [0; 3], shape)?;
        let result = use_whole(&block.image);
        if let Cow::Owned(image) = block.image {
            // Another thread may have been faster; its values are the same.
            let _ = self.stages[level - 1].whole.set(Arc::new(image));
        }
        Ok(result)
    }

    fn measured(&self, level: usize, step: &Transform, known: &OnceLock<Measured>) -> Result<Measured, PipelineError> {
        if !step.measures() {
            return Ok(Measured::default());
        }
        if let Some(measured) = known.get() {
            return Ok(*measured);
        }
        let measured = self.with_whole(level, |whole| step.measure(whole))??;
        Ok(*known.get_or_init(|| measured))
    }

    /// The intensity that each channel gets from outside.
    fn fills(&self, level: usize, fill: Fill) -> Result<Vec<f32>, PipelineError> {
        let channels = self.source.image.channels;
        match fill {
            Fill::Value(value) => Ok(vec![value; channels]),
            Fill::Minimum => match self.minima {
                Some(minima) if level == 1 => Ok(minima.to_vec()),
                _ => self.with_whole(level, |whole| minima(whole, channels)),
            },
        }
    }
}

/// The smallest intensity of each channel.
pub fn minima(image: &[f32], channels: usize) -> Vec<f32> {
    let of_channel = |values: &[f32]| values.iter().copied().fold(f32::INFINITY, f32::min);
    image.chunks_exact(image.len() / channels).map(of_channel).collect()
}

impl Stage<'_> {
    /// Whether a warp that follows can be made one with this stage: it is a warp that fills in the same way.
    fn composes_with(&self, fill: Fill) -> bool {
        matches!(&self.kind, Kind::Warp(_, own) if *own == fill)
    }
}

/// A warp after the one of the stage before, where there is one.
fn composed(before: Option<Stage>, map: crate::data::volume::Affine, incoming: [usize; 3]) -> Warp {
    match before.map(|stage| stage.kind) {
        Some(Kind::Warp(first, _)) => {
            let mut between: Vec<_> =
                first.between.into_iter().map(|(to_between, shape)| (to_between.after(&map), shape)).collect();
            between.push((map, incoming));
            Warp { map: first.map.after(&map), shape: first.shape, between }
        }
        _ => Warp { map, shape: incoming, between: Vec::new() },
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

/// A region with a halo, as far as the volume reaches.
fn widened(start: [usize; 3], shape: [usize; 3], halo: [usize; 3], volume: [usize; 3]) -> ([usize; 3], [usize; 3]) {
    let from: [usize; 3] = std::array::from_fn(|axis| start[axis].saturating_sub(halo[axis]));
    let end: [usize; 3] = std::array::from_fn(|axis| (start[axis] + shape[axis] + halo[axis]).min(volume[axis]));
    (from, std::array::from_fn(|axis| end[axis] - from[axis]))
}

/// The wanted region of a block that holds it.
fn cut(block: Block<'_>, channels: usize, start: [usize; 3], shape: [usize; 3]) -> Cow<'_, [f32]> {
    if block.start == start && block.shape == shape {
        return block.image;
    }
    let mut out = Vec::with_capacity(channels * shape.iter().product::<usize>());
    for channel in 0..channels {
        let values = block.channel(channel);
        for x in 0..shape[0] {
            for y in 0..shape[1] {
                let local = [start[0] + x - block.start[0], start[1] + y - block.start[1], start[2] - block.start[2]];
                let first = offset(block.shape, local);
                out.extend_from_slice(&values[first..first + shape[2]]);
            }
        }
    }
    Cow::Owned(out)
}

//! Stages that move voxels.

use std::borrow::Cow;

use super::{Evaluator, Region};
use crate::lazy::block::{Block, widened};
use crate::lazy::error::PipelineError;
use crate::lazy::index_mapping::IndexMapping;
use crate::lazy::resample::{self, LabelSource};
use crate::{Fill, Interpolation, Lattice, Window, spline_coefficients, spline_reach};
use volume::buffer_pool;

impl Evaluator<'_> {
    pub(super) fn lattice(
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

    pub(super) fn warp(
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
}

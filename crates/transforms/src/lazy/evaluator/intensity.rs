//! Stages that change intensities.

use std::sync::Arc;

use super::{Evaluator, Region, require_finite};
use crate::lazy::block::{Block, widened};
use crate::lazy::error::PipelineError;
use crate::lazy::index_mapping::IndexMapping;
use crate::lazy::resample;
use crate::lazy::stage::IntensityStage;
use crate::{Fill, Interpolation, Map, VolumeStatistics, WholeVolume, Window};
use volume::{Affine, Grid, Label, buffer_pool};

impl<'a> Evaluator<'a> {
    pub(super) fn intensity<'s>(
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
}

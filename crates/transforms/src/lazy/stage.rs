//! Stages: the steps of a chain as they are evaluated, with neighbouring warps composed.

use std::sync::{Arc, OnceLock};

use super::block::widened;
use super::index_mapping::IndexMapping;
use super::resample::lattice_source;
use crate::{Convention, Fill, GridMapping, Interpolation, Lattice, Map, Transform, TransformParams, VolumeStatistics};
use volume::Grid;

/// One stage of a chain: a step, or several warps composed into one interpolation.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) kind: Kind<'a>,
    /// Name of the step, or of the last of several composed steps.
    pub(super) name: &'static str,
    /// The grid after the stage.
    pub(super) grid: Grid,
    /// The whole incoming volume, if it was computed.
    pub(super) incoming: OnceLock<Arc<Vec<f32>>>,
}

/// The computation of a stage.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// Moves whole voxels.
    Lattice(Lattice, Fill),
    /// Moves points.
    Warp(Box<IndexMapping>, Interpolation, Fill),
    /// A Gaussian filter of the whole volume, with its standard deviations in voxels.
    Smooth([f64; 3]),
    /// Changes intensities.
    Intensity(Box<IntensityStage<'a>>),
}

/// A step that changes intensities.
#[derive(Debug)]
pub(super) struct IntensityStage<'a> {
    pub(super) step: &'a Transform,
    pub(super) params: &'a TransformParams,
    /// The statistics of the incoming volume, if they were computed.
    pub(super) statistics: OnceLock<VolumeStatistics>,
    /// The mapping to the source labels, if the step reads labels.
    pub(super) labels: Option<IndexMapping>,
    /// The whole outgoing volume, if it was computed.
    pub(super) outgoing: OnceLock<Arc<Vec<f32>>>,
}

impl Stage<'_> {
    /// Returns whether the stage moves voxels.
    pub(super) fn moves_voxels(&self) -> bool {
        matches!(self.kind, Kind::Lattice(..) | Kind::Warp(..))
    }

    /// Returns the region of the incoming volume that a region of the outgoing one depends on, labels included.
    pub(super) fn required_region(
        &self,
        (start, shape): ([usize; 3], [usize; 3]),
        incoming: [usize; 3],
    ) -> ([usize; 3], [usize; 3]) {
        let whole = ([0; 3], incoming);
        match &self.kind {
            Kind::Lattice(lattice, Fill::Value(_)) => {
                lattice_source(lattice, incoming, start, shape).unwrap_or(([0; 3], [1; 3]))
            }
            Kind::Warp(mapping, Interpolation::Nearest | Interpolation::Linear, Fill::Value(_))
                if mapping.displacements.is_empty() =>
            {
                mapping.source_region(start, shape)
            }
            Kind::Intensity(stage) if !stage.step.component().needs_statistics() => {
                let component = stage.step.component();
                widened(start, shape, component.halo(stage.params, &self.grid), incoming)
            }
            _ => whole,
        }
    }

    fn is_lattice(&self) -> bool {
        matches!(self.kind, Kind::Lattice(..))
    }

    /// Returns whether a warp that follows can be composed with this stage: interpolation and border are the same.
    fn composes_with(&self, next: &GridMapping) -> bool {
        let Kind::Warp(mapping, own, fill) = &self.kind else { return false };
        let is_itk = [mapping.convention, next.convention] == [Convention::Itk; 2];
        is_itk && (*own, *fill) == (next.interpolation, next.fill)
    }
}

/// Returns the stages of a list of steps, and the mapping of all of them. No step may change
/// label values, extrapolate or resample whole volumes.
pub(super) fn compile<'a>(
    incoming: &Grid,
    steps: &[(&'a Transform, &'a TransformParams)],
) -> (Vec<Stage<'a>>, IndexMapping) {
    let mut grid = *incoming;
    let mut mapping = IndexMapping::identity(grid.shape);
    let mut stages: Vec<Stage> = Vec::with_capacity(steps.len());
    for (step, params) in steps {
        let stage = |kind, grid| Stage { kind, name: step.name(), grid, incoming: OnceLock::new() };
        let Some(grid_mapping) = step.component().map_grid(params, &grid) else {
            if step.component().is_identity(params) {
                continue;
            }
            let labels = step.component().needs_labels().then(|| mapping.clone());
            let (statistics, outgoing) = (OnceLock::new(), OnceLock::new());
            let intensity = IntensityStage { step, params, statistics, labels, outgoing };
            stages.push(stage(Kind::Intensity(Box::new(intensity)), grid));
            continue;
        };
        if grid_mapping.map == Map::Lattice(Lattice::IDENTITY) && grid_mapping.grid.shape == grid.shape {
            // Nothing moves, so no copy of the volume is made.
            continue;
        }
        if grid_mapping.smoothing != [0.0; 3] {
            stages.push(stage(Kind::Smooth(grid_mapping.smoothing), grid));
        }
        let kind = match grid_mapping.map {
            Map::Lattice(lattice) => match stages
                .pop_if(|stage| stage.is_lattice() && lattice.stays_inside(grid_mapping.grid.shape, grid.shape))
                .map(|stage| stage.kind)
            {
                // Voxels are copied once, and those outside have the value of the first of the two.
                Some(Kind::Lattice(before, fill)) => Kind::Lattice(before.after(&lattice), fill),
                _ => Kind::Lattice(lattice, grid_mapping.fill),
            },
            Map::Warp(_) | Map::Elastic(_) => {
                let before = stages.pop_if(|stage| stage.composes_with(&grid_mapping));
                let mut warp = match before.map(|stage| stage.kind) {
                    Some(Kind::Warp(warp, ..)) => warp,
                    _ => Box::new(IndexMapping::identity(grid.shape)),
                };
                warp.append_step(&grid_mapping);
                Kind::Warp(warp, grid_mapping.interpolation, grid_mapping.fill)
            }
        };
        mapping.append_step(&grid_mapping);
        grid = grid_mapping.grid;
        stages.push(stage(kind, grid));
    }
    (stages, mapping)
}

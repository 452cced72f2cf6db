//! Where outgoing voxels come from.

use std::sync::Arc;

use crate::{ElasticDisplacement, Interpolation};
use volume::{self, Grid};

/// Where the voxels of an outgoing grid come from.
#[derive(Clone, Debug, PartialEq)]
pub struct GridMapping {
    /// The outgoing grid.
    pub grid: Grid,
    /// From outgoing to incoming voxels.
    pub map: Map,
    /// The intensity of voxels from outside; their label is 0.
    pub fill: Fill,
    /// How intensities between incoming voxels are found.
    pub interpolation: Interpolation,
    /// Standard deviations, in incoming voxels, of a Gaussian that smooths the image before; 0 leaves an axis.
    pub smoothing: [f64; 3],
}

/// A map from outgoing to incoming voxels.
#[derive(Clone, Debug, PartialEq)]
pub enum Map {
    /// Whole voxels move: nothing is interpolated.
    Lattice(Lattice),
    /// Points move: images are interpolated, labels take the nearest voxel.
    Warp(volume::Affine),
    /// Each point moves by itself; the grid stays.
    Elastic(Arc<ElasticDisplacement>),
}

/// A map of whole voxels: axes change places, turn round and shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// For each outgoing axis, the incoming one.
    pub axes: [LatticeAxis; 3],
}

/// Where the index along one outgoing axis comes from: `offset + index`, or `offset - index` where it is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatticeAxis {
    /// The incoming axis.
    pub source: usize,
    /// Whether it runs backwards.
    pub flipped: bool,
    /// The incoming index of the outgoing index 0.
    pub offset: i64,
}

/// The intensity of voxels that come from outside the incoming volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// A fixed one.
    Value(f32),
    /// The smallest of the incoming volume, channel by channel.
    Minimum,
    /// The smallest of all channels of the incoming volume.
    MinimumOfAll,
    /// The largest of all channels.
    MaximumOfAll,
    /// The mean of all channels.
    MeanOfAll,
    /// The median of all channels.
    MedianOfAll,
    /// The mean of the incoming volume's six faces, channel by channel; an edge counts for both of its faces.
    BorderMean,
    /// The mean of those values of the faces that lie below their Otsu threshold.
    BorderOtsu,
}

impl Lattice {
    /// Every voxel stays.
    pub const IDENTITY: Self = Self {
        axes: [
            LatticeAxis { source: 0, flipped: false, offset: 0 },
            LatticeAxis { source: 1, flipped: false, offset: 0 },
            LatticeAxis { source: 2, flipped: false, offset: 0 },
        ],
    };

    /// The same map on points.
    pub fn affine(&self) -> volume::Affine {
        let mut rows = [[0.0; 4]; 3];
        for (outgoing, axis) in self.axes.iter().enumerate() {
            rows[axis.source][outgoing] = if axis.flipped { -1.0 } else { 1.0 };
            rows[axis.source][3] = axis.offset as f64;
        }
        volume::Affine(rows)
    }
}

impl GridMapping {
    /// Whole voxels that keep their world coordinates.
    pub(crate) fn lattice(lattice: Lattice, shape: [usize; 3], incoming: &Grid) -> Self {
        let affine = incoming.affine.after(&lattice.affine());
        Self::new(Grid { shape, affine }, Map::Lattice(lattice))
    }

    /// Interpolated voxels of `grid`.
    pub(crate) fn warp(map: volume::Affine, grid: Grid, interpolation: Interpolation) -> Self {
        Self { interpolation, ..Self::new(grid, Map::Warp(map)) }
    }

    pub(crate) fn new(grid: Grid, map: Map) -> Self {
        let interpolation = Interpolation::default();
        Self { grid, map, fill: Fill::Value(0.0), interpolation, smoothing: [0.0; 3] }
    }
}

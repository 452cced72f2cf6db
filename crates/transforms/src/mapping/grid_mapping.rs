//! Mappings from outgoing to incoming voxels.

use std::sync::Arc;

use crate::{ElasticDisplacement, Interpolation};
use volume::{self, Grid};

/// The source of the voxels of an outgoing grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridMapping {
    /// The outgoing grid.
    pub grid: Grid,
    /// The map from outgoing to incoming voxels.
    pub map: Map,
    /// The intensity of voxels whose source is outside the incoming volume; their label is 0.
    pub fill: Fill,
    /// The interpolation between incoming voxels.
    pub interpolation: Interpolation,
    /// How voxels at the border and labels are interpolated.
    pub convention: Convention,
    /// Standard deviations, in incoming voxels, of a Gaussian filter applied to the image first; 0 skips an axis.
    pub smoothing: [f64; 3],
}

/// A map from outgoing to incoming voxels.
#[derive(Clone, Debug, PartialEq)]
pub enum Map {
    /// Whole voxels are moved: nothing is interpolated.
    Lattice(Lattice),
    /// An affine map of points: images are interpolated, labels take the nearest voxel.
    Warp(volume::Affine),
    /// An elastic displacement of each point, on the same grid.
    Elastic(Arc<ElasticDisplacement>),
}

/// The convention by which a warp interpolates at the border of a volume and between labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// ITK's: a volume extends half a voxel beyond its outermost voxel centres, where it has their values. Labels are those of
    /// the nearest voxel.
    #[default]
    Itk,
    /// That of PyTorch's `grid_sample` and nnU-Net, for linear interpolation: a volume is surrounded by voxels that have the
    /// fill value and no label. A voxel takes the label with the largest interpolation weight; of labels with the same weight
    /// that of the nearest voxel.
    GridSample,
}

/// A map of whole voxels: axes are permuted, flipped and shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// The source of each outgoing axis.
    pub axes: [LatticeAxis; 3],
}

/// The source of an outgoing axis: the incoming index is `offset + index`, or `offset - index` if flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatticeAxis {
    /// The incoming axis.
    pub source: usize,
    /// Whether it is flipped.
    pub flipped: bool,
    /// The incoming index of the outgoing index 0.
    pub offset: i64,
}

/// The intensity of voxels whose source is outside the incoming volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// A fixed value.
    Value(f32),
    /// The minimum of the incoming volume, channel by channel.
    Minimum,
    /// The minimum of all channels.
    MinimumOfAll,
    /// The maximum of all channels.
    MaximumOfAll,
    /// The mean of all channels.
    MeanOfAll,
    /// The median of all channels.
    MedianOfAll,
    /// The mean of the six faces of the incoming volume, channel by channel; an edge belongs to both of its faces.
    BorderMean,
    /// The mean of the values on the faces below their Otsu threshold, channel by channel.
    BorderOtsu,
}

impl Lattice {
    /// The identity.
    pub const IDENTITY: Self = Self {
        axes: [
            LatticeAxis { source: 0, flipped: false, offset: 0 },
            LatticeAxis { source: 1, flipped: false, offset: 0 },
            LatticeAxis { source: 2, flipped: false, offset: 0 },
        ],
    };

    /// Returns the map that applies `outgoing`, from the voxels of a third grid to the outgoing ones of this map, and then this
    /// one.
    pub(crate) fn after(&self, outgoing: &Lattice) -> Self {
        let axes = outgoing.axes.map(|first| {
            let then = self.axes[first.source];
            let offset = if then.flipped { then.offset - first.offset } else { then.offset + first.offset };
            LatticeAxis { source: then.source, flipped: first.flipped != then.flipped, offset }
        });
        Self { axes }
    }

    /// Returns whether the source of each voxel of a grid of the shape `outgoing` is on a grid of the shape `incoming`.
    pub(crate) fn stays_inside(&self, outgoing: [usize; 3], incoming: [usize; 3]) -> bool {
        self.axes.iter().zip(outgoing).all(|(axis, size)| {
            let last = size as i64 - 1;
            let last = if axis.flipped { axis.offset - last } else { axis.offset + last };
            [axis.offset, last].iter().all(|index| (0..incoming[axis.source] as i64).contains(index))
        })
    }

    /// Returns the map as an affine map of points.
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
    /// Returns a mapping of whole voxels that preserves world coordinates.
    pub(crate) fn lattice(lattice: Lattice, shape: [usize; 3], incoming: &Grid) -> Self {
        let affine = incoming.affine.after(&lattice.affine());
        Self::new(Grid { shape, affine }, Map::Lattice(lattice))
    }

    /// Returns a mapping by an affine map.
    pub(crate) fn warp(map: volume::Affine, grid: Grid, interpolation: Interpolation) -> Self {
        Self { interpolation, ..Self::new(grid, Map::Warp(map)) }
    }

    pub(crate) fn new(grid: Grid, map: Map) -> Self {
        let (interpolation, convention) = (Interpolation::default(), Convention::default());
        Self { grid, map, fill: Fill::Value(0.0), interpolation, convention, smoothing: [0.0; 3] }
    }
}

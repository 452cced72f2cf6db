//! Where outgoing voxels come from.

use crate::data::volume::{self, Grid};

/// Where the voxels of an outgoing grid come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The outgoing grid.
    pub grid: Grid,
    /// From outgoing to incoming voxels.
    pub map: Map,
    /// The intensity of voxels from outside; their label is 0.
    pub fill: Fill,
}

/// A map from outgoing to incoming voxels.
#[derive(Clone, Debug, PartialEq)]
pub enum Map {
    /// Whole voxels move: nothing is interpolated.
    Lattice(Lattice),
    /// Points move: images are interpolated linearly, labels take the nearest voxel.
    Warp(volume::Affine),
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
}

impl Lattice {
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

impl Placement {
    /// Whole voxels that keep their world coordinates.
    pub(super) fn lattice(lattice: Lattice, shape: [usize; 3], incoming: &Grid) -> Self {
        let affine = incoming.affine.after(&lattice.affine());
        Self { grid: Grid { shape, affine }, map: Map::Lattice(lattice), fill: Fill::Value(0.0) }
    }

    /// Interpolated voxels of `grid`.
    pub(super) fn warp(map: volume::Affine, grid: Grid) -> Self {
        Self { grid, map: Map::Warp(map), fill: Fill::Value(0.0) }
    }
}

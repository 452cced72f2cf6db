//! Where the label of each voxel comes from, without making the label map.

use crate::data::volume::Affine;

/// Where the label of each outgoing voxel comes from: the spatial steps of a chain, composed into one map.
///
/// An outgoing voxel takes the label of the source voxel nearest to its mapped centre, provided that
/// it falls inside every grid that the chain went through; otherwise its label is 0.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Voxels of the outgoing grid along x, y and z.
    pub shape: [usize; 3],
    /// Voxels of the source along x, y and z.
    pub source_shape: [usize; 3],
    /// From outgoing voxel indices to source voxel indices.
    pub map: Affine,
    /// The grids in between: a map from outgoing voxel indices to theirs, and their shape.
    pub between: Vec<(Affine, [usize; 3])>,
}

impl Origin {
    /// The origin of a chain that moves nothing.
    pub fn identity(shape: [usize; 3]) -> Self {
        Self { shape, source_shape: shape, map: Affine::IDENTITY, between: Vec::new() }
    }

    /// The source voxel whose label an outgoing voxel takes, or `None` where it lies outside.
    pub fn source(&self, voxel: [usize; 3]) -> Option<[usize; 3]> {
        let point = voxel.map(|index| index as f64);
        for (map, shape) in &self.between {
            nearest(map.apply(point), *shape)?;
        }
        nearest(self.map.apply(point), self.source_shape)
    }

    /// The constant size, along each axis, of a box that holds every outgoing voxel with a given source; `None` where the map cannot be undone.
    ///
    /// With the returned map from source to outgoing indices, [`Reach::start`] places the box.
    pub fn reach(&self) -> Option<Reach> {
        let inverse = self.map.inverse()?;
        let half: [f64; 3] =
            std::array::from_fn(|row| 0.5 * inverse.linear()[row].iter().map(|v| v.abs()).sum::<f64>() + 1e-9);
        Some(Reach { inverse, half, shape: half.map(|half| (2.0 * half).floor() as usize + 1) })
    }
}

/// The boxes of outgoing voxels that may come from one source voxel; all have the same shape.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    inverse: Affine,
    half: [f64; 3],
    /// Voxels of each box along x, y and z.
    pub shape: [usize; 3],
}

impl Reach {
    /// The first outgoing index of the box of `source`; the box may stick out of the grid.
    pub fn start(&self, source: [usize; 3]) -> [i64; 3] {
        let centre = self.inverse.apply(source.map(|index| index as f64));
        std::array::from_fn(|axis| (centre[axis] - self.half[axis]).ceil() as i64)
    }
}

/// The voxel nearest to a point, halves rounded up, or `None` where that lies outside the shape.
pub fn nearest(point: [f64; 3], shape: [usize; 3]) -> Option<[usize; 3]> {
    let mut voxel = [0; 3];
    for axis in 0..3 {
        if !is_nearest_inside(point[axis], shape[axis]) {
            return None;
        }
        voxel[axis] = (point[axis] + 0.5) as usize;
    }
    Some(voxel)
}

/// Whether the voxel nearest to a place along an axis is one of so many.
pub(super) fn is_nearest_inside(place: f64, size: usize) -> bool {
    let place = place + 0.5;
    place >= 0.0 && place < size as f64
}

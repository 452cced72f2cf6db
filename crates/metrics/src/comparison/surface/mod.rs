//! Exact distances in mm between the surfaces of two masks.
//!
//! `bits` stores masks and finds their surfaces, `nearest` and `far` search nearest neighbours, `surfels` computes areas.

use rayon::prelude::*;

use self::bits::Bits;
use super::overlap::Extent;
use crate::Pair;
use volume::Label;

mod bits;
mod far;
mod nearest;
mod surfels;

/// A predicted and a true mask in their common bounding box.
#[derive(Debug)]
pub(super) struct Masks {
    prediction: Bits,
    truth: Bits,
    spacing: [f64; 3],
}

/// Distances between surface voxels: those with a face neighbour outside the mask.
#[derive(Debug, Default)]
pub(crate) struct EdgeDistances {
    /// From each voxel of the predicted surface to the true one.
    pub from_prediction: Vec<f64>,
    /// From each voxel of the true surface to the predicted one.
    pub from_truth: Vec<f64>,
}

/// Distances between surface elements.
#[derive(Debug, Default)]
pub(crate) struct SurfelDistances {
    /// From each element of the predicted surface to the true one.
    pub from_prediction: Vec<Surfel>,
    /// From each element of the true surface to the predicted one.
    pub from_truth: Vec<Surfel>,
}

/// A surface element: the part of a surface between the centres of eight voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Surfel {
    /// The distance in mm to the nearest element of the other surface; infinite without one.
    pub distance: f64,
    /// The area in mm².
    pub area: f64,
}

impl EdgeDistances {
    /// Returns the distances of both directions.
    pub fn both(&self) -> impl Iterator<Item = f64> + '_ {
        self.from_prediction.iter().chain(&self.from_truth).copied()
    }
}

impl Masks {
    /// Returns the masks of a class within a box that contains all its voxels.
    pub fn new(pair: &Pair, extent: &Extent, class: &[Label]) -> Self {
        Self {
            prediction: Bits::from_class(pair.prediction, pair.shape, extent, class),
            truth: Bits::from_class(pair.truth, pair.shape, extent, class),
            spacing: pair.spacing,
        }
    }

    /// Returns the distances between surface voxels.
    pub fn edge_distances(&self) -> EdgeDistances {
        let (prediction, truth) = (self.prediction.edges(), self.truth.edges());
        EdgeDistances {
            from_prediction: nearest::distances(&prediction, &truth, self.spacing),
            from_truth: nearest::distances(&truth, &prediction, self.spacing),
        }
    }

    /// Returns the distances between surface elements.
    pub fn surfel_distances(&self) -> SurfelDistances {
        let (prediction, truth) = (self.prediction.corners(), self.truth.corners());
        let areas = surfels::areas(self.spacing);
        let surfels = |mask: &Bits, own: &Bits, other: &Bits| {
            let distances = nearest::distances(own, other, self.spacing);
            let area = |corner| areas[usize::from(mask.around_corner(corner))];
            let areas: Vec<f64> = (0..own.shape[0]).into_par_iter().flat_map_iter(|x| own.slab(x).map(area)).collect();
            distances.into_iter().zip(areas).map(|(distance, area)| Surfel { distance, area }).collect()
        };
        SurfelDistances {
            from_prediction: surfels(&self.prediction, &prediction, &truth),
            from_truth: surfels(&self.truth, &truth, &prediction),
        }
    }
}

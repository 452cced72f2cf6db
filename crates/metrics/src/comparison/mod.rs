//! Properties of a pair of label maps that several metrics need, each computed once.
//!
//! `overlap` counts voxels and finds bounding boxes, `surface` computes distances between surfaces, `lesions` matches
//! connected components by the rules of LiTS.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Pair;
use volume::Label;

mod lesions;
mod overlap;
mod surface;

pub(crate) use lesions::{Detection, detect};
pub use overlap::OverlapCounts;
pub(crate) use surface::Surfel;

use overlap::{Extent, JointCounts};
use surface::{EdgeDistances, Masks, SurfelDistances};

/// A pair of label maps with cached properties.
pub struct LabelComparison<'a> {
    pair: Pair<'a>,
    counts: JointCounts,
    edges: HashMap<Vec<Label>, Arc<EdgeDistances>>,
    surfels: HashMap<Vec<Label>, Arc<SurfelDistances>>,
}

impl<'a> LabelComparison<'a> {
    /// Counts the labels of a pair.
    ///
    /// # Panics
    /// When the label maps do not have the pair's shape.
    pub fn new(pair: &Pair<'a>) -> Self {
        let num_voxels = pair.shape.iter().product::<usize>();
        assert_eq!(pair.prediction.len(), num_voxels, "a prediction has the voxels of its grid");
        assert_eq!(pair.truth.len(), num_voxels, "a truth has the voxels of its grid");
        Self { pair: *pair, counts: JointCounts::new(pair), edges: HashMap::new(), surfels: HashMap::new() }
    }

    /// Returns the label maps.
    pub fn pair(&self) -> &Pair<'a> {
        &self.pair
    }

    /// Returns the number of predicted, true and common voxels with one of these labels.
    pub fn overlap(&self, class: &[Label]) -> OverlapCounts {
        self.counts.overlap(class)
    }

    /// Returns the smallest box with every voxel of these labels in either map; `None` if there is none.
    pub(crate) fn extent(&self, class: &[Label]) -> Option<Extent> {
        self.counts.extent(class)
    }

    /// Returns the distances between the surface voxels of a class; none if it is in neither label map.
    pub(crate) fn edges(&mut self, class: &[Label]) -> Arc<EdgeDistances> {
        if let Some(cached) = self.edges.get(class) {
            return Arc::clone(cached);
        }
        let distances = Arc::new(self.masks(class).map(|masks| masks.edge_distances()).unwrap_or_default());
        self.edges.insert(class.to_vec(), Arc::clone(&distances));
        distances
    }

    /// Returns the distances between the surface elements of a class; none if it is in neither label map.
    pub(crate) fn surfels(&mut self, class: &[Label]) -> Arc<SurfelDistances> {
        if let Some(cached) = self.surfels.get(class) {
            return Arc::clone(cached);
        }
        let distances = Arc::new(self.masks(class).map(|masks| masks.surfel_distances()).unwrap_or_default());
        self.surfels.insert(class.to_vec(), Arc::clone(&distances));
        distances
    }

    fn masks(&self, class: &[Label]) -> Option<Masks> {
        Some(Masks::new(&self.pair, &self.extent(class)?, class))
    }
}

//! A pair of label maps with what several metrics need of it, each computed once.

use std::collections::HashMap;
use std::sync::Arc;

use super::Pair;
use super::overlap::{JointCounts, Overlap};
use super::surface::{EdgeDistances, Masks, SurfelDistances};
use volume::Label;

/// A pair of label maps, and what is known of it so far.
pub(super) struct Comparison<'a> {
    pair: Pair<'a>,
    counts: JointCounts,
    edges: HashMap<Vec<Label>, Arc<EdgeDistances>>,
    surfels: HashMap<Vec<Label>, Arc<SurfelDistances>>,
}

impl<'a> Comparison<'a> {
    /// Counts the labels of a pair.
    ///
    /// # Panics
    /// When the label maps do not have the voxels of the pair's shape.
    pub fn new(pair: &Pair<'a>) -> Self {
        let num_voxels = pair.shape.iter().product::<usize>();
        assert_eq!(pair.prediction.len(), num_voxels, "a prediction has the voxels of its grid");
        assert_eq!(pair.truth.len(), num_voxels, "a truth has the voxels of its grid");
        Self { pair: *pair, counts: JointCounts::of(pair), edges: HashMap::new(), surfels: HashMap::new() }
    }

    /// The label maps.
    pub fn pair(&self) -> &Pair<'a> {
        &self.pair
    }

    /// The labels, counted.
    pub fn counts(&self) -> &JointCounts {
        &self.counts
    }

    /// How the voxels with one of these labels lie.
    pub fn overlap(&self, class: &[Label]) -> Overlap {
        self.counts.overlap(class)
    }

    /// The distances between the surface voxels of a class; none where it is in neither label map.
    pub fn edges(&mut self, class: &[Label]) -> Arc<EdgeDistances> {
        if let Some(known) = self.edges.get(class) {
            return Arc::clone(known);
        }
        let found = Arc::new(self.masks(class).map(|masks| masks.edge_distances()).unwrap_or_default());
        self.edges.insert(class.to_vec(), Arc::clone(&found));
        found
    }

    /// The distances between the surface elements of a class; none where it is in neither label map.
    pub fn surfels(&mut self, class: &[Label]) -> Arc<SurfelDistances> {
        if let Some(known) = self.surfels.get(class) {
            return Arc::clone(known);
        }
        let found = Arc::new(self.masks(class).map(|masks| masks.surfel_distances()).unwrap_or_default());
        self.surfels.insert(class.to_vec(), Arc::clone(&found));
        found
    }

    fn masks(&self, class: &[Label]) -> Option<Masks> {
        let extent = self.counts.extent(class)?;
        Some(Masks::new(&self.pair, &extent, class))
    }
}

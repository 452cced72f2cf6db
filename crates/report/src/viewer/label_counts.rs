//! Voxel counts of labels, in total and per slice.

use std::collections::BTreeMap;

use super::plane::Plane;
use super::scene::Scene;
use volume::Label;

/// The number of voxels of a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelOverlap {
    /// In the label map.
    pub label: u64,
    /// In the prediction.
    pub prediction: u64,
    /// In both.
    pub both: u64,
}

impl LabelOverlap {
    /// Returns the Dice coefficient; `None` without voxels.
    pub fn dice(self) -> Option<f64> {
        let sum = self.label + self.prediction;
        (sum > 0).then(|| 2.0 * self.both as f64 / sum as f64)
    }
}

/// Voxel counts per slice of a plane. Slices are counted from inferior, posterior or left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceCounts {
    /// Voxels with a label in either map.
    pub foreground: Vec<u32>,
    /// Voxels in which the maps differ.
    pub differing: Vec<u32>,
    /// Voxels of each label in either map.
    pub labels: BTreeMap<Label, Vec<u32>>,
}

/// Voxel counts of the labels of a scene.
#[derive(Clone, Debug)]
pub struct LabelCounts {
    /// The total counts of all labels in either map, without the background.
    pub labels: BTreeMap<Label, LabelOverlap>,
    planes: [SliceCounts; 3],
}

impl LabelCounts {
    /// Counts the voxels in the label maps of a scene.
    pub fn of(scene: &Scene) -> Self {
        let grid = scene.grid();
        let empty = |plane: Plane| {
            let none = vec![0; grid.shape[plane.axes()[2]]];
            SliceCounts { foreground: none.clone(), differing: none, labels: BTreeMap::new() }
        };
        let mut counts = Self { labels: BTreeMap::new(), planes: Plane::ALL.map(empty) };
        let maps = [&scene.label, &scene.prediction].map(|map| map.as_deref());
        let Some(num_voxels) = maps.iter().flatten().map(|map| map.len()).next() else { return counts };
        let has_both = maps.iter().all(Option::is_some);
        let [_, height, depth] = scene.stored.shape;
        for voxel in 0..num_voxels {
            let [label, prediction] = maps.map(|map| map.map_or(0, |map| map[voxel]));
            if label == 0 && prediction == 0 {
                continue;
            }
            counts.count(label, prediction);
            let stored = [voxel / (height * depth), voxel / depth % height, voxel % depth];
            for (plane, slices) in Plane::ALL.iter().zip(&mut counts.planes) {
                let axis = plane.axes()[2];
                let source = scene.axes()[axis];
                let index = stored[source.source_axis];
                let slice = if source.flipped { grid.shape[axis] - 1 - index } else { index };
                slices.count(slice, label, prediction, has_both);
            }
        }
        counts
    }

    fn count(&mut self, label: Label, prediction: Label) {
        if label > 0 {
            self.labels.entry(label).or_default().label += 1;
        }
        if prediction > 0 {
            let counts = self.labels.entry(prediction).or_default();
            counts.prediction += 1;
            counts.both += u64::from(label == prediction);
        }
    }

    /// Returns the counts per slice of a plane.
    pub fn slices(&self, plane: Plane) -> &SliceCounts {
        &self.planes[plane as usize]
    }
}

impl SliceCounts {
    fn count(&mut self, slice: usize, label: Label, prediction: Label, has_both: bool) {
        self.foreground[slice] += 1;
        self.differing[slice] += u32::from(has_both && label != prediction);
        let other = (prediction != label).then_some(prediction);
        for label in [label].into_iter().chain(other).filter(|label| *label > 0) {
            let num_slices = self.foreground.len();
            self.labels.entry(label).or_insert_with(|| vec![0; num_slices])[slice] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid, Voxels};

    #[test]
    fn voxels_are_counted_by_label_and_by_slice_in_ras_order() {
        let shape = [2, 1, 3];
        // Stored from superior to inferior.
        let grid = Grid { shape, affine: Affine::scale_and_shift([1.0, 1.0, -1.0], [0.0; 3]) };
        let image = Voxels::new(1, shape, vec![0.0; 6]);
        let label = Voxels::new(1, shape, vec![1, 1, 0, 1, 0, 0]);
        let prediction = Voxels::new(1, shape, vec![1, 0, 0, 2, 0, 2]);
        let counts = LabelCounts::of(&Scene::new(&grid, &image, Some(&label), Some(&prediction)));
        assert_eq!(counts.labels[&1], LabelOverlap { label: 3, prediction: 1, both: 1 });
        assert_eq!(counts.labels[&2], LabelOverlap { label: 0, prediction: 2, both: 0 });
        assert_eq!(counts.labels[&1].dice(), Some(0.5));
        let axial = counts.slices(Plane::Axial);
        assert_eq!((&axial.foreground[..], &axial.differing[..]), (&[1, 1, 2][..], &[1, 1, 1][..]));
        assert_eq!((&axial.labels[&1][..], &axial.labels[&2][..]), (&[0, 1, 2][..], &[1, 0, 1][..]));
        assert_eq!(counts.slices(Plane::Sagittal).foreground, [2, 2]);
        assert_eq!(counts.slices(Plane::Coronal).differing, [3]);
    }

    #[test]
    fn without_label_maps_nothing_is_counted() {
        let grid = Grid { shape: [2, 2, 2], affine: Affine::IDENTITY };
        let counts = LabelCounts::of(&Scene::new(&grid, &Voxels::new(1, [2; 3], vec![0.0; 8]), None, None));
        assert!(counts.labels.is_empty());
        assert_eq!(counts.slices(Plane::Axial).foreground, [0, 0]);
    }
}

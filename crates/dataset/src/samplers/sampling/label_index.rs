//! Label indices: the voxels of each label, in little memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use transforms::lazy::EmptySpace;
use volume::{Label, Voxels, offset, unravel_index};

/// A label map with an index of the voxels of each label. Clones share the voxels.
#[derive(Clone, Debug)]
pub struct LabelIndex {
    labels: Voxels<Label>,
    runs: Arc<LabelRuns>,
}

/// The voxels of a label map as runs along z, by label (run-length encoding), without the map itself.
///
/// Most rows of a label map have few runs, so the index is small; the n-th voxel of a label takes a binary search.
#[derive(Clone, Debug)]
pub struct LabelRuns {
    by_label: BTreeMap<Label, Runs>,
    empty: EmptySpace,
}

/// The runs of one label above 0.
#[derive(Clone, Debug, Default)]
struct Runs {
    /// The position of each run's first voxel in the array.
    starts: Vec<usize>,
    /// Voxels of the label before each run.
    before: Vec<u64>,
    /// Voxels of the label.
    count: u64,
    /// The bounding box of the label: its first and last voxel.
    bounds: Option<([usize; 3], [usize; 3])>,
}

impl Runs {
    /// Extends the bounding box by a run.
    fn extend_bounds(&mut self, start: [usize; 3], length: usize) {
        let end = [start[0], start[1], start[2] + length - 1];
        let (low, high) = self.bounds.unwrap_or((start, end));
        self.bounds = Some((
            std::array::from_fn(|axis| low[axis].min(start[axis])),
            std::array::from_fn(|axis| high[axis].max(end[axis])),
        ));
    }
}

impl LabelRuns {
    /// Builds the index from one pass over a label map.
    pub fn new(labels: &Voxels<Label>) -> Self {
        let shape = labels.shape;
        let slice_runs = |(x, slice): (usize, &[Label])| -> Vec<(usize, usize, Label)> {
            let mut runs = Vec::new();
            for (y, row) in slice.chunks_exact(shape[2]).enumerate() {
                // Most rows are background, which this test finds with vector instructions.
                if row.iter().fold(0, |any, label| any | label) > 0 {
                    let mut first = (x * shape[1] + y) * shape[2];
                    for run in row.chunk_by(|a, b| a == b) {
                        if run[0] > 0 {
                            runs.push((first, run.len(), run[0]));
                        }
                        first += run.len();
                    }
                }
            }
            runs
        };
        let slices = labels.par_chunks_exact(shape[1] * shape[2]).enumerate();
        let all: Vec<Vec<(usize, usize, Label)>> = slices.map(slice_runs).collect();
        let mut by_label: BTreeMap<Label, Runs> = BTreeMap::new();
        for (first, length, label) in all.iter().flatten().copied() {
            let runs = by_label.entry(label).or_default();
            runs.starts.push(first);
            runs.before.push(runs.count);
            runs.count += length as u64;
            runs.extend_bounds(unravel_index(shape, first), length);
        }
        let foreground = all.iter().flatten().map(|(first, length, _)| (unravel_index(shape, *first), *length));
        let empty = EmptySpace::new(shape, foreground);
        Self { by_label, empty }
    }

    /// Returns where the label map is background only.
    pub fn empty_space(&self) -> &EmptySpace {
        &self.empty
    }

    /// Iterates over the runs of each selected label above 0.
    fn selected(&self, is_selected: impl Fn(Label) -> bool) -> impl Iterator<Item = &Runs> {
        self.by_label.iter().filter(move |(label, _)| is_selected(**label)).map(|(_, runs)| runs)
    }
}

impl LabelIndex {
    /// Indexes a label map in one pass. The map itself is shared, not copied.
    pub fn new(labels: Voxels<Label>) -> Self {
        let runs = Arc::new(LabelRuns::new(&labels));
        Self { labels, runs }
    }

    /// Returns an index with known runs.
    pub fn with_runs(labels: Voxels<Label>, runs: Arc<LabelRuns>) -> Self {
        Self { labels, runs }
    }

    /// Returns the bounding box of the voxels with a selected label above 0: its first and last voxel.
    pub fn bounds(&self, is_selected: impl Fn(Label) -> bool) -> Option<([usize; 3], [usize; 3])> {
        let boxes = self.runs.selected(is_selected).filter_map(|runs| runs.bounds);
        boxes.reduce(|(low, high), (other_low, other_high)| {
            (
                std::array::from_fn(|axis| low[axis].min(other_low[axis])),
                std::array::from_fn(|axis| high[axis].max(other_high[axis])),
            )
        })
    }

    /// Returns the label map, `[x, y, z]`.
    pub fn map(&self) -> &[Label] {
        &self.labels
    }

    /// Returns the label of a voxel.
    pub fn label(&self, voxel: [usize; 3]) -> Label {
        self.labels[offset(self.labels.shape, voxel)]
    }

    /// Iterates over the labels above 0 that some voxel has, in ascending order.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.runs.by_label.keys().copied()
    }

    /// Returns the number of voxels with a label above 0.
    pub fn num_foreground(&self) -> u64 {
        self.runs.by_label.values().map(|runs| runs.count).sum()
    }

    /// Returns the number of voxels with a selected label above 0.
    pub fn count(&self, is_selected: impl Fn(Label) -> bool) -> u64 {
        self.runs.selected(is_selected).map(|runs| runs.count).sum()
    }

    /// Iterates over the first and the last voxel of each run of a selected label above 0.
    pub fn runs(&self, is_selected: impl Fn(Label) -> bool) -> impl Iterator<Item = ([usize; 3], [usize; 3])> {
        let shape = self.labels.shape;
        self.runs.selected(is_selected).flat_map(move |runs| {
            let counts = runs.before.iter().skip(1).chain(std::iter::once(&runs.count));
            let lengths = runs.before.iter().zip(counts).map(|(before, count)| (count - before) as usize);
            let voxels = runs.starts.iter().zip(lengths).map(|(first, length)| [*first, first + length - 1]);
            voxels.map(move |[first, last]| (unravel_index(shape, first), unravel_index(shape, last)))
        })
    }

    /// Returns the n-th voxel with a selected label above 0, counted from 0 in a fixed order.
    ///
    /// # Panics
    /// When there are at most n such voxels.
    pub fn nth(&self, is_selected: impl Fn(Label) -> bool, mut n: u64) -> [usize; 3] {
        for runs in self.runs.selected(is_selected) {
            if n < runs.count {
                let run = runs.before.partition_point(|before| *before <= n) - 1;
                let position = runs.starts[run] + (n - runs.before[run]) as usize;
                return unravel_index(self.labels.shape, position);
            }
            n -= runs.count;
        }
        panic!("n is below the number of selected voxels");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_of_a_label_has_one_index() {
        let labels = [1, 1, 0, 2, 0, 1, 1, 1, 2, 2, 0, 0];
        let index = LabelIndex::new(Voxels::new(1, [1, 3, 4], labels.to_vec()));
        assert_eq!((index.count(|l| l == 1), index.count(|l| l == 2), index.num_foreground()), (5, 3, 8));
        let ones: Vec<usize> = (0..5).map(|n| offset([1, 3, 4], index.nth(|l| l == 1, n))).collect();
        assert_eq!(ones, [0, 1, 5, 6, 7]);
        let runs: Vec<_> = index.runs(|l| l == 1).collect();
        assert_eq!(runs, [([0, 0, 0], [0, 0, 1]), ([0, 1, 1], [0, 1, 3])]);
        let any: Vec<usize> = (0..8).map(|n| offset([1, 3, 4], index.nth(|l| l > 0, n))).collect();
        assert_eq!(any, [0, 1, 5, 6, 7, 3, 8, 9]);
    }
}

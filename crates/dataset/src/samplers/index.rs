//! Where each label's voxels are, in little memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use transforms::lazy::EmptySpace;
use volume::{Label, Voxels, offset, unravel_index};

/// A label map and where each of its labels is. To clone it copies no voxels.
#[derive(Clone, Debug)]
pub struct LabelIndex {
    labels: Voxels<Label>,
    runs: Arc<LabelRuns>,
}

/// The voxels of a label map as runs along z, sorted by label; the map itself is not kept.
///
/// A run is a row's stretch of one label. Most rows of a label map hold a few runs, so all of them are
/// small, and the k-th voxel of a label is a binary search away.
#[derive(Clone, Debug)]
pub struct LabelRuns {
    of_label: BTreeMap<Label, Runs>,
    empty: EmptySpace,
}

/// The runs of one label above 0.
#[derive(Clone, Debug, Default)]
struct Runs {
    /// The position of each run's first voxel in the array.
    starts: Vec<usize>,
    /// How many voxels of the label lie before each run.
    before: Vec<u64>,
    /// How many voxels the label has.
    count: u64,
    /// The box around the label: its first voxel and its last.
    bounds: Option<([usize; 3], [usize; 3])>,
}

impl Runs {
    /// Takes a run into the box.
    fn widen(&mut self, start: [usize; 3], length: usize) {
        let end = [start[0], start[1], start[2] + length - 1];
        let (low, high) = self.bounds.unwrap_or((start, end));
        self.bounds = Some((
            std::array::from_fn(|axis| low[axis].min(start[axis])),
            std::array::from_fn(|axis| high[axis].max(end[axis])),
        ));
    }
}

impl LabelRuns {
    /// Looks at each voxel of a label map once.
    pub fn new(labels: &Voxels<Label>) -> Self {
        let shape = labels.shape;
        let runs_of = |(x, slice): (usize, &[Label])| -> Vec<(usize, usize, Label)> {
            let mut found = Vec::new();
            for (y, row) in slice.chunks_exact(shape[2]).enumerate() {
                // Most rows hold nothing, which many voxels at a time are asked.
                if row.iter().fold(0, |any, label| any | label) > 0 {
                    let mut first = (x * shape[1] + y) * shape[2];
                    for run in row.chunk_by(|a, b| a == b) {
                        if run[0] > 0 {
                            found.push((first, run.len(), run[0]));
                        }
                        first += run.len();
                    }
                }
            }
            found
        };
        let slices = labels.par_chunks_exact(shape[1] * shape[2]).enumerate();
        let all: Vec<Vec<(usize, usize, Label)>> = slices.map(runs_of).collect();
        let mut of_label: BTreeMap<Label, Runs> = BTreeMap::new();
        for (first, length, label) in all.iter().flatten().copied() {
            let runs = of_label.entry(label).or_default();
            runs.starts.push(first);
            runs.before.push(runs.count);
            runs.count += length as u64;
            runs.widen(unravel_index(shape, first), length);
        }
        let filled = all.iter().flatten().map(|(first, length, _)| (unravel_index(shape, *first), *length));
        let empty = EmptySpace::new(shape, filled);
        Self { of_label, empty }
    }

    /// Where the label map holds nothing but 0.
    pub fn empty_space(&self) -> &EmptySpace {
        &self.empty
    }

    /// Those of each wanted label above 0.
    fn of_wanted(&self, wanted: impl Fn(Label) -> bool) -> impl Iterator<Item = &Runs> {
        self.of_label.iter().filter(move |(label, _)| wanted(**label)).map(|(_, runs)| runs)
    }
}

impl LabelIndex {
    /// Looks at each voxel of a label map once. The map itself is shared, not copied.
    pub fn new(labels: Voxels<Label>) -> Self {
        let runs = Arc::new(LabelRuns::new(&labels));
        Self { labels, runs }
    }

    /// A label map whose runs are known.
    pub fn with_runs(labels: Voxels<Label>, runs: Arc<LabelRuns>) -> Self {
        Self { labels, runs }
    }

    /// The box around the voxels with a wanted label above 0: its first voxel and its last.
    pub fn bounds(&self, wanted: impl Fn(Label) -> bool) -> Option<([usize; 3], [usize; 3])> {
        let boxes = self.runs.of_wanted(wanted).filter_map(|runs| runs.bounds);
        boxes.reduce(|(low, high), (other_low, other_high)| {
            (
                std::array::from_fn(|axis| low[axis].min(other_low[axis])),
                std::array::from_fn(|axis| high[axis].max(other_high[axis])),
            )
        })
    }

    /// The label map, `[x, y, z]`.
    pub fn map(&self) -> &[Label] {
        &self.labels
    }

    /// The label of a voxel.
    pub fn label(&self, voxel: [usize; 3]) -> Label {
        self.labels[offset(self.labels.shape, voxel)]
    }

    /// The labels above 0 that some voxel has, by rising value.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.runs.of_label.keys().copied()
    }

    /// How many voxels have a label above 0.
    pub fn num_foreground(&self) -> u64 {
        self.runs.of_label.values().map(|runs| runs.count).sum()
    }

    /// How many voxels have a wanted label above 0.
    pub fn count(&self, wanted: impl Fn(Label) -> bool) -> u64 {
        self.runs.of_wanted(wanted).map(|runs| runs.count).sum()
    }

    /// The first and the last voxel of each run of a wanted label above 0.
    pub fn runs(&self, wanted: impl Fn(Label) -> bool) -> impl Iterator<Item = ([usize; 3], [usize; 3])> {
        let shape = self.labels.shape;
        self.runs.of_wanted(wanted).flat_map(move |runs| {
            let counts = runs.before.iter().skip(1).chain(std::iter::once(&runs.count));
            let lengths = runs.before.iter().zip(counts).map(|(before, count)| (count - before) as usize);
            let voxels = runs.starts.iter().zip(lengths).map(|(first, length)| [*first, first + length - 1]);
            voxels.map(move |[first, last]| (unravel_index(shape, first), unravel_index(shape, last)))
        })
    }

    /// The n-th voxel with a wanted label above 0, counted from 0 in a fixed order.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn nth(&self, wanted: impl Fn(Label) -> bool, mut n: u64) -> [usize; 3] {
        for runs in self.runs.of_wanted(wanted) {
            if n < runs.count {
                let run = runs.before.partition_point(|before| *before <= n) - 1;
                let position = runs.starts[run] + (n - runs.before[run]) as usize;
                return unravel_index(self.labels.shape, position);
            }
            n -= runs.count;
        }
        panic!("the n-th voxel is asked for within the count");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_of_a_label_is_found_once() {
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

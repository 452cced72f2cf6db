//! Resampling of label maps.

use rayon::prelude::*;

use super::{LinearSample, Zoom};
use volume::{Label, Voxels};

impl Zoom {
    /// Resamples a label map `[x, y, z]`: a voxel takes the label whose mask, interpolated linearly, is largest; of labels that
    /// share the largest value that of the nearest voxel, if it is one of them, and else the smallest.
    ///
    /// # Panics
    /// When the label map has another shape than the zoom.
    pub fn labels(&self, labels: &Voxels<Label>) -> Voxels<Label> {
        assert_eq!(labels.shape, self.from, "the label map has the shape from which the zoom starts");
        if self.from == self.to {
            return labels.clone();
        }
        let [along_x, along_y, along_z] = std::array::from_fn(|axis| self.linear(axis));
        let [_, size_y, size_z] = self.from;
        let rows: Vec<Row> = labels.par_chunks_exact(size_z).map(Row::new).collect();
        let mut out = vec![0; self.to.iter().product()];
        let planes = out.par_chunks_exact_mut(self.to[1] * self.to[2]).zip(&along_x);
        planes.for_each(|(plane, x)| {
            for (out, y) in plane.chunks_exact_mut(self.to[2]).zip(&along_y) {
                let row = |x: usize, y: usize| &rows[x * size_y + y];
                let around = [[row(x.low, y.low), row(x.high, y.low)], [row(x.low, y.high), row(x.high, y.high)]];
                match Row::common_label(around) {
                    Some(label) => out.fill(label),
                    None => {
                        for (out, z) in out.iter_mut().zip(&along_z) {
                            *out = interpolated(around, [x, y, z]);
                        }
                    }
                }
            }
        });
        Voxels::new(1, self.to, out)
    }
}

/// A row of labels along z.
struct Row<'a> {
    labels: &'a [Label],
    /// The label of all its voxels, if it is the same.
    label: Option<Label>,
}

impl<'a> Row<'a> {
    fn new(labels: &'a [Label]) -> Self {
        let label = labels.iter().all(|label| *label == labels[0]).then_some(labels[0]);
        Self { labels, label }
    }

    /// Returns the label of all voxels of four rows, if it is the same.
    fn common_label([[a, b], [c, d]]: [[&Row; 2]; 2]) -> Option<Label> {
        a.label.filter(|label| [b, c, d].iter().all(|row| row.label == Some(*label)))
    }
}

/// Returns the label of a voxel from those of the rows around it, `[y][x]`.
fn interpolated(rows: [[&Row; 2]; 2], [x, y, z]: [&LinearSample; 3]) -> Label {
    // The corners in the order of an array z, y, x.
    let is_upper = |corner: usize, axis: usize| corner >> axis & 1 == 1;
    let labels: [Label; 8] = std::array::from_fn(|corner| {
        let row = rows[usize::from(is_upper(corner, 1))][usize::from(is_upper(corner, 0))];
        row.labels[if is_upper(corner, 2) { z.high } else { z.low }]
    });
    if labels.iter().all(|label| *label == labels[0]) {
        return labels[0];
    }
    // SciPy multiplies and adds in this order, so that equal sums are equal here too.
    let weight = |corner: usize, axis: usize, sample: &LinearSample| {
        if is_upper(corner, axis) { sample.weight } else { 1.0 - sample.weight }
    };
    let weights: [f64; 8] =
        std::array::from_fn(|corner| weight(corner, 2, z) * weight(corner, 1, y) * weight(corner, 0, x));
    let score = |wanted: Label| {
        let own = labels.iter().zip(&weights).filter(|(label, _)| **label == wanted);
        own.map(|(_, weight)| weight).sum::<f64>()
    };
    let scores = labels.map(score);
    let largest = scores.iter().copied().fold(0.0, f64::max);
    let nearest: usize =
        [x, y, z].into_iter().enumerate().map(|(axis, sample)| usize::from(sample.weight >= 0.5) << axis).sum();
    if scores[nearest] == largest {
        return labels[nearest];
    }
    let winners = labels.iter().zip(&scores).filter(|(_, score)| **score == largest).map(|(label, _)| *label);
    winners.min().unwrap_or(labels[nearest])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Interpolation;

    fn zoomed(from: usize, to: usize, separate: bool, labels: &[Label]) -> Vec<Label> {
        let (from, to) = ([from, 1, 1], [to, 1, 1]);
        let zoom = Zoom { from, to, interpolation: Interpolation::Cubic, separate_axis: separate.then_some(0) };
        zoom.labels(&Voxels::new(1, from, labels.to_vec())).to_vec()
    }

    #[test]
    fn of_labels_with_the_same_weight_that_of_the_nearest_voxel_is_taken() {
        // Between two voxels, the upper one is the nearest.
        assert_eq!(zoomed(4, 2, false, &[1, 2, 2, 1]), [2, 1]);
        assert_eq!(zoomed(4, 2, true, &[3, 0, 0, 3]), [0, 3]);
        assert_eq!(zoomed(2, 4, false, &[0, 5]), [0, 0, 5, 5]);
    }

    #[test]
    fn where_labels_meet_the_one_with_the_largest_weight_is_taken() {
        let to_one = |labels: [Label; 4]| {
            let (from, to) = ([2, 2, 1], [1, 1, 1]);
            let zoom = Zoom { from, to, interpolation: Interpolation::Cubic, separate_axis: None };
            zoom.labels(&Voxels::new(1, from, labels.to_vec()))[0]
        };
        assert_eq!(to_one([1, 2, 2, 3]), 2);
        // The nearest voxel has a label of less weight.
        assert_eq!(to_one([4, 4, 2, 0]), 4);
        // All have the same.
        assert_eq!(to_one([4, 3, 2, 9]), 9);
    }
}

//! Resampling of label maps.

use rayon::prelude::*;

use super::{LinearSample, Zoom};
use volume::{Label, Voxels};

impl Zoom {
    /// Resamples a label map `[x, y, z]`: a voxel takes the largest label whose mask, interpolated linearly, is at least one
    /// half, and else 0.
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
    // In the order in which SciPy adds them, of an array z, y, x: sums that are one half stay so.
    let corners: [(Label, f64); 8] = std::array::from_fn(|corner| {
        let is_upper = |axis: usize| corner >> axis & 1 == 1;
        let weight =
            |sample: &LinearSample, axis: usize| if is_upper(axis) { sample.weight } else { 1.0 - sample.weight };
        let row = rows[usize::from(is_upper(1))][usize::from(is_upper(0))];
        let label = row.labels[if is_upper(2) { z.high } else { z.low }];
        (label, weight(z, 2) * weight(y, 1) * weight(x, 0))
    });
    let first = corners[0].0;
    if corners.iter().all(|(label, _)| *label == first) {
        return first;
    }
    let weight =
        |wanted: Label| corners.iter().filter(|(label, _)| *label == wanted).map(|(_, weight)| weight).sum::<f64>();
    corners.iter().map(|(label, _)| *label).filter(|label| weight(*label) >= 0.5).max().unwrap_or(0)
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
    fn of_labels_with_half_of_the_weight_the_larger_is_taken() {
        assert_eq!(zoomed(4, 2, false, &[1, 2, 2, 1]), [2, 2]);
        assert_eq!(zoomed(4, 2, false, &[3, 0, 0, 3]), [3, 3]);
        assert_eq!(zoomed(4, 2, true, &[3, 0, 0, 3]), [0, 3]);
        assert_eq!(zoomed(2, 4, false, &[0, 5]), [0, 0, 5, 5]);
    }

    #[test]
    fn labels_of_less_than_half_of_the_weight_leave_background() {
        // Nine voxels in which three labels meet; the voxel in the middle of four has a quarter of each.
        let zoom = Zoom { from: [2, 2, 1], to: [1, 1, 1], interpolation: Interpolation::Cubic, separate_axis: None };
        assert_eq!(zoom.labels(&Voxels::new(1, [2, 2, 1], vec![1, 2, 3, 4]))[..], [0]);
        assert_eq!(zoom.labels(&Voxels::new(1, [2, 2, 1], vec![1, 2, 2, 1]))[..], [2]);
    }
}

//! Resampling of whole volumes by the ratio of two shapes, as skimage's `resize` does, with which nnU-Net resamples.
//!
//! The field of view stays the same, and a volume continues beyond its border with its outermost voxels (mode `edge`).
//! [`image`] interpolates intensities, [`labels`] label maps; [`spline`] has the coefficients of cubic splines.

mod image;
mod labels;
mod spline;

use crate::Interpolation;
use volume::Affine;

/// A resampling of a whole volume to another shape with the same field of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zoom {
    /// Voxels along x, y and z before.
    pub from: [usize; 3],
    /// Voxels along x, y and z after.
    pub to: [usize; 3],
    /// The interpolation of intensities; that of labels is always linear.
    pub interpolation: Interpolation,
    /// The axis whose slices are resampled one by one, if there is one; across slices the nearest is taken.
    pub separate_axis: Option<usize>,
}

/// The resampling of images, and that of predictions back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// From the incoming volume to the outgoing one.
    pub forward: Zoom,
    /// From predictions on the outgoing grid to the incoming one.
    pub back: Zoom,
}

/// The two voxels along an axis between which a voxel is interpolated linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearSample {
    /// The lower voxel.
    pub low: usize,
    /// The upper voxel.
    pub high: usize,
    /// The weight of the upper voxel, at least 0 and below 1.
    pub weight: f64,
}

impl Zoom {
    /// Returns the map from outgoing to incoming voxels.
    pub fn map(&self) -> Affine {
        let ratios = self.ratios();
        Affine::scale_and_shift(ratios, ratios.map(|ratio| 0.5 * ratio - 0.5))
    }

    /// Returns whether an axis keeps its voxels.
    pub fn keeps(&self, axis: usize) -> bool {
        self.from[axis] == self.to[axis]
    }

    /// Returns the voxels between which each outgoing voxel of an axis is interpolated: linearly, or for the separate axis
    /// between the nearest voxel and itself.
    pub fn linear(&self, axis: usize) -> Vec<LinearSample> {
        if self.separate_axis == Some(axis) {
            return self
                .nearest(axis)
                .into_iter()
                .map(|index| LinearSample { low: index, high: index, weight: 0.0 })
                .collect();
        }
        let last = self.from[axis] - 1;
        let sample = |index: usize| {
            let point = self.point(axis, index).clamp(0.0, last as f64);
            let low = point as usize;
            LinearSample { low, high: (low + 1).min(last), weight: point - low as f64 }
        };
        (0..self.to[axis]).map(sample).collect()
    }

    /// Returns the voxel nearest to each outgoing voxel of an axis; of two the upper one.
    fn nearest(&self, axis: usize) -> Vec<usize> {
        let last = self.from[axis] as f64 - 1.0;
        (0..self.to[axis]).map(|index| (self.point(axis, index).clamp(0.0, last) + 0.5) as usize).collect()
    }

    /// Returns the position of an outgoing voxel along an axis, in incoming voxels.
    fn point(&self, axis: usize, index: usize) -> f64 {
        (index as f64 + 0.5) * self.ratios()[axis] - 0.5
    }

    fn ratios(&self) -> [f64; 3] {
        std::array::from_fn(|axis| self.from[axis] as f64 / self.to[axis] as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_view_stays_the_same() {
        let zoom = Zoom { from: [2, 5, 4], to: [4, 2, 4], interpolation: Interpolation::Linear, separate_axis: None };
        let weights = |axis: usize| zoom.linear(axis).iter().map(|at| at.low as f64 + at.weight).collect::<Vec<_>>();
        assert_eq!(weights(0), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(weights(1), [0.75, 3.25]);
        assert_eq!(weights(2), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(zoom.map().apply([1.0, 1.0, 3.0]), [0.25, 3.25, 3.0]);
    }

    #[test]
    fn of_two_nearest_slices_the_upper_one_is_taken() {
        let zoom = Zoom { from: [4, 1, 1], to: [2, 1, 1], interpolation: Interpolation::Cubic, separate_axis: Some(0) };
        let low: Vec<usize> = zoom.linear(0).iter().map(|sample| sample.low).collect();
        assert_eq!(low, [1, 3]);
    }
}

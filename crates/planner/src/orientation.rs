//! In which orientation experiments use the volumes.

use crate::fingerprint::DatasetFingerprint;
use crate::plan::Configuration;

/// The orientation of volumes in an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// Volumes are read into RAS orientation. All files have the same axis order; the array has, for each of their axes, the one
    /// of R, A and S to which it is parallel.
    Reorient([usize; 3]),
    /// Volumes must be in RAS orientation.
    RequireRas,
    /// Volumes are used in the axis order of their files, which differs among subjects or is wanted.
    Stored,
}

impl Orientation {
    /// Returns the orientation for a dataset: RAS if all files have the same axis order, flips aside, else that of the files,
    /// since nnU-Net plans for the axes of the files.
    pub fn of(fingerprint: &DatasetFingerprint) -> Self {
        let mut orders = fingerprint.subjects.iter().map(|subject| axis_order(&subject.orientation));
        match orders.next() {
            Some(first) if orders.all(|order| order == first) => Self::Reorient(first),
            _ => Self::Stored,
        }
    }

    /// Returns the value of `data.orientation`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Reorient(_) => "reorient",
            Self::RequireRas => "require_RAS",
            Self::Stored => "stored",
        }
    }

    /// Returns the axis of the experiment for an axis of the files.
    pub(crate) fn axis(&self, axis: usize) -> usize {
        match self {
            Self::Reorient(order) => order[axis],
            Self::RequireRas | Self::Stored => axis,
        }
    }

    /// Returns values along the axes of the files along those of the experiment.
    pub(crate) fn oriented<T: Copy>(&self, values: [T; 3]) -> [T; 3] {
        let mut oriented = values;
        for (axis, value) in values.into_iter().enumerate() {
            oriented[self.axis(axis)] = value;
        }
        oriented
    }

    /// Returns a configuration with the axes of the experiment.
    pub(crate) fn applied_to(&self, configuration: &Configuration) -> Configuration {
        let levels = |values: &[[usize; 3]]| values.iter().map(|value| self.oriented(*value)).collect();
        Configuration {
            spacing_mm: self.oriented(configuration.spacing_mm),
            median_shape: self.oriented(configuration.median_shape),
            patch: self.oriented(configuration.patch),
            first_patch: self.oriented(configuration.first_patch),
            kernels: levels(&configuration.kernels),
            strides: levels(&configuration.strides),
            ..configuration.clone()
        }
    }
}

/// Returns, for each axis of an orientation such as `LPS`, the one of R, A and S to which it is parallel.
fn axis_order(orientation: &str) -> [usize; 3] {
    let mut order = [0, 1, 2];
    for (axis, letter) in order.iter_mut().zip(orientation.chars()) {
        *axis = match letter {
            'L' | 'R' => 0,
            'A' | 'P' => 1,
            _ => 2,
        };
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orientation(codes: &[&str]) -> Orientation {
        let mut fingerprint = DatasetFingerprint::of_grids(&vec![([1.0; 3], [9; 3]); codes.len()]);
        for (subject, code) in fingerprint.subjects.iter_mut().zip(codes) {
            subject.orientation = (*code).to_owned();
        }
        Orientation::of(&fingerprint)
    }

    #[test]
    fn flips_are_read_into_ras_and_other_axis_orders_stay() {
        assert_eq!(orientation(&["RAS", "LPS", "LAI"]), Orientation::Reorient([0, 1, 2]));
        assert_eq!(orientation(&["RAS", "PIR"]), Orientation::Stored);
    }

    #[test]
    fn numbers_follow_the_axes() {
        let sagittal = orientation(&["PIR", "AIR"]);
        assert_eq!(sagittal, Orientation::Reorient([1, 2, 0]));
        assert_eq!(sagittal.oriented(["posterior", "inferior", "right"]), ["right", "posterior", "inferior"]);
        assert_eq!((sagittal.axis(2), Orientation::Stored.axis(2)), (0, 2));
    }
}

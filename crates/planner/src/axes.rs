//! The axis order in which plans are computed.
//!
//! Wherever two axes are equal, nnU-Net's choice depends on their order. It computes with the coarsest axis first, which is
//! also that of its 2-D slices, and the others from z to x. Fingerprints and plans have x, y, z.

/// The axes x, y, z (0, 1, 2) in the order of computation: the one perpendicular to slices first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisOrder(pub [usize; 3]);

impl AxisOrder {
    /// Returns the order for a target spacing along x, y and z: the coarsest axis first; of equal ones that closest to z.
    pub(crate) fn of_spacing(spacing: [f64; 3]) -> Self {
        let coarsest = coarsest_axis(spacing);
        let mut order = [coarsest; 3];
        for (place, axis) in [2, 1, 0].into_iter().filter(|axis| *axis != coarsest).enumerate() {
            order[place + 1] = axis;
        }
        Self(order)
    }

    /// Returns the axis perpendicular to slices.
    pub fn slice_axis(self) -> usize {
        self.0[0]
    }

    /// Returns values along x, y and z in the order of computation.
    pub(crate) fn ordered<T: Copy>(self, values: [T; 3]) -> [T; 3] {
        self.0.map(|axis| values[axis])
    }

    /// Returns values in the order of computation along x, y and z.
    pub(crate) fn restored<T: Copy>(self, ordered: [T; 3]) -> [T; 3] {
        let mut values = ordered;
        for (place, axis) in self.0.into_iter().enumerate() {
            values[axis] = ordered[place];
        }
        values
    }
}

/// Returns the axis with the largest spacing; of equal ones that closest to z.
pub fn coarsest_axis(spacing: [f64; 3]) -> usize {
    [2, 1, 0].into_iter().reduce(|best, axis| if spacing[axis] > spacing[best] { axis } else { best }).unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarsest_axis_is_first_and_the_others_run_from_z_to_x() {
        assert_eq!(AxisOrder::of_spacing([1.0, 1.0, 1.0]).0, [2, 1, 0]);
        assert_eq!(AxisOrder::of_spacing([1.0, 3.0, 1.0]).0, [1, 2, 0]);
        assert_eq!(AxisOrder::of_spacing([3.0, 1.0, 3.0]).0, [2, 1, 0]);
        assert_eq!(AxisOrder::of_spacing([3.0, 1.0, 1.0]).0, [0, 2, 1]);
    }

    #[test]
    fn restoring_undoes_the_order() {
        let order = AxisOrder::of_spacing([1.0, 3.0, 2.0]);
        assert_eq!(order.ordered(['x', 'y', 'z']), ['y', 'z', 'x']);
        assert_eq!(order.restored(order.ordered(['x', 'y', 'z'])), ['x', 'y', 'z']);
        assert_eq!(order.restored(['-', 'z', 'x']), ['x', '-', 'z']);
    }
}

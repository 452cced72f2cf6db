//! Anatomical orientation of grids, and reorientation to RAS.
//!
//! A voxel axis is named after the closest world axis, as in nibabel's `io_orientation`: by the rotation nearest to the
//! affine, the strongest axis first.

use super::volume::Affine;

/// The voxel axis that becomes an axis of the reoriented grid, and whether it is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisOrientation {
    /// The voxel axis, 0 to 2, closest to the world axis.
    pub source_axis: usize,
    /// Whether that voxel axis points to the left, posterior or inferior.
    pub flipped: bool,
}

/// Returns the voxel axis closest to each of the world axes right, anterior and superior, as nibabel's `io_orientation`.
///
/// Using voxel axis `axes[k].source_axis` as axis `k`, flipped if `flipped`, reorients a volume to RAS without
/// interpolation; an oblique grid remains oblique.
pub fn axes_to_ras(affine: &Affine) -> [AxisOrientation; 3] {
    let mut rotation = nearest_rotation(affine);
    let strength = |axis: usize| (0..3).map(|row| rotation[row][axis].powi(2)).fold(0.0, f64::max);
    let strengths: [f64; 3] = std::array::from_fn(strength);
    let mut voxel_axes = [0, 1, 2];
    voxel_axes.sort_by(|&a, &b| strengths[b].total_cmp(&strengths[a]));
    let mut axes = [AxisOrientation { source_axis: 0, flipped: false }; 3];
    let mut free = [true; 3];
    for axis in voxel_axes {
        let mut world =
            free.iter().position(|&free| free).expect("each of three voxel axes uses one of three world axes");
        for row in world + 1..3 {
            if free[row] && rotation[row][axis].abs() > rotation[world][axis].abs() {
                world = row;
            }
        }
        axes[world] = AxisOrientation { source_axis: axis, flipped: rotation[world][axis] < 0.0 };
        free[world] = false;
        rotation[world] = [0.0; 3];
    }
    axes
}

impl Affine {
    /// Returns the directions of the voxel axes x, y and z, such as `RAS` or `LPS`, as nibabel's `aff2axcodes`.
    ///
    /// ```
    /// let affine = volume::Affine::scale_and_shift([-1.0, -1.0, 2.5], [0.0; 3]);
    /// assert_eq!(affine.orientation(), "LPS");
    /// ```
    pub fn orientation(&self) -> String {
        const NAMES: [[char; 2]; 3] = [['R', 'L'], ['A', 'P'], ['S', 'I']];
        let mut code = [' '; 3];
        for (axis, names) in axes_to_ras(self).iter().zip(NAMES) {
            code[axis.source_axis] = names[usize::from(axis.flipped)];
        }
        code.iter().collect()
    }

    /// Returns whether a voxel axis deviates from its world axis by more than a thousandth of its length, about 0.06
    /// degrees.
    pub fn is_oblique(&self) -> bool {
        let spacing = self.spacing();
        axes_to_ras(self).iter().enumerate().any(|(world, axis)| {
            (0..3)
                .filter(|&row| row != world)
                .any(|row| self.0[row][axis.source_axis].abs() > 1e-3 * spacing[axis.source_axis])
        })
    }
}

/// Returns the orthogonal matrix nearest to the normalized columns: the polar factor, by Newton's iteration (Higham 1986,
/// "Computing the polar decomposition"); for a singular affine, the normalized columns themselves.
fn nearest_rotation(affine: &Affine) -> [[f64; 3]; 3] {
    let spacing = affine.spacing().map(|length| if length == 0.0 { 1.0 } else { length });
    let mut rotation: [[f64; 3]; 3] =
        std::array::from_fn(|row| std::array::from_fn(|column| affine.0[row][column] / spacing[column]));
    for _ in 0..60 {
        let Some(inverse) = Affine::from_parts(rotation, [0.0; 3]).inverse() else { break };
        let mut change = 0.0_f64;
        for (row, values) in rotation.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                let next = 0.5 * (*value + inverse.0[column][row]);
                change = change.max((next - *value).abs());
                *value = next;
            }
        }
        if change < 1e-15 {
            break;
        }
    }
    rotation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(source_axis: usize, flipped: bool) -> AxisOrientation {
        AxisOrientation { source_axis, flipped }
    }

    #[test]
    fn the_identity_is_ras() {
        assert_eq!(Affine::IDENTITY.orientation(), "RAS");
        assert_eq!(axes_to_ras(&Affine::IDENTITY), [axis(0, false), axis(1, false), axis(2, false)]);
        assert!(!Affine::IDENTITY.is_oblique());
    }

    #[test]
    fn negative_x_and_y_are_lps() {
        let affine = Affine::scale_and_shift([-0.977, -0.977, 3.27], [10.0, 20.0, 30.0]);
        assert_eq!(affine.orientation(), "LPS");
        assert_eq!(axes_to_ras(&affine), [axis(0, true), axis(1, true), axis(2, false)]);
    }

    #[test]
    fn a_permuted_grid_names_the_voxel_axis_of_each_world_axis() {
        // Voxel x points superior, voxel y left, voxel z anterior.
        let affine = Affine([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 0.0]]);
        assert_eq!(affine.orientation(), "SLA");
        assert_eq!(axes_to_ras(&affine), [axis(1, true), axis(2, false), axis(0, false)]);
    }

    #[test]
    fn shear_is_removed_before_axes_are_named() {
        // Expected by nibabel 5.4: aff2axcodes returns ('A', 'R', 'S') and ('S', 'R', 'P').
        let first = Affine([[0.6, 1.0, 0.1, 0.0], [0.7, -0.2, 0.3, 0.0], [0.2, 0.1, 1.5, 0.0]]);
        let second = Affine([[0.5, 0.9, 0.7, 0.0], [0.6, 0.3, -0.8, 0.0], [0.9, -0.2, 0.1, 0.0]]);
        assert_eq!(first.orientation(), "ARS");
        assert_eq!(second.orientation(), "SRP");
        assert!(first.is_oblique() && second.is_oblique());
    }

    #[test]
    fn each_world_axis_is_used_once_even_if_columns_are_parallel() {
        let affine = Affine([[1.0, 0.9, 0.0, 0.0], [0.1, 0.2, 0.0, 0.0], [0.0, 0.1, 1.0, 0.0]]);
        let mut axes = axes_to_ras(&affine).map(|axis| axis.source_axis);
        axes.sort_unstable();
        assert_eq!(axes, [0, 1, 2]);
    }
}

//! Contradictions between sform, qform and pixdim, which other programs may resolve differently.

use super::affine::Geometry;
use crate::{Affine, Grid, format_spacing};
use values::format_number;

/// NIfTI-1 codes from this one on denote a template space; a header may hold one affine to it and one to scanner space.
const FIRST_TEMPLATE_CODE: i16 = 3;
/// Relative difference of spacings that counts as agreement.
const SPACING_TOLERANCE: f64 = 0.01;
/// Difference of corners that counts as agreement, as a fraction of a voxel.
const CORNER_TOLERANCE: f64 = 0.5;

/// Returns the ambiguities of a header; `grid` is the grid as read.
pub(super) fn ambiguities(grid: &Grid, geometry: &Geometry) -> Vec<String> {
    let pixdim = geometry.pixdim;
    if pixdim.iter().any(|size| *size <= 0.0) {
        return vec![format!(
            "its pixdim is {pixdim:?}, expected positive lengths; the spacing is read as {}",
            format_spacing(grid.spacing())
        )];
    }
    if let (Some((sform_code, sform)), Some((qform_code, qform))) = (geometry.sform, geometry.qform) {
        let are_comparable = (sform_code < FIRST_TEMPLATE_CODE) == (qform_code < FIRST_TEMPLATE_CODE);
        let smallest = grid.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let distance = Grid { shape: grid.shape, affine: sform }.max_corner_distance_mm(&qform);
        if are_comparable && distance > CORNER_TOLERANCE * smallest {
            return vec![format!(
                "its sform ({}) and qform ({}) place corners up to {} mm apart; the sform is used, other programs may use the qform",
                describe(&sform),
                describe(&qform),
                format_number(distance)
            )];
        }
    }
    let differs = |(used, stated): (f64, f32)| (used - f64::from(stated)).abs() > SPACING_TOLERANCE * used;
    // The spacing along an axis of a single voxel does not matter.
    let axes = grid.spacing().into_iter().zip(pixdim).zip(grid.shape).filter(|(_, size)| *size > 1);
    if axes.map(|(spacings, _)| spacings).any(differs) {
        return vec![format!(
            "its affine has a spacing of {}, but pixdim {}; the affine is used, other programs may use pixdim",
            format_spacing(grid.spacing()),
            format_spacing(pixdim.map(f64::from))
        )];
    }
    Vec::new()
}

fn describe(affine: &Affine) -> String {
    format!("{}, {}", affine.orientation(), format_spacing(affine.spacing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid { shape: [20, 20, 10], affine: Affine::scale_and_shift([0.8, 0.8, 2.5], [5.0, 6.0, 7.0]) }
    }

    fn consistent() -> Geometry {
        Geometry { sform: Some((1, grid().affine)), qform: Some((1, grid().affine)), pixdim: [0.8, 0.8, 2.5] }
    }

    #[test]
    fn a_consistent_header_is_not_ambiguous() {
        assert_eq!(ambiguities(&grid(), &consistent()), [""; 0]);
        assert_eq!(ambiguities(&grid(), &Geometry { sform: None, ..consistent() }), [""; 0]);
        assert_eq!(ambiguities(&grid(), &Geometry { qform: None, ..consistent() }), [""; 0]);
    }

    #[test]
    fn a_negative_pixdim_is_reported() {
        let reported = ambiguities(&grid(), &Geometry { pixdim: [-0.8, 0.8, 2.5], ..consistent() });
        assert!(reported.len() == 1 && reported[0].contains("[-0.8, 0.8, 2.5]"), "{reported:?}");
    }

    #[test]
    fn different_sform_and_qform_are_reported_unless_one_is_in_template_space() {
        let moved = Affine::scale_and_shift([0.8, 0.8, 2.5], [5.0, 6.0, 17.0]);
        let reported = ambiguities(&grid(), &Geometry { qform: Some((1, moved)), ..consistent() });
        assert!(reported.len() == 1 && reported[0].contains("10 mm apart"), "{reported:?}");
        let in_template = Geometry { sform: Some((4, grid().affine)), qform: Some((1, moved)), ..consistent() };
        assert_eq!(ambiguities(&grid(), &in_template), [""; 0]);
    }

    #[test]
    fn a_pixdim_that_differs_from_the_affine_is_reported() {
        let reported = ambiguities(&grid(), &Geometry { qform: None, pixdim: [1.0; 3], ..consistent() });
        assert!(
            reported.len() == 1 && reported[0].contains("0.8 x 0.8 x 2.5 mm, but pixdim 1 x 1 x 1 mm"),
            "{reported:?}"
        );
    }
}

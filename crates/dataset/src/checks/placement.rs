//! Headers that give several answers to where the voxels lie: other programs may take another one than we do.

use super::read::short;
use volume::nifti::Placement;
use volume::{Affine, Grid};

/// Codes of NIfTI-1 from this one on name a template's space; an image may lie there and in the scanner's at once.
const FIRST_TEMPLATE_CODE: i16 = 3;
/// By how much of itself a spacing may differ between two answers that agree.
const SPACING_TOLERANCE: f64 = 0.01;
/// By how much of a voxel the corners may differ between two answers that agree.
const CORNER_TOLERANCE: f64 = 0.5;

/// What is doubtful in a header; `grid` is what is used.
pub(super) fn doubts(grid: &Grid, placement: &Placement) -> Vec<String> {
    let pixdim = placement.pixdim;
    if pixdim.iter().any(|size| *size <= 0.0) {
        return vec![format!(
            "its pixdim is {pixdim:?}, and lengths are positive; it is read without signs, as {}",
            spacing_text(grid.spacing())
        )];
    }
    if let (Some((sform_code, sform)), Some((qform_code, qform))) = (placement.sform, placement.qform) {
        let are_comparable = (sform_code < FIRST_TEMPLATE_CODE) == (qform_code < FIRST_TEMPLATE_CODE);
        let smallest = grid.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let apart = Grid { shape: grid.shape, affine: sform }.max_corner_distance_mm(&qform);
        if are_comparable && apart > CORNER_TOLERANCE * smallest {
            return vec![format!(
                "its sform ({}) and qform ({}) put corners up to {} mm apart; the sform is used, other programs may take the qform",
                place_text(&sform),
                place_text(&qform),
                short(apart)
            )];
        }
    }
    let differs = |(used, stated): (f64, f32)| (used - f64::from(stated)).abs() > SPACING_TOLERANCE * used;
    // A flat file need not say how thick it is.
    let axes = grid.spacing().into_iter().zip(pixdim).zip(grid.shape).filter(|(_, size)| *size > 1);
    if axes.map(|(spacings, _)| spacings).any(differs) {
        return vec![format!(
            "its affine has a spacing of {}, its pixdim says {}; the affine is used, other programs may take the pixdim",
            spacing_text(grid.spacing()),
            spacing_text(pixdim.map(f64::from))
        )];
    }
    Vec::new()
}

/// Millimetres along x, y and z.
pub(super) fn spacing_text(spacing: [f64; 3]) -> String {
    format!("{} mm", spacing.map(short).join(" x "))
}

fn place_text(affine: &Affine) -> String {
    format!("{}, {}", affine.orientation(), spacing_text(affine.spacing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid { shape: [20, 20, 10], affine: Affine::scale_and_shift([0.8, 0.8, 2.5], [5.0, 6.0, 7.0]) }
    }

    fn agreeing() -> Placement {
        Placement { sform: Some((1, grid().affine)), qform: Some((1, grid().affine)), pixdim: [0.8, 0.8, 2.5] }
    }

    #[test]
    fn a_header_that_agrees_with_itself_leaves_no_doubt() {
        assert_eq!(doubts(&grid(), &agreeing()), [""; 0]);
        assert_eq!(doubts(&grid(), &Placement { sform: None, ..agreeing() }), [""; 0]);
        assert_eq!(doubts(&grid(), &Placement { qform: None, ..agreeing() }), [""; 0]);
    }

    #[test]
    fn a_negative_length_is_told() {
        let told = doubts(&grid(), &Placement { pixdim: [-0.8, 0.8, 2.5], ..agreeing() });
        assert!(told.len() == 1 && told[0].contains("[-0.8, 0.8, 2.5]"), "{told:?}");
    }

    #[test]
    fn two_answers_that_lie_apart_are_told_in_mm_unless_one_is_a_templates() {
        let moved = Affine::scale_and_shift([0.8, 0.8, 2.5], [5.0, 6.0, 17.0]);
        let told = doubts(&grid(), &Placement { qform: Some((1, moved)), ..agreeing() });
        assert!(told.len() == 1 && told[0].contains("10 mm apart"), "{told:?}");
        let in_template = Placement { sform: Some((4, grid().affine)), qform: Some((1, moved)), ..agreeing() };
        assert_eq!(doubts(&grid(), &in_template), [""; 0]);
    }

    #[test]
    fn a_pixdim_beside_another_affine_is_told() {
        let told = doubts(&grid(), &Placement { qform: None, pixdim: [1.0; 3], ..agreeing() });
        assert!(told.len() == 1 && told[0].contains("0.8 x 0.8 x 2.5 mm, its pixdim says 1 x 1 x 1 mm"), "{told:?}");
    }
}

//! What a header states that other programs may read differently: contradictions between sform, qform and pixdim, forms
//! that cannot be used, other units than millimetres.

use super::geometry::{FieldError, Form, Geometry};
use super::header::Header;
use crate::io::LengthUnit;
use crate::{Affine, Grid, format_spacing};
use values::format_number;

/// Codes from this one on denote a template space; a header may hold one affine to it and one to scanner space.
const FIRST_TEMPLATE_CODE: i32 = 3;
/// Relative difference of spacings that counts as agreement.
const SPACING_TOLERANCE: f64 = 0.01;
/// Difference of corners that counts as agreement, as a fraction of a voxel.
const CORNER_TOLERANCE: f64 = 0.5;
/// Spacings in millimetres of images of patients and animals; others suggest another unit.
const USUAL_SPACINGS: std::ops::RangeInclusive<f64> = 0.005..=100.0;

/// Returns the ambiguities of a header.
pub(super) fn ambiguities(header: &Header) -> Vec<String> {
    let (grid, geometry) = (&header.grid, &header.geometry);
    let empty_axis = header.empty_axis.map(|axis| format!("its dim declares 0 voxels along axis {axis}, read as 1"));
    let unusable_form = unusable_form(geometry);
    // Where one of the forms is unusable, the others need not agree with it.
    let contradiction = if unusable_form.is_some() { None } else { contradiction(grid, geometry) };
    [empty_axis, unit(grid, geometry.unit), unusable_form, contradiction].into_iter().flatten().collect()
}

/// Describes a unit that other programs may ignore, or that seems to be missing.
fn unit(grid: &Grid, unit: LengthUnit) -> Option<String> {
    let spacing = grid.spacing();
    let name = match unit {
        LengthUnit::Millimetre => return None,
        LengthUnit::Metre => "metres",
        LengthUnit::Micrometre => "micrometres",
        LengthUnit::Unknown => {
            let is_usual = spacing.iter().all(|mm| USUAL_SPACINGS.contains(mm));
            let read = format_spacing(spacing);
            return (!is_usual)
                .then(|| format!("it states no unit of length (xyzt_units); its spacing is read as {read}"));
        }
    };
    let stated = spacing.map(|mm| format_number(mm / unit.millimetres())).join(" x ");
    Some(format!(
        "its lengths are in {name} (xyzt_units): the spacing of {stated} is read as {}; other programs may ignore the unit",
        format_spacing(spacing)
    ))
}

/// Describes a form that cannot be used, beside one that can.
fn unusable_form(geometry: &Geometry) -> Option<String> {
    let note = |name: &str, (field, reason): &FieldError, used: &str| {
        format!("its {name} cannot be used ({field}: {reason}); the {used} is used instead")
    };
    match (&geometry.sform, &geometry.qform) {
        (Some(Form { affine: Err(error), .. }), Some(Form { affine: Ok(_), .. })) => {
            Some(note("sform", error, "qform"))
        }
        (Some(Form { affine: Ok(_), .. }), Some(Form { affine: Err(error), .. })) => {
            Some(note("qform", error, "sform"))
        }
        _ => None,
    }
}

/// Describes how sform, qform and pixdim contradict each other.
fn contradiction(grid: &Grid, geometry: &Geometry) -> Option<String> {
    let pixdim = geometry.pixdim;
    if pixdim.iter().any(|size| *size <= 0.0) {
        return Some(format!(
            "its pixdim is {:?}, expected positive lengths; the spacing is read as {}",
            pixdim.map(|size| size as f32),
            format_spacing(grid.spacing())
        ));
    }
    if let (Some(Form { code: sform_code, affine: Ok(sform) }), Some(Form { code: qform_code, affine: Ok(qform) })) =
        (&geometry.sform, &geometry.qform)
    {
        let are_comparable = (*sform_code < FIRST_TEMPLATE_CODE) == (*qform_code < FIRST_TEMPLATE_CODE);
        let smallest = grid.spacing().into_iter().fold(f64::INFINITY, f64::min);
        let distance = Grid { shape: grid.shape, affine: *sform }.max_corner_distance_mm(qform);
        if are_comparable && distance > CORNER_TOLERANCE * smallest {
            return Some(format!(
                "its sform ({}) and qform ({}) place corners up to {} mm apart; the sform is used, other programs may use the qform",
                describe(sform),
                describe(qform),
                format_number(distance)
            ));
        }
    }
    let stated = pixdim.map(|size| size * geometry.unit.millimetres());
    let differs = |(used, stated): (f64, f64)| (used - stated).abs() > SPACING_TOLERANCE * used;
    // The spacing along an axis of a single voxel does not matter.
    let axes = grid.spacing().into_iter().zip(stated).zip(grid.shape).filter(|(_, size)| *size > 1);
    axes.map(|(spacings, _)| spacings).any(differs).then(|| {
        format!(
            "its affine has a spacing of {}, but pixdim {}; the affine is used, other programs may use pixdim",
            format_spacing(grid.spacing()),
            format_spacing(stated)
        )
    })
}

fn describe(affine: &Affine) -> String {
    format!("{}, {}", affine.orientation(), format_spacing(affine.spacing()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::raw::{DataType, RawLayout};

    fn affine() -> Affine {
        Affine::scale_and_shift([0.8, 0.8, 2.5], [5.0, 6.0, 7.0])
    }

    fn form(code: i32, affine: Affine) -> Option<Form> {
        Some(Form { code, affine: Ok(affine) })
    }

    fn consistent() -> Geometry {
        let pixdim = [0.8, 0.8, 2.5];
        Geometry {
            sform: form(1, affine()),
            qform: form(1, affine()),
            pixdim,
            unit: LengthUnit::Millimetre,
            num_axes: 3,
        }
    }

    fn notes(geometry: Geometry) -> Vec<String> {
        let shape = [20, 20, 10];
        let affine = geometry.affine(shape).unwrap();
        let data_type = DataType::Uint8;
        let layout =
            RawLayout { channels: 1, shape, data_type, big_endian: false, scaling: None, offset: 352, num_bytes: 4000 };
        ambiguities(&Header { grid: Grid { shape, affine }, geometry, layout, empty_axis: None })
    }

    #[track_caller]
    fn assert_only(notes: &[String], part: &str) {
        assert!(notes.len() == 1 && notes[0].contains(part), "{notes:?}");
    }

    #[test]
    fn a_consistent_header_is_not_ambiguous() {
        assert_eq!(notes(consistent()), [""; 0]);
        assert_eq!(notes(Geometry { sform: None, ..consistent() }), [""; 0]);
        assert_eq!(notes(Geometry { qform: None, ..consistent() }), [""; 0]);
        assert_eq!(notes(Geometry { unit: LengthUnit::Unknown, ..consistent() }), [""; 0]);
    }

    #[test]
    fn a_negative_pixdim_is_reported() {
        assert_only(&notes(Geometry { pixdim: [-0.8, 0.8, 2.5], ..consistent() }), "[-0.8, 0.8, 2.5]");
    }

    #[test]
    fn different_sform_and_qform_are_reported_unless_one_is_in_template_space() {
        let moved = Affine::scale_and_shift([0.8, 0.8, 2.5], [5.0, 6.0, 17.0]);
        assert_only(&notes(Geometry { qform: form(1, moved), ..consistent() }), "10 mm apart");
        let in_template = Geometry { sform: form(4, affine()), qform: form(1, moved), ..consistent() };
        assert_eq!(notes(in_template), [""; 0]);
    }

    #[test]
    fn a_pixdim_that_differs_from_the_affine_is_reported() {
        let reported = notes(Geometry { qform: None, pixdim: [1.0; 3], ..consistent() });
        assert_only(&reported, "0.8 x 0.8 x 2.5 mm, but pixdim 1 x 1 x 1 mm");
    }

    #[test]
    fn a_form_that_cannot_be_used_is_reported() {
        let unusable = || Some(Form { code: 1, affine: Err(("srow_x, srow_y, srow_z", "zeros".to_owned())) });
        assert_only(&notes(Geometry { sform: unusable(), ..consistent() }), "the qform is used instead");
        assert_only(&notes(Geometry { qform: unusable(), ..consistent() }), "the sform is used instead");
    }

    #[test]
    fn other_units_than_millimetres_are_reported_and_a_missing_one_if_the_spacing_is_unusual() {
        let micrometres = Geometry { pixdim: [800.0, 800.0, 2500.0], unit: LengthUnit::Micrometre, ..consistent() };
        assert_only(
            &notes(micrometres),
            "in micrometres (xyzt_units): the spacing of 800 x 800 x 2500 is read as 0.8 x",
        );
        let unit = LengthUnit::Unknown;
        let large = form(1, Affine::scale_and_shift([400.0; 3], [0.0; 3]));
        let missing = Geometry { sform: large.clone(), qform: large, pixdim: [400.0; 3], unit, ..consistent() };
        assert_only(
            &notes(missing),
            "states no unit of length (xyzt_units); its spacing is read as 400 x 400 x 400 mm",
        );
    }
}

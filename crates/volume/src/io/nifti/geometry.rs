//! The position of the voxels in a header: sform, qform, pixdim and their unit, and the affine that nibabel derives.

use super::fields::Fields;
use crate::Affine;
use crate::io::LengthUnit;

/// Allowed spacings in millimetres: outside this range sizes in voxels overflow.
const SPACINGS: std::ops::RangeInclusive<f64> = 1e-4..=1e5;
/// How far a stored quaternion may exceed unit length, in the square of its real part: writers with few digits. It is
/// normalized, as in the reference implementation of the format.
const MAX_EXCESS: f64 = 1e-4;

/// The position of the voxels as the header states it, in up to three ways, which should agree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Geometry {
    /// The sform, if its code is not 0.
    pub(super) sform: Option<Form>,
    /// The qform, if its code is not 0.
    pub(super) qform: Option<Form>,
    /// The spacing along x, y and z in `pixdim`, with its signs, in `unit`.
    pub(super) pixdim: [f64; 3],
    /// The spatial part of `xyzt_units`.
    pub(super) unit: LengthUnit,
    /// The number of used axes.
    pub(super) num_axes: usize,
}

/// An affine of the header, in millimetres.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) code: i32,
    /// The affine, or why it is unusable.
    pub(super) affine: Result<Affine, FieldError>,
}

/// Fields of the header, and what is wrong with them.
pub(super) type FieldError = (&'static str, String);

impl Geometry {
    pub(super) fn from_fields(fields: &Fields) -> Self {
        let unit = LengthUnit::from_code(fields.xyzt_units & 7);
        let form = |code: i32, affine: &dyn Fn() -> Result<Affine, FieldError>| {
            (code != 0).then(|| Form { code, affine: affine() })
        };
        Self {
            sform: form(fields.sform_code, &|| usable("srow_x, srow_y, srow_z", Affine(fields.srow), unit)),
            qform: form(fields.qform_code, &|| {
                usable("quatern_b, quatern_c, quatern_d, pixdim", quaternion_affine(fields)?, unit)
            }),
            pixdim: [1, 2, 3].map(|axis| fields.pixdim[axis]),
            unit,
            num_axes: fields.dim[0] as usize,
        }
    }

    /// Returns the absolute spacing of `pixdim` in millimetres; 1 along axes that are not used.
    pub(super) fn stated_spacing_mm(&self) -> [f64; 3] {
        let along = |axis: usize| self.pixdim[axis].abs() * self.unit.millimetres();
        std::array::from_fn(|axis| if axis < self.num_axes { along(axis) } else { 1.0 })
    }

    /// Returns the sform, else the qform, else the spacing around the centre with x to the left, as nibabel chooses; but an
    /// unusable sform is ignored where the qform is usable.
    ///
    /// # Errors
    /// The header field and what is wrong with it.
    pub(super) fn affine(&self, shape: [usize; 3]) -> Result<Affine, FieldError> {
        match (&self.sform, &self.qform) {
            (Some(Form { affine: Err(error), .. }), Some(qform)) => qform.affine.clone().map_err(|_| error.clone()),
            (Some(form), _) | (None, Some(form)) => form.affine.clone(),
            (None, None) => {
                let zooms: [f64; 3] =
                    std::array::from_fn(|axis| if axis < self.num_axes { self.pixdim[axis].abs() } else { 1.0 });
                let scale = [-zooms[0], zooms[1], zooms[2]];
                let shift = std::array::from_fn(|axis| -scale[axis] * (shape[axis] as f64 - 1.0) / 2.0);
                usable("pixdim", Affine::scale_and_shift(scale, shift), self.unit)
            }
        }
    }
}

/// Converts an affine to millimetres, and checks that it can be used.
fn usable(field: &'static str, affine: Affine, unit: LengthUnit) -> Result<Affine, FieldError> {
    if affine.0.iter().flatten().any(|value| !value.is_finite()) {
        return Err((field, format!("expected finite numbers, got the affine {:?}", affine.0)));
    }
    let affine = Affine(affine.0.map(|row| row.map(|value| value * unit.millimetres())));
    if let Some(mm) = affine.spacing().into_iter().find(|mm| *mm != 0.0 && !SPACINGS.contains(mm)) {
        return Err((field, format!("expected voxels between 0.0001 and 100000 mm, got {mm} mm")));
    }
    // The volume of a voxel relative to the product of its edge lengths; 0 if the axes are linearly dependent.
    let edges: f64 = affine.spacing().iter().product();
    if affine.inverse().is_none() || affine.determinant().abs() < 1e-6 * edges {
        return Err((field, format!("expected an affine that can be inverted, got {:?}", affine.0)));
    }
    Ok(affine)
}

/// Returns the qform (method 2 of the standard).
fn quaternion_affine(fields: &Fields) -> Result<Affine, FieldError> {
    let [b, c, d] = fields.quaternion;
    let squared = 1.0 - (b * b + c * c + d * d);
    if squared.is_nan() || squared < -MAX_EXCESS {
        return Err(("quatern_b, quatern_c, quatern_d", format!("expected a unit quaternion, got {b}, {c}, {d}")));
    }
    // Rounding of stored quaternions that nibabel allows.
    let a = if squared < 3.0 * fields.version.epsilon() { 0.0 } else { squared.sqrt() };
    let s = 2.0 / (a * a + b * b + c * c + d * d);
    let rotation = [
        [1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
        [s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)],
        [s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)],
    ];
    let mut scale = [1, 2, 3].map(|axis| fields.pixdim[axis].abs());
    if fields.pixdim[0] == -1.0 {
        scale[2] = -scale[2];
    }
    let linear = rotation.map(|row| std::array::from_fn(|column| row[column] * scale[column]));
    Ok(Affine::from_parts(linear, fields.qoffset))
}

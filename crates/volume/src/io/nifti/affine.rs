//! The affine of a NIfTI-1 header, as nibabel derives it.

use nifti::NiftiHeader;

use crate::Affine;

/// Allowed spacings in millimetres: outside this range sizes in voxels overflow.
const SPACINGS: std::ops::RangeInclusive<f64> = 1e-4..=1e5;
/// Rounding of stored quaternions that nibabel allows.
const QUATERNION_TOLERANCE: f64 = 3.0 * f32::EPSILON as f64;

/// The voxel geometry as the header states it, in up to three ways, which should agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Geometry {
    /// The sform and its code, if present.
    pub(super) sform: Option<(i16, Affine)>,
    /// The qform and its code, if present and its quaternion is of unit length.
    pub(super) qform: Option<(i16, Affine)>,
    /// The spacing along x, y and z in `pixdim`, with its signs.
    pub(super) pixdim: [f32; 3],
}

impl Geometry {
    pub(super) fn from_header(raw: &NiftiHeader) -> Self {
        Self {
            sform: (raw.sform_code != 0).then(|| (raw.sform_code, sform(raw))),
            qform: (raw.qform_code != 0).then(|| Some((raw.qform_code, quaternion_affine(raw).ok()?))).flatten(),
            pixdim: [1, 2, 3].map(|axis| raw.pixdim[axis]),
        }
    }
}

fn sform(raw: &NiftiHeader) -> Affine {
    Affine([raw.srow_x, raw.srow_y, raw.srow_z].map(|row| row.map(f64::from)))
}

/// Returns the sform, else the qform, else the spacing around the centre with x to the left, as nibabel chooses.
///
/// # Errors
/// The header field and what is wrong with it.
pub(super) fn affine(raw: &NiftiHeader, shape: [usize; 3]) -> Result<Affine, (&'static str, String)> {
    let (field, affine) = if raw.sform_code != 0 {
        ("srow_x, srow_y, srow_z", sform(raw))
    } else if raw.qform_code != 0 {
        ("quatern_b, quatern_c, quatern_d, pixdim", quaternion_affine(raw)?)
    } else {
        let zooms = zooms(raw);
        let scale = [-zooms[0], zooms[1], zooms[2]];
        let shift = std::array::from_fn(|axis| -scale[axis] * (shape[axis] as f64 - 1.0) / 2.0);
        ("pixdim", Affine::scale_and_shift(scale, shift))
    };
    if affine.0.iter().flatten().any(|value| !value.is_finite()) {
        return Err((field, format!("expected finite numbers, got the affine {:?}", affine.0)));
    }
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

fn zooms(raw: &NiftiHeader) -> [f64; 3] {
    std::array::from_fn(|axis| {
        let used = axis < usize::from(raw.dim[0]);
        if used { f64::from(raw.pixdim[axis + 1]).abs() } else { 1.0 }
    })
}

/// Returns the qform (method 2 of the NIfTI-1 standard).
fn quaternion_affine(raw: &NiftiHeader) -> Result<Affine, (&'static str, String)> {
    let [b, c, d] = [raw.quatern_b, raw.quatern_c, raw.quatern_d].map(f64::from);
    let rest = 1.0 - (b * b + c * c + d * d);
    if rest.is_nan() || rest < -QUATERNION_TOLERANCE {
        return Err(("quatern_b, quatern_c, quatern_d", format!("expected a unit quaternion, got {b}, {c}, {d}")));
    }
    let a = if rest < QUATERNION_TOLERANCE { 0.0 } else { rest.sqrt() };
    let s = 2.0 / (a * a + b * b + c * c + d * d);
    let rotation = [
        [1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
        [s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)],
        [s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)],
    ];
    let mut scale = [1, 2, 3].map(|axis| f64::from(raw.pixdim[axis]).abs());
    if raw.pixdim[0] == -1.0 {
        scale[2] = -scale[2];
    }
    let linear = rotation.map(|row| std::array::from_fn(|column| row[column] * scale[column]));
    Ok(Affine::from_parts(linear, [raw.quatern_x, raw.quatern_y, raw.quatern_z].map(f64::from)))
}

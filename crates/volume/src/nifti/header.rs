//! What a NIfTI header says about shape, type and place of the voxels.

use std::path::Path;

use nifti::{Endianness, NiftiHeader, NiftiType};

use super::NiftiError;
use super::open::Stream;
use crate::{Affine, Grid};

/// Bytes before the first voxel of a single file without extensions.
pub(super) const VOXEL_OFFSET: u64 = 352;
/// The farthest place of the first voxel; no header has so many extensions.
const LARGEST_OFFSET: u64 = 1 << 30;
/// Millimetres that a voxel may have; beyond, numbers of voxels cannot be counted any more.
const SPACINGS: std::ops::RangeInclusive<f64> = 1e-4..=1e5;
/// Rounding of stored quaternions that nibabel allows.
const QUATERNION_TOLERANCE: f64 = 3.0 * f32::EPSILON as f64;

/// What a file says about itself before its voxels.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Channels: the fourth axis of the file, or the fifth where the fourth is 1.
    pub channels: usize,
    /// The name of the voxels' type in the file, such as `int16`.
    pub datatype: &'static str,
    /// Factor and summand that turn stored numbers into values; `None` where they are values already.
    pub scaling: Option<(f64, f64)>,
    /// Every answer of the file to where its voxels lie; `grid` takes one of them.
    pub placement: Placement,
    pub(super) kind: NiftiType,
    pub(super) big_endian: bool,
    pub(super) voxel_offset: u64,
    /// Bytes of all voxels in the file, uncompressed.
    pub(super) num_bytes: u64,
}

/// Where a file says that its voxels lie: NIfTI-1 has up to three answers, which should agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The sform and its code, where there is one.
    pub sform: Option<(i16, Affine)>,
    /// The qform and its code, where there is one and its quaternion is of unit length.
    pub qform: Option<(i16, Affine)>,
    /// Millimetres per voxel along x, y and z as `pixdim` has them, with their signs.
    pub pixdim: [f32; 3],
}

impl Header {
    /// Voxels along x, y and z.
    pub fn shape(&self) -> [usize; 3] {
        self.grid.shape
    }
}

/// Reads the header alone, also of a compressed file.
///
/// # Errors
/// When the file cannot be read, is no single NIfTI-1 file, has a field that cannot be used, or is
/// too short for the voxels it promises.
pub fn read_header(path: &Path) -> Result<Header, NiftiError> {
    open(path).map(|(header, _)| header)
}

/// Opens a file and reads its header; the stream goes on right after it.
pub(super) fn open(path: &Path) -> Result<(Header, Stream), NiftiError> {
    let mut stream = Stream::open(path)?;
    let raw = stream.header(path)?;
    let header = interpret(path, &raw)?;
    let (most, file_bytes) = (stream.most_bytes(), stream.file_bytes);
    if most < header.voxel_offset {
        let reason = format!("expected a place in a file of {file_bytes} bytes, got {}", header.voxel_offset);
        return Err(NiftiError::Field { path: path.to_owned(), field: "vox_offset", reason });
    }
    if most - header.voxel_offset < header.num_bytes {
        let reason = format!("a file of {file_bytes} bytes cannot hold them");
        return Err(NiftiError::Truncated { path: path.to_owned(), expected: header.num_bytes, reason });
    }
    Ok((header, stream))
}

fn interpret(path: &Path, raw: &NiftiHeader) -> Result<Header, NiftiError> {
    let wrong = |field, reason: String| NiftiError::Field { path: path.to_owned(), field, reason };
    let (shape, channels) = shape(raw).map_err(|reason| wrong("dim", reason))?;
    let kind = raw.data_type().map_err(|_| wrong("datatype", format!("unknown code {}", raw.datatype)))?;
    let datatype = name(kind).ok_or_else(|| {
        wrong("datatype", format!("expected an integer or real type of at most 64 bits, got {kind:?}"))
    })?;
    let slope = f64::from(raw.scl_slope);
    let inter = f64::from(raw.scl_inter);
    let scaled = slope.is_finite() && slope != 0.0;
    if scaled && !inter.is_finite() {
        return Err(wrong("scl_inter", format!("expected a finite number, got {inter}")));
    }
    let voxel_offset = match raw.vox_offset {
        0.0 => VOXEL_OFFSET,
        offset if (VOXEL_OFFSET as f32..=LARGEST_OFFSET as f32).contains(&offset) => offset as u64,
        offset => {
            let reason = format!("expected a place from {VOXEL_OFFSET} to {LARGEST_OFFSET}, got {offset}");
            return Err(wrong("vox_offset", reason));
        }
    };
    let [x, y, z] = shape;
    let factors = [x, y, z, channels, kind.size_of()];
    let num_bytes = factors.into_iter().try_fold(1u64, |product, factor| product.checked_mul(factor as u64));
    let num_bytes = num_bytes
        .ok_or_else(|| wrong("dim", format!("{shape:?} voxels of {channels} channels are more than any file holds")))?;
    let affine = affine(raw, shape).map_err(|(field, reason)| wrong(field, reason))?;
    Ok(Header {
        grid: Grid { shape, affine },
        channels,
        datatype,
        placement: placement(raw),
        scaling: (scaled && (slope, inter) != (1.0, 0.0)).then_some((slope, inter)),
        kind,
        big_endian: raw.endianness == Endianness::Big,
        voxel_offset,
        num_bytes,
    })
}

/// Voxels along x, y and z, and channels.
fn shape(raw: &NiftiHeader) -> Result<([usize; 3], usize), String> {
    let num_axes = usize::from(raw.dim[0]);
    if !(1..=7).contains(&num_axes) {
        return Err(format!("expected 1 to 7 axes, got {num_axes}"));
    }
    let mut sizes = [1usize; 7];
    for (axis, size) in sizes.iter_mut().enumerate().take(num_axes) {
        // The crate reads the signed field as unsigned.
        let signed = raw.dim[axis + 1] as i16;
        if signed < 1 {
            return Err(format!("expected at least 1 voxel along axis {}, got {signed}", axis + 1));
        }
        *size = signed as usize;
    }
    if sizes[3..].iter().filter(|&&size| size > 1).count() > 1 {
        return Err(format!("expected three axes and channels, got {:?}", &sizes[..num_axes]));
    }
    let channels = sizes[3..].iter().product();
    Ok(([sizes[0], sizes[1], sizes[2]], channels))
}

fn name(kind: NiftiType) -> Option<&'static str> {
    Some(match kind {
        NiftiType::Uint8 => "uint8",
        NiftiType::Int8 => "int8",
        NiftiType::Uint16 => "uint16",
        NiftiType::Int16 => "int16",
        NiftiType::Uint32 => "uint32",
        NiftiType::Int32 => "int32",
        NiftiType::Uint64 => "uint64",
        NiftiType::Int64 => "int64",
        NiftiType::Float32 => "float32",
        NiftiType::Float64 => "float64",
        _ => return None,
    })
}

fn placement(raw: &NiftiHeader) -> Placement {
    Placement {
        sform: (raw.sform_code != 0).then(|| (raw.sform_code, sform(raw))),
        qform: (raw.qform_code != 0).then(|| Some((raw.qform_code, quaternion_affine(raw).ok()?))).flatten(),
        pixdim: [1, 2, 3].map(|axis| raw.pixdim[axis]),
    }
}

fn sform(raw: &NiftiHeader) -> Affine {
    Affine([raw.srow_x, raw.srow_y, raw.srow_z].map(|row| row.map(f64::from)))
}

/// The sform, else the qform, else zooms around the middle with x to the left, as nibabel chooses.
fn affine(raw: &NiftiHeader, shape: [usize; 3]) -> Result<Affine, (&'static str, String)> {
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
    // A cube of voxels must not be squashed flat: measured against the lengths of its edges.
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

/// The qform (method 2 of the NIfTI-1 standard).
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

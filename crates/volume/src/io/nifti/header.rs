//! Parsing of NIfTI-1 headers.

use std::io::Read;
use std::path::Path;

use nifti::{Endianness, NiftiHeader, NiftiType};

use super::EXPECTED;
use super::affine::{Geometry, affine};
use crate::Grid;
use crate::io::ImageError;
use crate::io::raw::{self, ByteStream, DataType, GZIP_MAGIC, RawLayout};

/// Bytes of a header.
const HEADER_BYTES: usize = 348;
/// Bytes of the header of a NIfTI-2 file, stored in its first four bytes.
const NIFTI_2_HEADER_BYTES: i32 = 540;
/// Bytes before the first voxel of a single file without extensions.
pub(super) const MIN_VOXEL_OFFSET: u64 = 352;
/// The largest accepted offset of the first voxel; no header has more extensions.
const MAX_VOXEL_OFFSET: u64 = 1 << 30;

const CONVERT: &str = "convert it to a single NIfTI-1 file, .nii or .nii.gz";
const COPY_AGAIN: &str = "copy the file again";

/// A parsed header.
pub(super) struct Header {
    pub(super) grid: Grid,
    pub(super) geometry: Geometry,
    pub(super) layout: RawLayout,
}

/// Opens a file and reads its header; the returned stream continues after it.
///
/// # Errors
/// When the file cannot be read, is not a single NIfTI-1 file, has an unusable field, or is too short for its voxels.
pub(super) fn open(path: &Path) -> Result<(Header, ByteStream), ImageError> {
    let mut stream = ByteStream::open(path, EXPECTED)?;
    let header = parse(path, &read(path, &mut stream)?)?;
    let offset = header.layout.offset;
    if stream.max_bytes() < offset {
        let reason = format!("expected an offset within the file of {} bytes, got {offset}", stream.file_bytes);
        return Err(ImageError::Field { path: path.to_owned(), field: "vox_offset", reason });
    }
    raw::check_size(path, &header.layout, &stream)?;
    Ok((header, stream))
}

/// Reads the raw fields.
fn read(path: &Path, stream: &mut ByteStream) -> Result<NiftiHeader, ImageError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    stream.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(ImageError::reading(path))?;
    let Ok(header) = <[u8; HEADER_BYTES]>::try_from(&bytes[..]) else {
        let found = match bytes.len() {
            0 => "an empty file".to_owned(),
            length => format!("a file that ends within its header, after {length} bytes"),
        };
        return Err(wrong_format(path, found, COPY_AGAIN));
    };
    if let Some(found) = other_format(&header) {
        return Err(wrong_format(path, found.to_owned(), CONVERT));
    }
    if let Some(num_axes) = num_axes(&header).filter(|num_axes| !(1..=7).contains(num_axes)) {
        let reason = format!("expected 1 to 7 axes, got {num_axes}");
        return Err(ImageError::Field { path: path.to_owned(), field: "dim", reason });
    }
    NiftiHeader::from_reader(&header[..])
        .map_err(|error| wrong_format(path, format!("something else ({error})"), CONVERT))
}

fn wrong_format(path: &Path, found: String, fix: &'static str) -> ImageError {
    ImageError::Format { path: path.to_owned(), expected: EXPECTED, found, fix }
}

/// Returns the name of the bytes' format if it is not a single NIfTI-1 file.
fn other_format(header: &[u8; HEADER_BYTES]) -> Option<&'static str> {
    let has_size = |size: i32| header.starts_with(&size.to_le_bytes()) || header.starts_with(&size.to_be_bytes());
    match &header[344..] {
        b"n+1\0" => None,
        b"ni1\0" => Some("the header of a .hdr and .img pair"),
        _ if has_size(NIFTI_2_HEADER_BYTES) => Some("a NIfTI-2 file"),
        _ if has_size(HEADER_BYTES as i32) => Some("the header of an Analyze 7.5 file"),
        _ if header[128..].starts_with(b"DICM") => Some("a DICOM file"),
        _ if header.starts_with(&GZIP_MAGIC) => Some("a file that is compressed twice"),
        _ => Some("a file of another kind"),
    }
}

/// Returns `dim[0]` if the header's size determines the byte order; otherwise the nifti crate guesses the order from `dim`.
fn num_axes(header: &[u8; HEADER_BYTES]) -> Option<i16> {
    let dim = [header[40], header[41]];
    if header.starts_with(&(HEADER_BYTES as i32).to_le_bytes()) {
        Some(i16::from_le_bytes(dim))
    } else if header.starts_with(&(HEADER_BYTES as i32).to_be_bytes()) {
        Some(i16::from_be_bytes(dim))
    } else {
        None
    }
}

fn parse(path: &Path, raw: &NiftiHeader) -> Result<Header, ImageError> {
    let wrong = |field, reason: String| ImageError::Field { path: path.to_owned(), field, reason };
    let (shape, channels) = shape(raw).map_err(|reason| wrong("dim", reason))?;
    let kind = raw.data_type().map_err(|_| wrong("datatype", format!("unknown code {}", raw.datatype)))?;
    let data_type = data_type(kind).ok_or_else(|| {
        wrong("datatype", format!("expected an integer or real type of at most 64 bits, got {kind:?}"))
    })?;
    let scaling = scaling(raw).map_err(|reason| wrong("scl_inter", reason))?;
    let offset = match raw.vox_offset {
        0.0 => MIN_VOXEL_OFFSET,
        offset if (MIN_VOXEL_OFFSET as f32..=MAX_VOXEL_OFFSET as f32).contains(&offset) => offset as u64,
        offset => {
            let reason = format!("expected an offset from {MIN_VOXEL_OFFSET} to {MAX_VOXEL_OFFSET}, got {offset}");
            return Err(wrong("vox_offset", reason));
        }
    };
    let num_bytes = RawLayout::num_bytes(channels, shape, data_type)
        .ok_or_else(|| wrong("dim", format!("{shape:?} voxels of {channels} channels are more than any file holds")))?;
    let affine = affine(raw, shape).map_err(|(field, reason)| wrong(field, reason))?;
    let big_endian = raw.endianness == Endianness::Big;
    Ok(Header {
        grid: Grid { shape, affine },
        geometry: Geometry::from_header(raw),
        layout: RawLayout { channels, shape, data_type, big_endian, scaling, offset, num_bytes },
    })
}

/// Returns slope and intercept; `None` if they change nothing or, as in nibabel, the slope is 0 or not finite.
fn scaling(raw: &NiftiHeader) -> Result<Option<(f64, f64)>, String> {
    let (slope, intercept) = (f64::from(raw.scl_slope), f64::from(raw.scl_inter));
    let is_scaled = slope.is_finite() && slope != 0.0;
    if is_scaled && !intercept.is_finite() {
        return Err(format!("expected a finite number, got {intercept}"));
    }
    Ok((is_scaled && (slope, intercept) != (1.0, 0.0)).then_some((slope, intercept)))
}

/// Returns the voxels along x, y and z, and the number of channels: the fourth axis, or a later one where it is 1.
fn shape(raw: &NiftiHeader) -> Result<([usize; 3], usize), String> {
    let num_axes = usize::from(raw.dim[0]);
    if !(1..=7).contains(&num_axes) {
        return Err(format!("expected 1 to 7 axes, got {num_axes}"));
    }
    let mut sizes = [1usize; 7];
    for (axis, size) in sizes.iter_mut().enumerate().take(num_axes) {
        // The nifti crate reads the signed field as unsigned.
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

fn data_type(kind: NiftiType) -> Option<DataType> {
    Some(match kind {
        NiftiType::Uint8 => DataType::Uint8,
        NiftiType::Int8 => DataType::Int8,
        NiftiType::Uint16 => DataType::Uint16,
        NiftiType::Int16 => DataType::Int16,
        NiftiType::Uint32 => DataType::Uint32,
        NiftiType::Int32 => DataType::Int32,
        NiftiType::Uint64 => DataType::Uint64,
        NiftiType::Int64 => DataType::Int64,
        NiftiType::Float32 => DataType::Float32,
        NiftiType::Float64 => DataType::Float64,
        _ => return None,
    })
}

//! Opening files and parsing their headers.

use std::io::Read;
use std::path::Path;

use super::EXPECTED;
use super::fields::{Fields, Version};
use super::geometry::Geometry;
use crate::Grid;
use crate::io::raw::{self, ByteStream, DataType, GZIP_MAGIC, RawLayout};
use crate::io::{ImageError, has_ending};

/// The largest accepted offset of the first voxel; no header has more extensions.
const MAX_VOXEL_OFFSET: u64 = 1 << 30;

const CONVERT: &str = "convert it to a single NIfTI file, .nii or .nii.gz";
const COPY_AGAIN: &str = "copy the file again";

/// A parsed header.
pub(super) struct Header {
    pub(super) grid: Grid,
    pub(super) geometry: Geometry,
    pub(super) layout: RawLayout,
    /// The first axis of 0 voxels beyond the third, which is read as one of 1.
    pub(super) empty_axis: Option<usize>,
}

/// Opens a file and reads its header; the returned stream continues after it.
///
/// # Errors
/// When the file cannot be read, is not a single NIfTI file, has an unusable field, or is too short for its voxels.
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
fn read(path: &Path, stream: &mut ByteStream) -> Result<Fields, ImageError> {
    let mut bytes = Vec::with_capacity(Version::Two.header_bytes());
    let mut fill = |bytes: &mut Vec<u8>, version: Version| {
        let rest = (version.header_bytes() - bytes.len()) as u64;
        stream.by_ref().take(rest).read_to_end(bytes).map_err(ImageError::reading(path))?;
        let found = match bytes.len() {
            length if length == version.header_bytes() => return Ok(()),
            0 => "an empty file".to_owned(),
            length => format!("a file that ends within its header, after {length} bytes"),
        };
        Err(wrong_format(path, found, COPY_AGAIN))
    };
    fill(&mut bytes, Version::One)?;
    let version = version(&bytes).map_err(|found| {
        let is_voxels = has_ending(path, ".img") || has_ending(path, ".img.gz");
        let found = if is_voxels { "the voxels of a .hdr and .img pair" } else { found };
        wrong_format(path, found.to_owned(), CONVERT)
    })?;
    fill(&mut bytes, version)?;
    Fields::parse(version, &bytes).map_err(|num_axes| {
        let reason = format!("expected 1 to 7 axes, got {num_axes}");
        ImageError::Field { path: path.to_owned(), field: "dim", reason }
    })
}

fn wrong_format(path: &Path, found: String, fix: &'static str) -> ImageError {
    ImageError::Format { path: path.to_owned(), expected: EXPECTED, found, fix }
}

/// Returns the version of a single file, from the first bytes of its header.
///
/// # Errors
/// The name of the actual format.
fn version(header: &[u8]) -> Result<Version, &'static str> {
    let has_size = |version: Version| {
        let size = version.header_bytes() as i32;
        header.starts_with(&size.to_le_bytes()) || header.starts_with(&size.to_be_bytes())
    };
    if has_size(Version::Two) {
        return match &header[4..12] {
            b"n+2\0\r\n\x1a\n" => Ok(Version::Two),
            b"ni2\0\r\n\x1a\n" => Err("the header of a .hdr and .img pair"),
            _ => Err("a NIfTI-2 file that was damaged by a transfer in text mode"),
        };
    }
    match &header[344..348] {
        b"n+1\0" => Ok(Version::One),
        b"ni1\0" => Err("the header of a .hdr and .img pair"),
        _ if has_size(Version::One) => Err("the header of an Analyze 7.5 file"),
        _ if header[128..].starts_with(b"DICM") => Err("a DICOM file"),
        _ if header.starts_with(&GZIP_MAGIC) => Err("a file that is compressed twice"),
        _ => Err("a file of another kind"),
    }
}

fn parse(path: &Path, fields: &Fields) -> Result<Header, ImageError> {
    let wrong = |field, reason: String| ImageError::Field { path: path.to_owned(), field, reason };
    let Shape { shape, channels, empty_axis } = shape(fields).map_err(|reason| wrong("dim", reason))?;
    let data_type = data_type(fields.datatype).map_err(|reason| wrong("datatype", reason))?;
    let scaling = scaling(fields).map_err(|reason| wrong("scl_inter", reason))?;
    let min_offset = fields.version.min_voxel_offset();
    let offset = match fields.vox_offset {
        0.0 => min_offset,
        offset if (min_offset as f64..=MAX_VOXEL_OFFSET as f64).contains(&offset) => offset as u64,
        offset => {
            let reason = format!("expected an offset from {min_offset} to {MAX_VOXEL_OFFSET}, got {offset}");
            return Err(wrong("vox_offset", reason));
        }
    };
    let num_bytes = RawLayout::num_bytes(channels, shape, data_type)
        .ok_or_else(|| wrong("dim", format!("{shape:?} voxels of {channels} channels are more than any file holds")))?;
    let geometry = Geometry::from_fields(fields);
    let affine = geometry.affine(shape).map_err(|(field, reason)| wrong(field, reason))?;
    let big_endian = fields.big_endian;
    Ok(Header {
        grid: Grid { shape, affine },
        geometry,
        layout: RawLayout { channels, shape, data_type, big_endian, scaling, offset, num_bytes },
        empty_axis,
    })
}

/// Returns slope and intercept; `None` if they change nothing or, as in nibabel, the slope is 0 or not finite.
fn scaling(fields: &Fields) -> Result<Option<(f64, f64)>, String> {
    let (slope, intercept) = (fields.scl_slope, fields.scl_inter);
    let is_scaled = slope.is_finite() && slope != 0.0;
    if is_scaled && !intercept.is_finite() {
        return Err(format!("expected a finite number, got {intercept}"));
    }
    Ok((is_scaled && (slope, intercept) != (1.0, 0.0)).then_some((slope, intercept)))
}

/// The sizes that a header declares.
struct Shape {
    /// Voxels along x, y and z.
    shape: [usize; 3],
    /// The fourth axis, or a later one where it is 1.
    channels: usize,
    empty_axis: Option<usize>,
}

/// Returns the sizes. Of axes beyond the third, 0 voxels count as 1, as in the reference implementation of the format.
fn shape(fields: &Fields) -> Result<Shape, String> {
    let declared = &fields.dim[1..=fields.dim[0] as usize];
    let mut sizes = [1usize; 7];
    let mut empty_axis = None;
    for (axis, (size, &declared)) in sizes.iter_mut().zip(declared).enumerate() {
        if axis > 2 && declared == 0 {
            empty_axis = empty_axis.or(Some(axis + 1));
            continue;
        }
        if declared < 1 {
            return Err(format!("expected at least 1 voxel along axis {}, got {declared}", axis + 1));
        }
        *size = declared as usize;
    }
    if sizes[3..].iter().filter(|&&size| size > 1).count() > 1 {
        return Err(format!("expected three axes and channels, got {declared:?}"));
    }
    Ok(Shape { shape: [sizes[0], sizes[1], sizes[2]], channels: sizes[3..].iter().product(), empty_axis })
}

fn data_type(code: i16) -> Result<DataType, String> {
    let unsupported = |name| Err(format!("expected an integer or real type of at most 64 bits, got {name}"));
    Ok(match code {
        2 => DataType::Uint8,
        4 => DataType::Int16,
        8 => DataType::Int32,
        16 => DataType::Float32,
        64 => DataType::Float64,
        256 => DataType::Int8,
        512 => DataType::Uint16,
        768 => DataType::Uint32,
        1024 => DataType::Int64,
        1280 => DataType::Uint64,
        32 => return unsupported("complex64"),
        128 => return unsupported("RGB24"),
        1536 => return unsupported("float128"),
        1792 => return unsupported("complex128"),
        2048 => return unsupported("complex256"),
        2304 => return unsupported("RGBA32"),
        code => return Err(format!("unknown code {code}")),
    })
}

//! Voxels from the file's order, x fastest, to ours, z fastest.

use std::io::{ErrorKind, Read};
use std::path::Path;

use bytemuck::Pod;
use nifti::NiftiType;

use super::header::{self, Header};
use super::{NiftiError, write::SLAB};
use crate::data::volume::{Grid, Label, Voxels, offset};

/// Bytes of a header; the crate reads exactly these.
const HEADER_BYTES: u64 = 348;
/// Bytes behind the last voxel that are read for the checksum's sake.
const MOST_TRAILING_BYTES: u64 = 1 << 16;

/// Reads intensities, scaled as the header says.
///
/// # Shapes
/// `[channel, x, y, z]`; a two-dimensional file has a depth of 1.
///
/// # Errors
/// Those of [`read_header`](super::read_header), and when the file ends before its last voxel.
pub fn read_image(path: &Path) -> Result<(Grid, Voxels<f32>), NiftiError> {
    let (header, stream) = header::open(path)?;
    let voxels = match header.scaling {
        None => read_voxels(path, &header, stream, |value| Ok(value as f32))?,
        Some((slope, inter)) => read_voxels(path, &header, stream, |value| Ok((value * slope + inter) as f32))?,
    };
    Ok((header.grid, voxels))
}

/// Reads a label map.
///
/// # Shapes
/// `[1, x, y, z]`.
///
/// # Errors
/// Those of [`read_image`], and when there are several channels or a value is not a whole number
/// from 0 to 65535.
pub fn read_label(path: &Path) -> Result<(Grid, Voxels<Label>), NiftiError> {
    let (header, stream) = header::open(path)?;
    if header.channels != 1 {
        return Err(NiftiError::LabelChannels { path: path.to_owned(), channels: header.channels });
    }
    let (slope, inter) = header.scaling.unwrap_or((1.0, 0.0));
    let voxels = read_voxels(path, &header, stream, |value| {
        let value = value * slope + inter;
        let label = value as Label;
        if f64::from(label) == value { Ok(label) } else { Err(value) }
    })?;
    Ok((header.grid, voxels))
}

/// Reads all voxels, each converted from its stored number; `Err` holds a value that is no label.
fn read_voxels<T: Pod>(
    path: &Path,
    header: &Header,
    mut stream: Box<dyn Read>,
    convert: impl Fn(f64) -> Result<T, f64>,
) -> Result<Voxels<T>, NiftiError> {
    let extensions = header.voxel_offset - HEADER_BYTES;
    let skipped = std::io::copy(&mut stream.by_ref().take(extensions), &mut std::io::sink());
    let skipped = skipped.map_err(NiftiError::io(path))?;
    if skipped < extensions {
        return Err(truncated(path, header));
    }
    macro_rules! read_as {
        ($number:ty) => {
            if header.big_endian {
                transpose(path, header, stream, |bytes| convert(<$number>::from_be_bytes(bytes) as f64))
            } else {
                transpose(path, header, stream, |bytes| convert(<$number>::from_le_bytes(bytes) as f64))
            }
        };
    }
    match header.kind {
        NiftiType::Uint8 => read_as!(u8),
        NiftiType::Int8 => read_as!(i8),
        NiftiType::Uint16 => read_as!(u16),
        NiftiType::Int16 => read_as!(i16),
        NiftiType::Uint32 => read_as!(u32),
        NiftiType::Int32 => read_as!(i32),
        NiftiType::Uint64 => read_as!(u64),
        NiftiType::Int64 => read_as!(i64),
        NiftiType::Float32 => read_as!(f32),
        NiftiType::Float64 => read_as!(f64),
        other => unreachable!("the header refuses {other:?}"),
    }
}

/// Streams slabs of z so that each write fills a cache line of the outgoing array.
fn transpose<T: Pod, const BYTES: usize>(
    path: &Path,
    header: &Header,
    mut stream: Box<dyn Read>,
    convert: impl Fn([u8; BYTES]) -> Result<T, f64>,
) -> Result<Voxels<T>, NiftiError> {
    let shape @ [width, height, depth] = header.grid.shape;
    let mut values = vec![T::zeroed(); header.channels * header.grid.num_voxels()];
    let mut buffer = vec![0u8; width * height * depth.min(SLAB) * BYTES];
    for channel in values.chunks_exact_mut(width * height * depth) {
        for start in (0..depth).step_by(SLAB) {
            let slices = SLAB.min(depth - start);
            let slab = &mut buffer[..width * height * slices * BYTES];
            stream.read_exact(slab).map_err(|source| match source.kind() {
                ErrorKind::UnexpectedEof => truncated(path, header),
                _ => NiftiError::Io { path: path.to_owned(), source },
            })?;
            let (slab, _) = slab.as_chunks::<BYTES>();
            for y in 0..height {
                for x in 0..width {
                    let first = offset(shape, [x, y, start]);
                    for (z, out) in channel[first..first + slices].iter_mut().enumerate() {
                        *out = convert(slab[(z * height + y) * width + x]).map_err(|value| NiftiError::Label {
                            path: path.to_owned(),
                            voxel: [x, y, start + z],
                            value,
                        })?;
                    }
                }
            }
        }
    }
    // The checksum of a compressed file stands behind its last voxel and is compared on the way there.
    std::io::copy(&mut stream.take(MOST_TRAILING_BYTES), &mut std::io::sink()).map_err(NiftiError::io(path))?;
    Ok(Voxels::new(header.channels, shape, values))
}

fn truncated(path: &Path, header: &Header) -> NiftiError {
    let reason = "and the file ends before".to_owned();
    NiftiError::Truncated { path: path.to_owned(), expected: header.num_bytes(), reason }
}

//! Voxels from the file's order, x fastest, to ours, z fastest.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use bytemuck::Pod;
use nifti::NiftiType;
use rayon::prelude::*;

use super::NiftiError;
use super::header::{self, Header};
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
        None => read_voxels(path, &header, stream, |value| (value as f32, true))?,
        Some((slope, inter)) => read_voxels(path, &header, stream, |value| ((value * slope + inter) as f32, true))?,
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
        (label, f64::from(label) == value)
    })?;
    Ok((header.grid, voxels))
}

/// Reads all voxels, each converted from its stored number, and whether it can be.
fn read_voxels<T: Pod + Send>(
    path: &Path,
    header: &Header,
    mut stream: Box<dyn Read + Send>,
    convert: impl Fn(f64) -> (T, bool) + Sync,
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
                turn(path, header, stream, |bytes| <$number>::from_be_bytes(bytes) as f64, convert)
            } else {
                turn(path, header, stream, |bytes| <$number>::from_le_bytes(bytes) as f64, convert)
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

/// Slices of z that are turned together.
const SLAB: usize = 64;
/// Voxels along x that are turned together: what they are read from and written to stays near the processor.
const TILE: usize = 64;

/// Streams slabs of z and turns them, one while the next is read.
fn turn<T: Pod + Send, const BYTES: usize>(
    path: &Path,
    header: &Header,
    mut stream: Box<dyn Read + Send>,
    number: impl Fn([u8; BYTES]) -> f64 + Sync,
    convert: impl Fn(f64) -> (T, bool) + Sync,
) -> Result<Voxels<T>, NiftiError> {
    let shape @ [width, height, depth] = header.grid.shape;
    let mut values = vec![T::zeroed(); header.channels * header.grid.num_voxels()];
    let mut slab_buffers = [(); 2].map(|()| vec![0u8; width * height * depth.min(SLAB) * BYTES]);
    let slabs: Vec<(usize, usize)> =
        (0..header.channels).flat_map(|channel| (0..depth).step_by(SLAB).map(move |start| (channel, start))).collect();
    let slices = |start: usize| SLAB.min(depth - start);
    let mut read = |start: usize, buffer: &mut [u8]| {
        let slab = &mut buffer[..width * height * slices(start) * BYTES];
        stream.read_exact(slab).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => truncated(path, header),
            _ => NiftiError::Io { path: path.to_owned(), source },
        })
    };
    read(0, &mut slab_buffers[0])?;
    for (index, (channel, start)) in slabs.iter().copied().enumerate() {
        let [now, next] = &mut slab_buffers;
        let (slab, _) = now[..width * height * slices(start) * BYTES].as_chunks::<BYTES>();
        let out = &mut values[channel * header.grid.num_voxels()..][..header.grid.num_voxels()];
        let convert_bytes = |bytes: &[u8; BYTES]| convert(number(*bytes));
        let (all_fit, was_read) = rayon::join(
            || turn_slab(slab, shape, start..start + slices(start), &convert_bytes, out),
            || slabs.get(index + 1).map_or(Ok(()), |(_, start)| read(*start, next)),
        );
        was_read?;
        if !all_fit {
            return Err(misfit(path, shape, start, slab.iter().map(|bytes| number(*bytes)), convert));
        }
        slab_buffers.swap(0, 1);
    }
    // The checksum of a compressed file stands behind its last voxel and is compared on the way there.
    std::io::copy(&mut stream.take(MOST_TRAILING_BYTES), &mut std::io::sink()).map_err(NiftiError::io(path))?;
    Ok(Voxels::new(header.channels, shape, values))
}

/// Converts slices of z, x fastest, into a channel, z fastest, tile by tile; says whether every value can be converted.
fn turn_slab<T: Pod + Send, const BYTES: usize>(
    slab: &[[u8; BYTES]],
    shape @ [width, height, depth]: [usize; 3],
    slices: Range<usize>,
    convert: &(impl Fn(&[u8; BYTES]) -> (T, bool) + Sync),
    channel: &mut [T],
) -> bool {
    let turn_columns = |(columns, out): (usize, &mut [T])| {
        let first = columns * TILE;
        let count = TILE.min(width - first);
        let mut tile = [T::zeroed(); TILE * SLAB];
        let mut all_fit = true;
        for y in 0..height {
            for z in 0..slices.len() {
                let row = &slab[(z * height + y) * width + first..][..count];
                for (x, bytes) in row.iter().enumerate() {
                    let (value, fits) = convert(bytes);
                    tile[x * SLAB + z] = value;
                    all_fit &= fits;
                }
            }
            for (x, column) in tile.chunks_exact(SLAB).take(count).enumerate() {
                out[offset(shape, [x, y, slices.start])..][..slices.len()].copy_from_slice(&column[..slices.len()]);
            }
        }
        all_fit
    };
    let columns = channel.par_chunks_mut(TILE * height * depth).enumerate();
    columns.map(turn_columns).reduce(|| true, |a, b| a & b)
}

/// The first value of a slab that is no label; it has one.
fn misfit<T>(
    path: &Path,
    [width, height, _]: [usize; 3],
    start: usize,
    mut values: impl Iterator<Item = f64>,
    convert: impl Fn(f64) -> (T, bool),
) -> NiftiError {
    let place = values.by_ref().enumerate().find(|(_, value)| !convert(*value).1);
    let (place, value) = place.expect("a slab that does not fit holds a value that does not");
    let voxel = [place % width, place / width % height, start + place / (width * height)];
    NiftiError::Label { path: path.to_owned(), voxel, value }
}

fn truncated(path: &Path, header: &Header) -> NiftiError {
    let reason = "and the file ends before".to_owned();
    NiftiError::Truncated { path: path.to_owned(), expected: header.num_bytes(), reason }
}

//! Voxels from the file's order, x fastest, to ours, z fastest.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use bytemuck::Pod;
use nifti::NiftiType;
use rayon::prelude::*;

use super::NiftiError;
use super::header::{self, Header};
use super::open::{self, HEADER_BYTES, Stream};
use crate::data::memory::{machine_bytes, zeros};
use crate::data::volume::{Grid, Label, Voxels, offset};
use crate::trusted::fetch_ahead;
use crate::value::Bytes;

/// Bytes behind the last voxel that are read for the checksum's sake.
const MOST_TRAILING_BYTES: u64 = 1 << 16;
/// Up to so many bytes of voxels a compressed file may promise without being looked through first.
const BELIEVED_BYTES: u64 = 1 << 24;
/// The same in bytes for each one on the disk; only label maps are packed more densely.
const BELIEVED_RATIO: u64 = 64;

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
fn read_voxels<T: Pod + Send + Sync>(
    path: &Path,
    header: &Header,
    stream: Stream,
    convert: impl Fn(f64) -> (T, bool) + Sync,
) -> Result<Voxels<T>, NiftiError> {
    macro_rules! read_as {
        ($number:ty, $from_bytes:ident) => {{
            let number = |bytes| <$number>::$from_bytes(bytes) as f64;
            turn(path, header, stream, number, |bytes| convert(number(bytes)))
        }};
        ($number:ty) => {
            if header.big_endian { read_as!($number, from_be_bytes) } else { read_as!($number, from_le_bytes) }
        };
    }
    // Most label maps are of bytes, of which there are so few that each is converted once.
    macro_rules! read_as_byte {
        ($number:ty) => {{
            let number = |bytes| <$number>::from_ne_bytes(bytes) as f64;
            let table: [(T, bool); 256] = std::array::from_fn(|byte| convert(number([byte as u8])));
            turn(path, header, stream, number, |[byte]: [u8; 1]| table[usize::from(byte)])
        }};
    }
    match header.kind {
        NiftiType::Uint8 => read_as_byte!(u8),
        NiftiType::Int8 => read_as_byte!(i8),
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
const SLAB: usize = 32;
/// Voxels along x that are turned together: what they are read from and written to stays near the processor.
const TILE: usize = 64;

/// Streams slabs of z and turns them, one while the next is read. `number` is asked for a value that cannot be converted.
fn turn<T: Pod + Send, const BYTES: usize>(
    path: &Path,
    header: &Header,
    stream: Stream,
    number: impl Fn([u8; BYTES]) -> f64,
    convert: impl Fn([u8; BYTES]) -> (T, bool) + Sync,
) -> Result<Voxels<T>, NiftiError> {
    let shape @ [width, height, depth] = header.grid.shape;
    let per_channel = depth.div_ceil(SLAB);
    let num_slabs = header.channels * per_channel;
    // The channel of a slab and its first slice.
    let slab_at = |index: usize| (index / per_channel, index % per_channel * SLAB);
    let slab_bytes = width * height * depth.min(SLAB) * BYTES;
    let num_values = header.channels * header.grid.num_voxels();
    let (mut values, mut slab_buffers) = buffers(path, header, &stream, num_values, [slab_bytes, num_slabs])?;
    let mut stream = stream.bytes;
    skip(path, header, &mut stream)?;
    let slices = |start: usize| SLAB.min(depth - start);
    let mut read = |start: usize, buffer: &mut [u8]| {
        let slab = &mut buffer[..width * height * slices(start) * BYTES];
        stream.read_exact(slab).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => truncated(path, header),
            _ => NiftiError::reading(path)(source),
        })
    };
    read(0, &mut slab_buffers[0])?;
    for index in 0..num_slabs {
        let (channel, start) = slab_at(index);
        let [now, next] = &mut slab_buffers;
        let (slab, _) = now[..width * height * slices(start) * BYTES].as_chunks::<BYTES>();
        let out = &mut values[channel * header.grid.num_voxels()..][..header.grid.num_voxels()];
        let (all_fit, was_read) = rayon::join(
            || turn_slab(slab, shape, start..start + slices(start), &convert, out),
            || if index + 1 < num_slabs { read(slab_at(index + 1).1, next) } else { Ok(()) },
        );
        was_read?;
        if !all_fit {
            let place = slab.iter().position(|bytes| !convert(*bytes).1);
            let place = place.expect("a slab that does not fit holds a value that does not");
            return Err(misfit(path, shape, start, place, number(slab[place])));
        }
        slab_buffers.swap(0, 1);
    }
    // The checksum of a compressed file stands behind its last voxel and is compared on the way there.
    std::io::copy(&mut stream.take(MOST_TRAILING_BYTES), &mut std::io::sink()).map_err(NiftiError::reading(path))?;
    Ok(Voxels::new(header.channels, shape, values))
}

/// Zeros for the values and for one slab or two, where the machine has them and the file does not lie.
fn buffers<T: Pod>(
    path: &Path,
    header: &Header,
    stream: &Stream,
    num_values: usize,
    [slab_bytes, num_slabs]: [usize; 2],
) -> Result<(Vec<T>, [Vec<u8>; 2]), NiftiError> {
    let needed = num_values as u64 * size_of::<T>() as u64 + slab_bytes as u64 * num_slabs.min(2) as u64;
    let memory = |available| NiftiError::Memory { path: path.to_owned(), needed, available };
    if let Some(machine) = machine_bytes().filter(|machine| needed > *machine) {
        return Err(memory(format!("the machine has {}", Bytes(machine))));
    }
    let is_dense = header.num_bytes > BELIEVED_BYTES && header.num_bytes / BELIEVED_RATIO > stream.file_bytes;
    if stream.compressed && is_dense && !open::holds(path, header.voxel_offset + header.num_bytes)? {
        return Err(truncated(path, header));
    }
    // A file of one slab needs no second buffer.
    match (zeros(num_values), zeros(slab_bytes), zeros(if num_slabs > 1 { slab_bytes } else { 0 })) {
        (Some(values), Some(first), Some(second)) => Ok((values, [first, second])),
        _ => Err(memory("which the system does not give".to_owned())),
    }
}

/// Leaves out what stands between the header and the voxels.
fn skip(path: &Path, header: &Header, stream: &mut impl Read) -> Result<(), NiftiError> {
    let extensions = header.voxel_offset - HEADER_BYTES;
    let skipped = std::io::copy(&mut stream.take(extensions), &mut std::io::sink());
    if skipped.map_err(NiftiError::reading(path))? < extensions { Err(truncated(path, header)) } else { Ok(()) }
}

/// Converts slices of z, x fastest, into a channel, z fastest, tile by tile; says whether every value can be converted.
fn turn_slab<T: Pod + Send, const BYTES: usize>(
    slab: &[[u8; BYTES]],
    shape @ [width, height, depth]: [usize; 3],
    slices: Range<usize>,
    convert: &(impl Fn([u8; BYTES]) -> (T, bool) + Sync),
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
                fetch_ahead(slab, (z * height + y + 1) * width + first, count);
                for (x, bytes) in row.iter().enumerate() {
                    let (value, fits) = convert(*bytes);
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

/// A value at a place of a slab that is no label.
fn misfit(path: &Path, [width, height, _]: [usize; 3], start: usize, place: usize, value: f64) -> NiftiError {
    let voxel = [place % width, place / width % height, start + place / (width * height)];
    NiftiError::Label { path: path.to_owned(), voxel, value }
}

fn truncated(path: &Path, header: &Header) -> NiftiError {
    let reason = "and the file ends before".to_owned();
    NiftiError::Truncated { path: path.to_owned(), expected: header.num_bytes, reason }
}

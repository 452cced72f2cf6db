//! Voxels from the file's order, x fastest, to ours, z fastest.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;

use nifti::NiftiType;
use rayon::prelude::*;

use super::NiftiError;
use super::header::{self, Header};
use super::number::{Number, Voxel};
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
    let voxels = read_voxels(path, &header, stream)?;
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
    let voxels = read_voxels(path, &header, stream)?;
    Ok((header.grid, voxels))
}

/// Reads all voxels.
fn read_voxels<T: Voxel>(path: &Path, header: &Header, stream: Stream) -> Result<Voxels<T>, NiftiError> {
    macro_rules! read_as {
        ($number:ty, $from_bytes:ident) => {{
            let number = <$number>::$from_bytes;
            let real = |bytes| number(bytes).real();
            match header.scaling {
                None => turn(path, header, stream, real, |bytes| T::of(number(bytes))),
                Some((slope, inter)) => turn(path, header, stream, real, |bytes| T::of(real(bytes) * slope + inter)),
            }
        }};
        ($number:ty) => {
            if header.big_endian { read_as!($number, from_be_bytes) } else { read_as!($number, from_le_bytes) }
        };
    }
    match header.kind {
        NiftiType::Uint8 => read_as!(u8, from_ne_bytes),
        NiftiType::Int8 => read_as!(i8, from_ne_bytes),
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
/// Voxels along x that are turned together: long rows are read faster, and the tile stays near the processor.
const TILE: usize = 256;

/// Turns slabs of z while a thread of its own reads those that follow. `number` is asked for a value that cannot be
/// converted.
fn turn<T: Voxel, const BYTES: usize>(
    path: &Path,
    header: &Header,
    stream: Stream,
    number: impl Fn([u8; BYTES]) -> f64,
    convert: impl Fn([u8; BYTES]) -> (T, bool) + Sync,
) -> Result<Voxels<T>, NiftiError> {
    let shape @ [width, height, depth] = header.grid.shape;
    let num_voxels = header.grid.num_voxels();
    let starts: Vec<(usize, usize)> =
        (0..header.channels).flat_map(|channel| (0..depth).step_by(SLAB).map(move |start| (channel, start))).collect();
    let slices = |start: usize| start..depth.min(start + SLAB);
    let slab_bytes = |start| width * height * slices(start).len() * BYTES;
    let num_values = header.channels * num_voxels;
    let (mut values, buffers) = memory::<T>(path, header, &stream, num_values, [slab_bytes(0), starts.len()])?;
    let mut reader = Reader { path, header, bytes: stream.bytes };
    reader.skip()?;
    let (give_back, free) = mpsc::sync_channel(buffers.len());
    let (hand_over, full) = mpsc::sync_channel(buffers.len());
    buffers.into_iter().for_each(|buffer| give_back.send(buffer).expect("the other end is here"));
    std::thread::scope(|scope| {
        // They end with this closure, or the thread would wait for one that has met a fault.
        let (give_back, full) = (give_back, full);
        let starts = &starts;
        let reading = scope.spawn(move || {
            for (_, start) in starts {
                let Ok(mut buffer) = free.recv() else { return Ok(()) };
                reader.read(&mut buffer[..slab_bytes(*start)])?;
                if hand_over.send(buffer).is_err() {
                    return Ok(());
                }
            }
            reader.finish()
        });
        for (channel, start) in starts.iter().copied() {
            // The thread has met a fault.
            let Ok(buffer) = full.recv() else { break };
            let (slab, _) = buffer[..slab_bytes(start)].as_chunks::<BYTES>();
            let out = &mut values[channel * num_voxels..][..num_voxels];
            if !turn_slab(slab, shape, slices(start), &convert, out) {
                let place = slab.iter().position(|bytes| !convert(*bytes).1);
                let place = place.expect("a slab that does not fit holds a value that does not");
                let voxel = [place % width, place / width % height, start + place / (width * height)];
                return Err(NiftiError::Label { path: path.to_owned(), voxel, value: number(slab[place]) });
            }
            // Behind the last slab nobody waits for it.
            let _ = give_back.send(buffer);
        }
        reading.join().expect("reading does not panic")
    })?;
    Ok(Voxels::new(header.channels, shape, values))
}

/// The bytes of a file's voxels, one after another.
struct Reader<'a> {
    path: &'a Path,
    header: &'a Header,
    bytes: Box<dyn Read + Send>,
}

impl Reader<'_> {
    /// Leaves out what stands between the header and the voxels.
    fn skip(&mut self) -> Result<(), NiftiError> {
        let extensions = self.header.voxel_offset - HEADER_BYTES;
        let skipped = std::io::copy(&mut self.bytes.by_ref().take(extensions), &mut std::io::sink());
        let skipped = skipped.map_err(NiftiError::reading(self.path))?;
        if skipped < extensions { Err(truncated(self.path, self.header)) } else { Ok(()) }
    }

    fn read(&mut self, slab: &mut [u8]) -> Result<(), NiftiError> {
        self.bytes.read_exact(slab).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => truncated(self.path, self.header),
            _ => NiftiError::reading(self.path)(source),
        })
    }

    /// Reads on to the end: the checksum of a compressed file stands behind its last voxel and is compared on the way.
    fn finish(self) -> Result<(), NiftiError> {
        let rest = std::io::copy(&mut self.bytes.take(MOST_TRAILING_BYTES), &mut std::io::sink());
        rest.map(drop).map_err(NiftiError::reading(self.path))
    }
}

/// Zeros for the values and for one slab or two, where the machine has the memory and the file does not lie.
fn memory<T: Voxel>(
    path: &Path,
    header: &Header,
    stream: &Stream,
    num_values: usize,
    [slab_bytes, num_slabs]: [usize; 2],
) -> Result<(Vec<T>, Vec<Vec<u8>>), NiftiError> {
    let num_buffers = num_slabs.min(2);
    let needed = num_values as u64 * size_of::<T>() as u64 + slab_bytes as u64 * num_buffers as u64;
    let refused = |available| NiftiError::Memory { path: path.to_owned(), needed, available };
    if let Some(machine) = machine_bytes().filter(|machine| needed > *machine) {
        return Err(refused(format!("the machine has {}", Bytes(machine))));
    }
    let is_dense = header.num_bytes > BELIEVED_BYTES && header.num_bytes / BELIEVED_RATIO > stream.file_bytes;
    if stream.compressed && is_dense && !open::holds(path, header.voxel_offset + header.num_bytes)? {
        return Err(truncated(path, header));
    }
    let buffers = (0..num_buffers).map(|_| zeros(slab_bytes)).collect::<Option<_>>();
    zeros(num_values).zip(buffers).ok_or_else(|| refused("which the system does not give".to_owned()))
}

/// Converts slices of z, x fastest, into a channel, z fastest, tile by tile; says whether every value can be converted.
fn turn_slab<T: Voxel, const BYTES: usize>(
    slab: &[[u8; BYTES]],
    shape @ [width, height, depth]: [usize; 3],
    slices: Range<usize>,
    convert: &(impl Fn([u8; BYTES]) -> (T, bool) + Sync),
    channel: &mut [T],
) -> bool {
    let turn_columns = |(columns, out): (usize, &mut [T])| {
        let first = columns * TILE;
        let count = TILE.min(width - first);
        let mut tile = [[[0; BYTES]; SLAB]; TILE];
        let mut all_fit = true;
        for y in 0..height {
            for z in 0..slices.len() {
                let start = (z * height + y) * width + first;
                fetch_ahead(slab, start + width * height, count);
                let row = &slab[start..][..count];
                for (column, bytes) in tile.iter_mut().zip(row) {
                    column[z] = *bytes;
                }
            }
            for (x, column) in tile.iter().take(count).enumerate() {
                let out = &mut out[offset(shape, [x, y, slices.start])..][..slices.len()];
                for (out, bytes) in out.iter_mut().zip(column) {
                    let (value, fits) = convert(*bytes);
                    *out = value;
                    all_fit &= fits;
                }
            }
        }
        all_fit
    };
    let columns = channel.par_chunks_mut(TILE * height * depth).enumerate();
    columns.map(turn_columns).reduce(|| true, |a, b| a & b)
}

fn truncated(path: &Path, header: &Header) -> NiftiError {
    let reason = "and the file ends before".to_owned();
    NiftiError::Truncated { path: path.to_owned(), expected: header.num_bytes, reason }
}

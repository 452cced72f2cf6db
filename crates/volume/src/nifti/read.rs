//! Voxels from the file's order, x fastest, to ours, z fastest.

use std::io::{ErrorKind, Read};
use std::path::Path;

use nifti::NiftiType;

use super::NiftiError;
use super::header::{self, Header};
use super::number::{Number, Voxel};
use super::open::{self, HEADER_BYTES, Stream};
use super::turn::{self, Layout, Misfit};
use crate::memory::{memory_limit_bytes, try_zeros};
use crate::{Grid, Label, Voxels};
use values::Bytes;

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

/// Reads all voxels and has them turned. `number` is asked for a value that cannot be converted.
fn turn<T: Voxel, const BYTES: usize>(
    path: &Path,
    header: &Header,
    stream: Stream,
    number: impl Fn([u8; BYTES]) -> f64,
    convert: impl Fn([u8; BYTES]) -> (T, bool) + Sync,
) -> Result<Voxels<T>, NiftiError> {
    let layout = Layout { channels: header.channels, shape: header.grid.shape, voxel_bytes: BYTES };
    let (mut values, buffers) = memory::<T>(path, header, &stream, &layout)?;
    let mut reader = Reader { path, header, bytes: stream.bytes };
    reader.skip()?;
    let misfit = turn::read_and_turn(layout, buffers, &mut values, convert, |slab| reader.read(slab))?;
    if let Some(Misfit { voxel, bytes }) = misfit {
        return Err(NiftiError::Label { path: path.to_owned(), voxel, value: number(bytes) });
    }
    reader.finish()?;
    Ok(Voxels::new(layout.channels, layout.shape, values))
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

/// Zeros for the values and for the slabs that are read, where the machine has the memory and the file does not lie.
fn memory<T: Voxel>(
    path: &Path,
    header: &Header,
    stream: &Stream,
    layout: &Layout,
) -> Result<(Vec<T>, Vec<Vec<u8>>), NiftiError> {
    let num_values = layout.channels * header.grid.num_voxels();
    let [slab_bytes, num_buffers] = layout.buffers();
    let needed = num_values as u64 * size_of::<T>() as u64 + slab_bytes as u64 * num_buffers as u64;
    let refused = |available| NiftiError::Memory { path: path.to_owned(), needed, available };
    if let Some(machine) = memory_limit_bytes().filter(|machine| needed > *machine) {
        return Err(refused(format!("the machine has {}", Bytes(machine))));
    }
    let is_dense = header.num_bytes > BELIEVED_BYTES && header.num_bytes / BELIEVED_RATIO > stream.file_bytes;
    if stream.compressed && is_dense && !open::holds(path, header.voxel_offset + header.num_bytes)? {
        return Err(truncated(path, header));
    }
    let buffers = (0..num_buffers).map(|_| try_zeros(slab_bytes)).collect::<Option<_>>();
    try_zeros(num_values).zip(buffers).ok_or_else(|| refused("which the system does not give".to_owned()))
}

fn truncated(path: &Path, header: &Header) -> NiftiError {
    let reason = "and the file ends before".to_owned();
    NiftiError::Truncated { path: path.to_owned(), expected: header.num_bytes, reason }
}

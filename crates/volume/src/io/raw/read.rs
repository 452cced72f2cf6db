//! Reading voxel data of any type into arrays in C order.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::super::ImageError;
use super::number::{Number, Voxel, label_tolerance};
use super::stream::ByteStream;
use super::transpose::{self, Invalid, SlabLayout};
use super::{DataType, RawLayout};
use crate::Voxels;
use crate::memory::{memory_limit_bytes, try_zeros};
use values::Bytes;

/// Bytes after the last voxel that are read to verify the checksum of a compressed file.
const MAX_TRAILING_BYTES: u64 = 1 << 16;
/// Compressed files that declare at most this many bytes of voxels are read without measuring their content first.
const MAX_TRUSTED_BYTES: u64 = 1 << 24;
/// The same applies to files that declare at most this many bytes per byte on disk; only label maps compress better.
const MAX_TRUSTED_RATIO: u64 = 64;

/// Checks that a file is long enough for the voxels that its header declares.
///
/// # Errors
/// When it cannot hold them.
pub(in crate::io) fn check_size(path: &Path, layout: &RawLayout, stream: &ByteStream) -> Result<(), ImageError> {
    if stream.max_bytes().saturating_sub(layout.offset) < layout.num_bytes {
        let reason = format!("a file of {} bytes cannot hold them", stream.file_bytes);
        return Err(ImageError::Truncated { path: path.to_owned(), expected: layout.num_bytes, reason });
    }
    Ok(())
}

/// Reads all voxels from a stream positioned at the first of them or before.
///
/// # Errors
/// When the file ends before its last voxel, the voxels do not fit into memory, or a value cannot be converted to `T`.
pub(in crate::io) fn read<T: Voxel>(
    path: &Path,
    layout: &RawLayout,
    stream: ByteStream,
) -> Result<Voxels<T>, ImageError> {
    macro_rules! read_as {
        ($number:ty, $from_bytes:ident) => {{
            let number = <$number>::$from_bytes;
            let real = |bytes| number(bytes).to_f64();
            match layout.scaling {
                None => read_numbers(path, layout, stream, real, |bytes| T::from_number(number(bytes))),
                Some((slope, intercept)) => {
                    let is_integer = layout.data_type.is_integer();
                    let tolerance = |value| label_tolerance(is_integer, layout.scaling, value);
                    read_numbers(path, layout, stream, real, |bytes| {
                        T::from_scaled(real(bytes) * slope + intercept, tolerance)
                    })
                }
            }
        }};
        ($number:ty) => {
            if layout.big_endian { read_as!($number, from_be_bytes) } else { read_as!($number, from_le_bytes) }
        };
    }
    match layout.data_type {
        DataType::Uint8 => read_as!(u8, from_ne_bytes),
        DataType::Int8 => read_as!(i8, from_ne_bytes),
        DataType::Uint16 => read_as!(u16),
        DataType::Int16 => read_as!(i16),
        DataType::Uint32 => read_as!(u32),
        DataType::Int32 => read_as!(i32),
        DataType::Uint64 => read_as!(u64),
        DataType::Int64 => read_as!(i64),
        DataType::Float32 => read_as!(f32),
        DataType::Float64 => read_as!(f64),
    }
}

/// Reads all voxels with one conversion; `number` decodes a stored number that cannot be converted, for the error message.
fn read_numbers<T: Voxel, const BYTES: usize>(
    path: &Path,
    layout: &RawLayout,
    stream: ByteStream,
    number: impl Fn([u8; BYTES]) -> f64,
    convert: impl Fn([u8; BYTES]) -> (T, bool) + Sync,
) -> Result<Voxels<T>, ImageError> {
    let slabs = SlabLayout { channels: layout.channels, shape: layout.shape, voxel_bytes: BYTES };
    let (mut values, buffers) = allocate::<T>(path, layout, &stream, &slabs)?;
    let mut reader = Reader { path, layout, stream };
    reader.skip_to_voxels()?;
    let invalid = transpose::read_and_transpose(slabs, buffers, &mut values, convert, |slab| reader.read(slab))?;
    if let Some(Invalid { voxel, bytes }) = invalid {
        let (stored, scaling) = (number(bytes), layout.scaling);
        let value = scaling.map_or(stored, |(slope, intercept)| stored * slope + intercept);
        return Err(ImageError::Label { path: path.to_owned(), voxel, value, stored, scaling });
    }
    reader.finish()?;
    Ok(Voxels::new(layout.channels, layout.shape, values))
}

/// Reads the bytes of a file's voxels in order.
struct Reader<'a> {
    path: &'a Path,
    layout: &'a RawLayout,
    stream: ByteStream,
}

impl Reader<'_> {
    fn skip_to_voxels(&mut self) -> Result<(), ImageError> {
        let remaining = self.layout.offset - self.stream.position;
        let skipped = self.stream.skip(remaining).map_err(ImageError::reading(self.path))?;
        if skipped < remaining { Err(truncated(self.path, self.layout)) } else { Ok(()) }
    }

    fn read(&mut self, slab: &mut [u8]) -> Result<(), ImageError> {
        self.stream.read_exact(slab).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => truncated(self.path, self.layout),
            _ => ImageError::reading(self.path)(source),
        })
    }

    /// Reads the rest of the file, so that the decompressor verifies the checksum at its end.
    fn finish(mut self) -> Result<(), ImageError> {
        self.stream.skip(MAX_TRAILING_BYTES).map(drop).map_err(ImageError::reading(self.path))
    }
}

/// Allocates the values and the slab buffers, after checking that the machine has the memory and the file the bytes.
fn allocate<T: Voxel>(
    path: &Path,
    layout: &RawLayout,
    stream: &ByteStream,
    slabs: &SlabLayout,
) -> Result<(Vec<T>, Vec<Vec<u8>>), ImageError> {
    let num_values = layout.channels * layout.shape.iter().product::<usize>();
    let [slab_bytes, num_buffers] = slabs.buffers();
    let needed = num_values as u64 * size_of::<T>() as u64 + slab_bytes as u64 * num_buffers as u64;
    let out_of_memory = |available| ImageError::Memory { path: path.to_owned(), needed, available };
    if let Some(limit) = memory_limit_bytes().filter(|limit| needed > *limit) {
        return Err(out_of_memory(format!("the machine has {}", Bytes(limit))));
    }
    let is_suspicious =
        layout.num_bytes > MAX_TRUSTED_BYTES && layout.num_bytes / MAX_TRUSTED_RATIO > stream.file_bytes;
    if stream.is_compressed && is_suspicious && !has_bytes(path, layout.offset + layout.num_bytes)? {
        return Err(truncated(path, layout));
    }
    let buffers = (0..num_buffers).map(|_| try_zeros(slab_bytes)).collect::<Option<_>>();
    try_zeros(num_values).zip(buffers).ok_or_else(|| out_of_memory("more than the system can allocate".to_owned()))
}

/// Returns whether a file really has this many bytes, by decompressing and dropping them.
fn has_bytes(path: &Path, bytes: u64) -> Result<bool, ImageError> {
    let mut stream = ByteStream::open(path, "an image file")?;
    Ok(stream.skip(bytes).map_err(ImageError::reading(path))? == bytes)
}

fn truncated(path: &Path, layout: &RawLayout) -> ImageError {
    let reason = "and the file ends earlier".to_owned();
    ImageError::Truncated { path: path.to_owned(), expected: layout.num_bytes, reason }
}

//! Writing voxel data with x fastest, atomically.

use std::io::{BufWriter, Write};
use std::path::Path;

use bytemuck::Pod;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::ImageError;
use crate::{Voxels, atomic_file, offset};

/// Slices of z that are transposed together: 16 values of 4 bytes fill a cache line.
const SLAB: usize = 16;

/// Writes a file atomically, through gzip where `compress` is true.
///
/// # Errors
/// When the file cannot be written.
pub(in crate::io) fn write_file(
    path: &Path,
    compress: bool,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), ImageError> {
    atomic_file::write(path, |file| {
        let mut file = BufWriter::with_capacity(1 << 18, file);
        if compress {
            let mut encoder = GzEncoder::new(file, Compression::fast());
            write(&mut encoder)?;
            encoder.finish()?.flush()
        } else {
            write(&mut file)?;
            file.flush()
        }
    })
    .map_err(ImageError::io(path))
}

/// Writes voxels with x fastest, channel after channel.
///
/// # Errors
/// When writing fails.
pub(in crate::io) fn write_voxels<T: Pod, const BYTES: usize>(
    out: &mut dyn Write,
    voxels: &Voxels<T>,
    encode: impl Fn(T) -> [u8; BYTES],
) -> std::io::Result<()> {
    let shape @ [width, height, depth] = voxels.shape;
    let mut buffer = vec![[0u8; BYTES]; width * height * depth.min(SLAB)];
    for channel in 0..voxels.channels {
        let values = voxels.channel(channel);
        for start in (0..depth).step_by(SLAB) {
            let slices = SLAB.min(depth - start);
            for y in 0..height {
                for x in 0..width {
                    let first = offset(shape, [x, y, start]);
                    for (z, &value) in values[first..first + slices].iter().enumerate() {
                        buffer[(z * height + y) * width + x] = encode(value);
                    }
                }
            }
            out.write_all(buffer[..width * height * slices].as_flattened())?;
        }
    }
    Ok(())
}

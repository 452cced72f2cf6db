//! Volumes to files, each of which appears whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use bytemuck::Pod;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::NiftiError;
use super::header::VOXEL_OFFSET;
use crate::atomic_file;
use crate::{Affine, Grid, Label, Voxels, offset};

/// Slices that are turned at once: 16 values of 4 bytes fill a cache line.
const SLAB: usize = 16;
/// The largest size of an axis in a header.
const LARGEST_SIZE: usize = i16::MAX as usize;

/// Writes intensities as float32, to `.nii` or, compressed, `.nii.gz`; several channels lie on the fourth axis.
///
/// # Errors
/// When an axis is longer than a header can say or the file cannot be written.
pub fn write_image(path: &Path, grid: &Grid, image: &Voxels<f32>) -> Result<(), NiftiError> {
    write_voxels(path, grid, image, 16, f32::to_le_bytes)
}

/// Writes whole Hounsfield units as int16, as CT datasets are stored.
///
/// # Errors
/// Those of [`write_image`], and when a value is not a whole number of 16 bits.
pub fn write_hounsfield(path: &Path, grid: &Grid, image: &Voxels<f32>) -> Result<(), NiftiError> {
    if let Some(&value) = image.iter().find(|&&value| f32::from(value as i16) != value) {
        return Err(NiftiError::Range { path: path.to_owned(), value });
    }
    write_voxels(path, grid, image, 4, |value| (value as i16).to_le_bytes())
}

/// Writes a label map as uint8, or as uint16 where a label exceeds 255.
///
/// # Errors
/// Those of [`write_image`].
pub fn write_label(path: &Path, grid: &Grid, label: &Voxels<Label>) -> Result<(), NiftiError> {
    if label.iter().all(|&label| label <= 255) {
        write_voxels(path, grid, label, 2, |label| [label as u8])
    } else {
        write_voxels(path, grid, label, 512, Label::to_le_bytes)
    }
}

fn write_voxels<T: Pod, const BYTES: usize>(
    path: &Path,
    grid: &Grid,
    voxels: &Voxels<T>,
    datatype: i16,
    encode: impl Fn(T) -> [u8; BYTES],
) -> Result<(), NiftiError> {
    assert_eq!(voxels.shape, grid.shape, "voxels lie on their grid");
    if let Some(size) = grid.shape.iter().chain([&voxels.channels]).find(|&&size| size > LARGEST_SIZE) {
        let reason = format!("expected at most {LARGEST_SIZE} voxels along an axis, got {size}");
        return Err(NiftiError::Field { path: path.to_owned(), field: "dim", reason });
    }
    let header = header_bytes(grid, voxels.channels, datatype, BYTES);
    let compressed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    atomic_file::write(path, |file| {
        let file = BufWriter::with_capacity(1 << 18, file);
        if compressed {
            let mut encoder = GzEncoder::new(file, Compression::fast());
            encoder.write_all(&header)?;
            write_slabs(&mut encoder, voxels, encode)?;
            encoder.finish()?.flush()
        } else {
            let mut file = file;
            file.write_all(&header)?;
            write_slabs(&mut file, voxels, encode)?;
            file.flush()
        }
    })
    .map_err(NiftiError::io(path))
}

fn write_slabs<T: Pod, const BYTES: usize>(
    out: &mut impl Write,
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

/// The header of a single little-endian NIfTI-1 file, with the four empty bytes of "no extension".
fn header_bytes(grid: &Grid, channels: usize, datatype: i16, bytes: usize) -> [u8; VOXEL_OFFSET as usize] {
    let mut header = [0; VOXEL_OFFSET as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    let num_axes = if channels > 1 { 4 } else { 3 };
    let [x, y, z] = grid.shape;
    for (index, size) in [num_axes, x, y, z, channels, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * index, &(size as i16).to_le_bytes());
    }
    put(70, &datatype.to_le_bytes());
    put(72, &(8 * bytes as i16).to_le_bytes());
    let (sign, quaternion) = rigid(&grid.affine).map_or((1.0, None), |(sign, q)| (sign, Some(q)));
    let spacing = grid.spacing();
    for (index, value) in [sign, spacing[0], spacing[1], spacing[2], 1.0, 1.0, 1.0, 1.0].into_iter().enumerate() {
        put(76 + 4 * index, &(value as f32).to_le_bytes());
    }
    put(108, &(VOXEL_OFFSET as f32).to_le_bytes());
    put(112, &1f32.to_le_bytes());
    // Millimetres.
    put(123, &[2]);
    if let Some(quaternion) = quaternion {
        put(252, &1i16.to_le_bytes());
        for (index, value) in quaternion.into_iter().chain(grid.affine.origin()).enumerate() {
            put(256 + 4 * index, &(value as f32).to_le_bytes());
        }
    }
    put(254, &1i16.to_le_bytes());
    for (index, value) in grid.affine.0.into_iter().flatten().enumerate() {
        put(280 + 4 * index, &(value as f32).to_le_bytes());
    }
    put(344, b"n+1\0");
    header
}

/// The sign of the z axis and the vector part of the quaternion, where the affine is a rotation of zooms.
fn rigid(affine: &Affine) -> Option<(f64, [f64; 3])> {
    let spacing = affine.spacing();
    let sign = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    let scale = [spacing[0], spacing[1], sign * spacing[2]];
    let m: [[f64; 3]; 3] =
        std::array::from_fn(|row| std::array::from_fn(|column| affine.0[row][column] / scale[column]));
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let cosine: f64 = m.iter().map(|row| row[a] * row[b]).sum();
        if cosine.abs() > 1e-6 {
            return None;
        }
    }
    // Shepperd's method: four times the square of each part; the largest is divided by.
    let squares = [
        1.0 + m[0][0] + m[1][1] + m[2][2],
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
    ];
    let largest = (0..4).max_by(|&i, &j| squares[i].total_cmp(&squares[j])).expect("there are four parts");
    let parts = match largest {
        0 => [squares[0], m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]],
        1 => [m[2][1] - m[1][2], squares[1], m[1][0] + m[0][1], m[0][2] + m[2][0]],
        2 => [m[0][2] - m[2][0], m[1][0] + m[0][1], squares[2], m[2][1] + m[1][2]],
        _ => [m[1][0] - m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2], squares[3]],
    };
    // The real part is not stored: readers take it as positive.
    let scale = if parts[0] < 0.0 { -0.5 } else { 0.5 } / squares[largest].sqrt();
    Some((sign, [parts[1] * scale, parts[2] * scale, parts[3] * scale]))
}

//! Writing NIfTI-1 files, which every program reads.

use std::path::Path;

use crate::io::raw::{write_file, write_voxels};
use crate::io::{ImageError, VoxelsToWrite, has_ending};
use crate::{Affine, Grid, Label};

/// Bytes before the first voxel of a single file without extensions.
const VOXEL_OFFSET: usize = 352;
/// Offset of the field `descrip`.
const DESCRIPTION: usize = 148;
/// Bytes of the field `descrip` without the zero byte that ends it.
const MAX_DESCRIPTION_BYTES: usize = 79;
/// The largest size of an axis that a header can store.
const MAX_SIZE: usize = i16::MAX as usize;

/// Writes a single file, compressed if its name ends with `.gz`; several channels become the fourth axis.
///
/// # Errors
/// When an axis is longer than a header can store or the file cannot be written.
pub(super) fn write(path: &Path, grid: &Grid, voxels: VoxelsToWrite, description: &str) -> Result<(), ImageError> {
    let (channels, datatype, bytes) = match voxels {
        VoxelsToWrite::Float32(image) => (image.channels, 16, 4),
        VoxelsToWrite::Int16(image) => (image.channels, 4, 2),
        VoxelsToWrite::Label(label) if fits_in_uint8(label) => (label.channels, 2, 1),
        VoxelsToWrite::Label(label) => (label.channels, 512, 2),
    };
    if let Some(size) = grid.shape.iter().chain([&channels]).find(|&&size| size > MAX_SIZE) {
        let reason = format!("expected at most {MAX_SIZE} voxels along an axis, got {size}");
        return Err(ImageError::Field { path: path.to_owned(), field: "dim", reason });
    }
    let mut header = header_bytes(grid, channels, datatype, bytes);
    let description = &description[..description.floor_char_boundary(MAX_DESCRIPTION_BYTES)];
    header[DESCRIPTION..DESCRIPTION + description.len()].copy_from_slice(description.as_bytes());
    write_file(path, has_ending(path, ".gz"), |out| {
        out.write_all(&header)?;
        match voxels {
            VoxelsToWrite::Float32(image) => write_voxels(out, image, f32::to_le_bytes),
            VoxelsToWrite::Int16(image) => write_voxels(out, image, |value| (value as i16).to_le_bytes()),
            VoxelsToWrite::Label(label) if bytes == 1 => write_voxels(out, label, |label| [label as u8]),
            VoxelsToWrite::Label(label) => write_voxels(out, label, Label::to_le_bytes),
        }
    })
}

fn fits_in_uint8(labels: &[Label]) -> bool {
    labels.iter().all(|&label| label <= 255)
}

/// Returns the header of a single little-endian NIfTI-1 file, followed by the four zero bytes of "no extension".
fn header_bytes(grid: &Grid, channels: usize, datatype: i16, bytes: usize) -> [u8; VOXEL_OFFSET] {
    let mut header = [0; VOXEL_OFFSET];
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

/// Returns the sign of the z axis and the vector part of the quaternion; `None` if the affine has shear.
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
    // Shepperd's method: four times the square of each component; divides by the largest.
    let squares = [
        1.0 + m[0][0] + m[1][1] + m[2][2],
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
    ];
    let largest = (0..4).max_by(|&i, &j| squares[i].total_cmp(&squares[j])).expect("there are four components");
    let parts = match largest {
        0 => [squares[0], m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]],
        1 => [m[2][1] - m[1][2], squares[1], m[1][0] + m[0][1], m[0][2] + m[2][0]],
        2 => [m[0][2] - m[2][0], m[1][0] + m[0][1], squares[2], m[2][1] + m[1][2]],
        _ => [m[1][0] - m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2], squares[3]],
    };
    // The real component is not stored; readers assume that it is positive.
    let scale = if parts[0] < 0.0 { -0.5 } else { 0.5 } / squares[largest].sqrt();
    Some((sign, [parts[1] * scale, parts[2] * scale, parts[3] * scale]))
}

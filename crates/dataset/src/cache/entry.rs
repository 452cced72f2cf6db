//! The file format of a cache entry: a JSON header on the first line, then image and label at multiples of 64 bytes.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Key;
use simd::map_immutable_file;
use volume::{Affine, Grid, Label, Volume, Voxels};

/// The first bytes of every entry; the number changes with the format.
const MAGIC: &str = "runner volume 2 ";
/// Alignment of the arrays in bytes: the length of a cache line.
const ALIGNMENT: usize = 64;
/// Maximum length of a header, also of older versions.
const MAX_HEADER_BYTES: usize = 4096;
/// Length of a header as written: padded with spaces, so that the size of an entry is known beforehand.
const HEADER_BYTES: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    channels: usize,
    shape: [usize; 3],
    /// The elements of the affine as bit patterns, because decimal text might round them.
    affine: [[u64; 4]; 3],
    labelled: bool,
    little_endian: bool,
}

pub(super) enum OpenError {
    Io(io::Error),
    Damaged(String),
}

/// Returns the size of the entry of a volume in bytes.
pub fn num_bytes(channels: usize, shape: [usize; 3], labelled: bool) -> u64 {
    let voxels: usize = shape.iter().product();
    let image = HEADER_BYTES + channels * voxels * size_of::<f32>();
    let label = voxels * size_of::<Label>();
    (if labelled { image.next_multiple_of(ALIGNMENT) + label } else { image }) as u64
}

pub(super) fn write(file: &mut File, key: &Key, volume: &Volume) -> io::Result<()> {
    let header = Header {
        key: hex::encode(key),
        channels: volume.image.channels,
        shape: volume.grid.shape,
        affine: volume.grid.affine.0.map(|row| row.map(f64::to_bits)),
        labelled: volume.label.is_some(),
        little_endian: cfg!(target_endian = "little"),
    };
    let header = format!("{MAGIC}{}", serde_json::to_string(&header)?);
    let header = format!("{header:<width$}\n", width = HEADER_BYTES - 1);
    let image: &[u8] = bytemuck::cast_slice(&volume.image);
    file.write_all(header.as_bytes())?;
    file.write_all(image)?;
    if let Some(label) = &volume.label {
        let end = header.len() + image.len();
        file.write_all(&[0; ALIGNMENT][..end.next_multiple_of(ALIGNMENT) - end])?;
        file.write_all(bytemuck::cast_slice(label))?;
    }
    Ok(())
}

pub(super) fn open(path: &Path, key: &Key) -> Result<Volume, OpenError> {
    read(&File::open(path).map_err(OpenError::Io)?, key)
}

/// Maps the volume of an open file. The mapping stays valid when the file is renamed or removed.
pub(super) fn read(file: &File, key: &Key) -> Result<Volume, OpenError> {
    if file.metadata().map_err(OpenError::Io)?.len() == 0 {
        return Err(OpenError::Damaged("the file is empty".to_owned()));
    }
    let map = map_immutable_file(file).map_err(OpenError::Io)?;
    let (header, start) = header(&map).map_err(OpenError::Damaged)?;
    let (image, label) = layout(&header, start, map.len()).map_err(OpenError::Damaged)?;
    if header.key != hex::encode(key) {
        return Err(OpenError::Damaged(format!("it has the key {}", header.key)));
    }
    let affine = Affine(header.affine.map(|row| row.map(f64::from_bits)));
    if affine.0.as_flattened().iter().any(|value| !value.is_finite()) || affine.inverse().is_none() {
        return Err(OpenError::Damaged(format!("its affine {:?} is not invertible", affine.0)));
    }
    let map = Arc::new(map);
    Ok(Volume {
        grid: Grid { shape: header.shape, affine },
        image: Voxels::mapped(header.channels, header.shape, map.clone(), image),
        label: label.map(|bytes| Voxels::mapped(1, header.shape, map, bytes)),
    })
}

/// Parses the header, and returns it with the length of its line in bytes.
fn header(bytes: &[u8]) -> Result<(Header, usize), String> {
    let start = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
    let rest = start.strip_prefix(MAGIC.as_bytes()).ok_or("it is not an entry of this version")?;
    let length = rest.iter().position(|&byte| byte == b'\n').ok_or("its header is not terminated")?;
    let header: Header = serde_json::from_slice(&rest[..length]).map_err(|error| format!("its header: {error}"))?;
    if header.little_endian != cfg!(target_endian = "little") {
        return Err("its numbers have another byte order".to_owned());
    }
    Ok((header, MAGIC.len() + length + 1))
}

/// Returns the byte ranges of image and label; the last one must end where the file ends.
fn layout(header: &Header, start: usize, len: usize) -> Result<(Range<usize>, Option<Range<usize>>), String> {
    // A label map without an image has no channels.
    if header.channels == 0 && !header.labelled || header.shape.contains(&0) {
        return Err(format!("{} channels of shape {:?} contain no voxels", header.channels, header.shape));
    }
    let voxels = header.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let image_bytes = voxels.and_then(|n| n.checked_mul(header.channels)).and_then(|n| n.checked_mul(size_of::<f32>()));
    let (Some(voxels), Some(image_bytes)) = (voxels, image_bytes.filter(|&bytes| bytes <= len)) else {
        return Err(format!("its {len} bytes are too few for shape {:?}", header.shape));
    };
    let first = start.next_multiple_of(ALIGNMENT);
    let image = first..first + image_bytes;
    let label = header.labelled.then(|| {
        let first = image.end.next_multiple_of(ALIGNMENT);
        first..first.saturating_add(voxels.saturating_mul(size_of::<Label>()))
    });
    let end = label.as_ref().unwrap_or(&image).end;
    if end == len { Ok((image, label)) } else { Err(format!("expected {end} bytes, got {len}")) }
}

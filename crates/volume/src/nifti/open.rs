//! From a path to a stream of uncompressed bytes, and what a file is that is no NIfTI-1 file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use nifti::NiftiHeader;

use super::NiftiError;

/// Bytes of a header.
pub(super) const HEADER_BYTES: u64 = 348;
/// Bytes of the header of a NIfTI-2 file, which its first four bytes state.
const HEADER_BYTES_2: i32 = 540;
/// Deflate never packs more than this many bytes into one.
const LARGEST_DEFLATE_RATIO: u64 = 1032;
/// The first bytes of a compressed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An open file.
pub(super) struct Stream {
    /// Uncompressed bytes.
    pub(super) bytes: Box<dyn Read + Send>,
    /// Bytes on the disk.
    pub(super) file_bytes: u64,
    pub(super) compressed: bool,
}

impl Stream {
    /// Opens a file, compressed or not.
    pub(super) fn open(path: &Path) -> Result<Self, NiftiError> {
        // Opening a pipe would wait for whoever writes into it.
        let metadata = std::fs::metadata(path).map_err(NiftiError::io(path))?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a folder" } else { "a pipe or a device" };
            return Err(format(path, found, "name a file"));
        }
        let file = File::open(path).map_err(NiftiError::io(path))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let compressed = file.fill_buf().map_err(NiftiError::io(path))?.starts_with(&GZIP);
        let bytes: Box<dyn Read + Send> = if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { bytes, file_bytes: metadata.len(), compressed })
    }

    /// The most bytes that the file can hold, uncompressed.
    pub(super) fn most_bytes(&self) -> u64 {
        if self.compressed { self.file_bytes.saturating_mul(LARGEST_DEFLATE_RATIO) } else { self.file_bytes }
    }

    /// Reads the header's fields; the stream goes on right after them.
    pub(super) fn header(&mut self, path: &Path) -> Result<NiftiHeader, NiftiError> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
        self.bytes.by_ref().take(HEADER_BYTES).read_to_end(&mut bytes).map_err(NiftiError::reading(path))?;
        let Ok(header) = <[u8; HEADER_BYTES as usize]>::try_from(&bytes[..]) else {
            let found = match bytes.len() {
                0 => "an empty file".to_owned(),
                length => format!("a file that ends within its header, after {length} bytes"),
            };
            return Err(format(path, &found, "copy the file again"));
        };
        if let Some(found) = other_kind(&header) {
            return Err(format(path, found, "convert it to a single NIfTI-1 file, .nii or .nii.gz"));
        }
        if let Some(num_axes) = num_axes(&header).filter(|num_axes| !(1..=7).contains(num_axes)) {
            let reason = format!("expected 1 to 7 axes, got {num_axes}");
            return Err(NiftiError::Field { path: path.to_owned(), field: "dim", reason });
        }
        NiftiHeader::from_reader(&header[..]).map_err(|error| {
            format(path, &format!("something else ({error})"), "convert it to a single NIfTI-1 file, .nii or .nii.gz")
        })
    }
}

fn format(path: &Path, found: &str, mend: &'static str) -> NiftiError {
    NiftiError::Format { path: path.to_owned(), found: found.to_owned(), mend }
}

/// What bytes are that do not begin a single NIfTI-1 file.
fn other_kind(header: &[u8; HEADER_BYTES as usize]) -> Option<&'static str> {
    let states_size = |size: i32| header.starts_with(&size.to_le_bytes()) || header.starts_with(&size.to_be_bytes());
    match &header[344..] {
        b"n+1\0" => None,
        b"ni1\0" => Some("the header of a .hdr and .img pair"),
        _ if states_size(HEADER_BYTES_2) => Some("a NIfTI-2 file"),
        _ if states_size(HEADER_BYTES as i32) => Some("the header of an Analyze 7.5 file"),
        _ if header[128..].starts_with(b"DICM") => Some("a DICOM file"),
        _ if header.starts_with(&GZIP) => Some("a file that is compressed twice"),
        _ => Some("a file of another kind"),
    }
}

/// `dim[0]`, where the header's size tells its byte order; else the crate guesses the order by it.
fn num_axes(header: &[u8; HEADER_BYTES as usize]) -> Option<i16> {
    let dim = [header[40], header[41]];
    if header.starts_with(&(HEADER_BYTES as i32).to_le_bytes()) {
        Some(i16::from_le_bytes(dim))
    } else if header.starts_with(&(HEADER_BYTES as i32).to_be_bytes()) {
        Some(i16::from_be_bytes(dim))
    } else {
        None
    }
}

/// Whether a file really holds so many bytes, uncompressed; nothing is kept of them.
pub(super) fn holds(path: &Path, bytes: u64) -> Result<bool, NiftiError> {
    let stream = Stream::open(path)?.bytes;
    let read = std::io::copy(&mut stream.take(bytes), &mut std::io::sink());
    Ok(read.map_err(NiftiError::reading(path))? == bytes)
}

//! Opening a file as a stream of uncompressed bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::super::ImageError;
use super::gzip::GzipReader;

/// The first bytes of a gzip file.
pub(in crate::io) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate never compresses more than this many bytes into one.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The uncompressed bytes of an open file.
pub(in crate::io) struct ByteStream {
    bytes: Box<dyn Read + Send>,
    /// Uncompressed bytes read so far.
    pub(super) position: u64,
    /// Bytes of the file on disk.
    pub(in crate::io) file_bytes: u64,
    pub(super) is_compressed: bool,
}

impl ByteStream {
    /// Opens a file, compressed with gzip or not. `expected` names the format for an error.
    ///
    /// # Errors
    /// When the path is not a regular file or cannot be opened.
    pub(in crate::io) fn open(path: &Path, expected: &'static str) -> Result<Self, ImageError> {
        // Opening a pipe would block until something writes into it.
        let metadata = std::fs::metadata(path).map_err(ImageError::io(path))?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a folder" } else { "a pipe or a device" }.to_owned();
            return Err(ImageError::Format { path: path.to_owned(), expected, found, fix: "name a file" });
        }
        let file = File::open(path).map_err(ImageError::io(path))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let is_compressed = file.fill_buf().map_err(ImageError::io(path))?.starts_with(&GZIP_MAGIC);
        let bytes: Box<dyn Read + Send> = if is_compressed { Box::new(GzipReader::new(file)) } else { Box::new(file) };
        Ok(Self { bytes, position: 0, file_bytes: metadata.len(), is_compressed })
    }

    /// Returns an upper bound of the file's uncompressed bytes.
    pub(in crate::io) fn max_bytes(&self) -> u64 {
        if self.is_compressed { self.file_bytes.saturating_mul(MAX_DEFLATE_RATIO) } else { self.file_bytes }
    }

    /// Skips bytes; returns the number of skipped bytes, which is smaller at the end of the file.
    pub(super) fn skip(&mut self, count: u64) -> std::io::Result<u64> {
        std::io::copy(&mut self.by_ref().take(count), &mut std::io::sink())
    }
}

impl Read for ByteStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

//! Memory-mapped files.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a file into memory without reading it. The map stays valid when the file is renamed or removed. Only for the
/// runner's own, completely written files, which are never modified.
///
/// # Errors
/// When the system cannot map the file.
pub fn map_immutable_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: modifying the bytes while they are mapped would be undefined behaviour, and no part of the runner modifies
    // such a file. Whoever can write into its cache folder by other means is as trusted as the runner.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_outlives_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "bytes").unwrap();
        let map = map_immutable_file(&File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&map[..], b"bytes");
    }
}

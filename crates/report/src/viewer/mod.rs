//! Pictures of a volume: slices in grey, a label map over them, a prediction's outline around it.
//!
//! Read in this order: [`scene`] (what is shown, turned as a radiologist looks at it), [`window`]
//! (which intensities are black and white), [`colour`] (which label has which colour), [`picture`]
//! (one slice as pixels; nothing else makes pixels of voxels), [`tally`] and [`choice`] (which slices
//! are worth showing), [`sheet`] (pictures with captions and a legend), then the three files: `png`,
//! `gif` and `page`.

pub mod contact_sheet;
mod gif;
pub mod label_counts;
mod page;
pub mod picture;
mod png;
pub mod scene;
pub mod slice_selection;
pub mod window;

use std::path::{Path, PathBuf};

pub use self::gif::write_gif;
pub use self::page::write_html;
pub use self::png::{ContactSheetOptions, write_png};
pub use self::scene::{Plane, Scene};
pub use self::window::Window;

/// A picture that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The disk refuses.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Writes a file that appears whole or not at all.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ViewError> {
    volume::atomic_file::write(path, |file| std::io::Write::write_all(file, bytes))
        .map_err(|source| ViewError::Write { path: path.to_owned(), source })
}

//! The volume viewer: slices with a label map and the outline of a prediction, as GIF, PNG or HTML page.
//!
//! 1. [`scene`] holds the image and its label maps in radiological orientation; [`window`] maps intensities to grey.
//! 2. [`slice`](mod@slice) renders a slice of the scene as a [`bitmap`]; `differences` marks false negatives and positives.
//! 3. [`label_counts`] and [`slice_selection`] decide which slices to show.
//! 4. [`contact_sheet`] arranges slices with captions and a legend.
//! 5. `gif`, `png` and `page` write the files.

pub mod bitmap;
mod captions;
pub mod contact_sheet;
mod differences;
mod error;
mod gif;
pub mod label_counts;
mod page;
pub mod plane;
mod png;
pub mod scene;
pub mod slice;
pub mod slice_selection;
pub mod window;

pub use self::bitmap::Bitmap;
pub use self::error::ViewError;
pub use self::gif::write_gif;
pub use self::label_counts::LabelCounts;
pub use self::page::write_html;
pub use self::plane::Plane;
pub use self::png::{ContactSheetOptions, write_png};
pub use self::scene::Scene;
pub use self::window::IntensityWindow;

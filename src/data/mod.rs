//! Volumes and where they come from: files on disk, split into parts, read into plain arrays.
//!
//! Read in this order: [`volume`] (arrays and grids), [`orientation`] (which way they point),
//! [`subject`] (one case), [`nifti`] (files), [`dataset`] (which cases there are), [`split`] (which
//! part each belongs to), [`phantom`] (synthetic cases), [`cache`] (preprocessed volumes on disk),
//! [`patch`] (what training sees).

pub mod buffers;
pub mod cache;
pub mod dataset;
pub(crate) mod lock;
pub mod memory;
pub mod nifti;
pub mod orientation;
pub mod patch;
pub mod phantom;
pub mod split;
pub mod subject;
pub mod volume;
pub(crate) mod whole_file;

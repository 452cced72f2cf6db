//! Trained models of nnU-Net as run folders, and run folders as trained models of nnU-Net.
//!
//! [`import()`] makes run folders from the folder of a trained model or from the ZIP archive that `nnUNetv2_export_model_to_zip`
//! writes. Predictions of a run folder are those of `nnUNetv2_predict`: preprocessing, sliding window and resampling of logits
//! are the steps and keys of an experiment whose `convention` is `nnunet`.
//!
//! `model_files` reads the files, `find` chooses the model and its folds, `plans`, `targets` and `checkpoint` parse them,
//! `architecture`, `parameters`, `preprocessing` and `document` translate them, and `axes` maps nnU-Net's axes to those of
//! image files. `cascade` finds the first stage of a cascade, whose run folders are written below those of the second.
//! [`export()`] is the inverse; see [`mod@export`].
//!
//! # What is imported
//! - models of nnU-Net 2.0 to 2.8, configurations `2d`, `3d_lowres`, `3d_fullres`, and the second stage of a cascade with its
//!   first stage, such as `3d_cascade_fullres`;
//! - `PlainConvUNet` and `ResidualEncoderUNet`, with instance or batch normalization and with LeakyReLU or ReLU, by any trainer
//!   that keeps the network: names and shapes of all parameters are compared;
//! - all normalizations of nnU-Net, with and without masks and also different ones for the channels; resampling by
//!   `resample_data_or_seg_to_shape`, or none; labels, regions, an ignored label; the axes of mirroring; `transpose_forward`.
//!
//! # What is refused by name
//! Other networks and arguments, preprocessors, normalizations and resampling functions; readers of images that are no volumes;
//! cascades of more than two stages; checkpoints of nnU-Net 1; checkpoints that ask for calls which weights do not need.

mod architecture;
mod axes;
mod cascade;
mod checkpoint;
mod classes;
mod document;
mod error;
pub mod export;
mod find;
mod flow;
mod import;
mod model_files;
mod normalization;
mod parameters;
mod plans;
mod preprocessing;
mod targets;
mod write;

pub use error::ImportError;
pub use export::{Export, ExportError, ExportedModel, export};
pub use find::{CheckpointChoice, Fold};
pub use import::{Import, import};
pub use write::{ImportedFold, ImportedModel};

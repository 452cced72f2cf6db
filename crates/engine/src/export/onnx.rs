//! `model.onnx` and `manifest.json`: a run for programs that have ONNX Runtime or similar.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::description::{Description, ModelFile};
use crate::prediction::{Predictor, Provenance};
use nn::onnx::{AXES, INPUT, Interface, OPSET, OUTPUT, TooLarge};
use run_folder::folder::{RunError, write_atomically};

/// The name of the network's file.
pub const MODEL: &str = "model.onnx";
/// The name of the description's file.
pub const MANIFEST: &str = "manifest.json";

/// A run that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The input of the network has predictions of other runs.
    #[error("{} is the second stage of a cascade: its input has channels that other runs predict, which one network in a file cannot do", root.display())]
    Cascade {
        /// The run folder.
        root: PathBuf,
    },
    /// The network does not fit into an ONNX file.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] RunError),
}

/// Writes the network of a run and its description into a folder that exists; returns the two files.
///
/// If `fixed_window` is true, the input has the shape of the sliding window; else any shape that the network can process.
///
/// # Errors
/// When the run is the second stage of a cascade, the network is too large, or a file cannot be written.
pub fn export(
    predictor: &Predictor,
    folder: &Path,
    fixed_window: bool,
    command: Vec<String>,
) -> Result<[PathBuf; 2], ExportError> {
    if predictor.previous().is_some() {
        return Err(ExportError::Cascade { root: predictor.root.clone() });
    }
    let made_by = Provenance::new(std::slice::from_ref(predictor), command);
    let window = predictor.experiment.window();
    let interface = Interface {
        channels: predictor.channels(),
        classes: predictor.targets.num_classes(),
        shape: fixed_window.then_some(window),
        version: made_by.version.clone(),
        metadata: vec![
            ("weights_sha256".to_owned(), predictor.weights.sha256.clone()),
            ("manifest".to_owned(), MANIFEST.to_owned()),
        ],
    };
    let bytes = predictor.network().to_onnx(&interface)?;
    let model = ModelFile {
        file: MODEL.to_owned(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        opset: OPSET,
        input: INPUT.to_owned(),
        output: OUTPUT.to_owned(),
        axes: AXES.map(str::to_owned),
        shape: interface.shape,
    };
    let description = Description::new(predictor, model, made_by);
    let text = serde_json::to_string_pretty(&description).expect("a description is plain data") + "\n";
    let files = [folder.join(MODEL), folder.join(MANIFEST)];
    write_atomically(&files[0], &bytes)?;
    write_atomically(&files[1], text.as_bytes())?;
    Ok(files)
}

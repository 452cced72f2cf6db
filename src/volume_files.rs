//! Writes a volume as NIfTI files, with its sampled parameters as JSON.

use std::path::Path;

use serde::Serialize;

use crate::terminal::{CliError, run_error};
use run_folder::folder::write_atomically;
use transforms::Transform;
use volume::io;
use volume::{Volume, Voxels};

/// Writes `PREFIXimage.nii.gz`, `PREFIXlabel.nii.gz` if there are labels, and `PREFIXdraws.json`. If a step of `chains`
/// is `one_hot`, the label map has one channel per class.
pub fn write(
    out: &Path,
    prefix: &str,
    volume: &Volume,
    chains: &[&[Transform]],
    draws: &impl Serialize,
) -> Result<(), CliError> {
    let path = |name: &str| out.join(format!("{prefix}{name}{}", io::DEFAULT_ENDING));
    let failure = |error: io::ImageError| CliError::failure(&error);
    io::write_image(&path("image"), &volume.grid, &volume.image).map_err(failure)?;
    if let Some(label) = &volume.label {
        let path = path("label");
        let channels = chains.iter().copied().flatten().find_map(|step| step.label_channels(label));
        let written = match channels {
            None => io::write_label(&path, &volume.grid, label),
            Some(channels) => {
                let count = channels.len() / label.len();
                io::write_label(&path, &volume.grid, &Voxels::new(count, label.shape, channels))
            }
        };
        written.map_err(failure)?;
    }
    let text = serde_json::to_string_pretty(draws).expect("sampled parameters are plain data") + "\n";
    write_atomically(&out.join(format!("{prefix}draws.json")), text.as_bytes()).map_err(run_error)
}

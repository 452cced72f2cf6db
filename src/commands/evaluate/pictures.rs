//! Pictures of the worst cases of an evaluation.

use std::path::Path;

use super::record::Results;
use crate::output_paths::make_folder;
use crate::terminal::CliError;
use report::viewer::{self, ContactSheetOptions, Plane, Scene};

/// Maximum number of slices in the picture of a case.
const MAX_SLICES: usize = 8;

/// Renders the slices of the worst cases in which label map and prediction differ most. Those whose `scene` cannot be read
/// are reported.
pub(super) fn draw_worst(
    results: &Results,
    folder: &Path,
    max_count: usize,
    scene: impl Fn(&str) -> Result<Scene, String>,
) -> Result<(), CliError> {
    // Pictures of an earlier evaluation would not match the new ones.
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(CliError::failure(&error)),
        _ if max_count == 0 => return Ok(()),
        _ => make_folder(folder)?,
    }
    for (index, name) in results.worst_first().into_iter().take(max_count).enumerate() {
        let mut scene = match scene(name) {
            Ok(scene) => scene,
            Err(reason) => {
                eprintln!("warning: no picture of {name}: {reason}");
                continue;
            }
        };
        scene.names = results.evaluation.names.clone();
        let title = format!("{name}: where prediction and label differ most");
        let options = ContactSheetOptions { title, plane: Plane::Axial, max_slices: MAX_SLICES, differences: true };
        let path = folder.join(format!("{}_{name}.png", index + 1));
        viewer::write_png(&scene, &options, &path).map_err(|error| CliError::failure(&error))?;
    }
    Ok(())
}

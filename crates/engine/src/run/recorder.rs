//! Records the input files of a run in its manifest.

use std::io;
use std::sync::{Arc, OnceLock};

use run_folder::event::{Event, Listener};
use run_folder::folder::RunFolder;
use run_folder::manifest::{Inputs, Manifest};

/// A listener that writes the input files of a run into its manifest as soon as they are hashed.
pub(super) struct InputsRecorder<'a> {
    folder: &'a RunFolder,
    manifest: Manifest,
    /// A copy of the input files for the session.
    inputs: Arc<OnceLock<Inputs>>,
}

impl<'a> InputsRecorder<'a> {
    pub(super) fn new(folder: &'a RunFolder, manifest: Manifest, inputs: Arc<OnceLock<Inputs>>) -> Self {
        Self { folder, manifest, inputs }
    }
}

impl Listener for InputsRecorder<'_> {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        let Event::Inputs(inputs) = event else { return Ok(()) };
        self.manifest.inputs = inputs.clone();
        self.manifest.write(self.folder).map_err(io::Error::other)?;
        self.inputs.get_or_init(|| inputs.clone());
        Ok(())
    }
}

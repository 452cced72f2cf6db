//! The intensities of a subject's image, measured once when its files are read and kept in the cache.

use std::path::PathBuf;

use crate::experiment::plan::Case;
use crate::fingerprint::Intensities;
use dataset::cache::{Cache, KeyBuilder};
use run_folder::manifest::InputFile;
use volume::Volume;

/// The version of the measurement, part of the cache key.
const VERSION: &str = "intensities 1";

/// The intensities of a subject's image, and where the cache keeps them.
pub(crate) struct MeasuredIntensities {
    path: PathBuf,
    /// The intensities of each channel, if they have been measured.
    pub(crate) intensities: Option<Vec<Intensities>>,
}

impl MeasuredIntensities {
    /// Reads the intensities of a subject whose files were measured before.
    pub(crate) fn read(case: &Case, files: &[InputFile], cache: &Cache) -> Self {
        let images = files.iter().take(case.subject.images.len());
        let key = images.fold(KeyBuilder::new().add_text(VERSION), |key, file| key.add_file(&file.sha256));
        let path = cache.statistics(&hex::encode(key.build()));
        let intensities = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, intensities }
    }

    /// Measures the subject's volume as read from its files, unless that was done before.
    pub(crate) fn measure(&mut self, volume: &Volume, cache: &Cache) {
        if self.intensities.is_none() {
            let intensities = Intensities::of_channels(&volume.image);
            // The file only saves time; a full disk is reported by the volume's own entry.
            let _ = cache.write_statistics(&self.path, &intensities);
            self.intensities = Some(intensities);
        }
    }
}

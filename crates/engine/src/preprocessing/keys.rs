//! The cache keys of a subject, and the size of its entries.

use std::collections::BTreeMap;
use std::path::Path;

use super::fitted::{FittedPreprocessing, resolves_from_volume};
use super::{CHAIN_VERSION, input_files, key_text};
use crate::experiment::plan::{Case, Plan};
use dataset::cache::{self, Cache, Key, KeyBuilder};
use dataset::weight_maps::WeightUse;
use run_folder::manifest::InputFile;

/// A map that is preprocessed with a subject, besides its image and labels, and has an entry of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MapKind {
    /// The weights of its voxels.
    Weights(WeightUse),
    /// The label map that the previous runs predict.
    Previous,
    /// The map that is 0 in its background, if a step masks it.
    Background,
}

/// The cache keys of a subject.
pub(crate) struct Keys {
    pub(crate) volume: Key,
    pub(crate) maps: BTreeMap<MapKind, Key>,
}

impl Keys {
    /// Returns the keys of a subject, from the content of its files, and from the key of the label map that the previous runs
    /// predict on the grid of its image file.
    pub(crate) fn new(
        case: &Case,
        preprocessing: &FittedPreprocessing,
        files: &[InputFile],
        previous: Option<&Key>,
        masks_background: bool,
    ) -> Self {
        let begin = || {
            let chain = [key_text(&preprocessing.chain), key_text(&preprocessing.fitted)];
            chain.iter().fold(KeyBuilder::new().add_text(CHAIN_VERSION), |key, text| key.add_text(text))
        };
        let (volume_files, weight_files) = files.split_at(files.len() - case.weight_maps.len());
        // Where the background is marked, it competes with the labels when these are resampled.
        let of_volume = if masks_background { begin().add_text("marked background") } else { begin() };
        let volume = volume_files.iter().fold(of_volume, |key, file| key.add_file(&file.sha256)).build();
        let weight_key = |file: &InputFile| {
            let mut key = begin().add_text("weights").add_text(&key_text(&case.grid)).add_file(&file.sha256);
            if preprocessing.resolves_from_volume() {
                // How the map is resampled depends on the image and its labels.
                key = key.add_text(&hex::encode(volume));
            }
            key.build()
        };
        let weights = case.weight_maps.keys().map(|purpose| MapKind::Weights(*purpose));
        let mut maps: BTreeMap<_, _> = weights.zip(weight_files.iter().map(weight_key)).collect();
        if let Some(map) = previous {
            // How the map is resampled depends on the grid, and may depend on the image and its labels.
            let key = begin().add_text("previous").add_text(&hex::encode([*map, volume].concat()));
            maps.insert(MapKind::Previous, key.build());
        }
        if masks_background {
            maps.insert(MapKind::Background, begin().add_text("background").add_text(&hex::encode(volume)).build());
        }
        Self { volume, maps }
    }

    /// Protects the subject's entries from eviction.
    pub(crate) fn pin(&self, cache: &Cache) {
        std::iter::once(&self.volume).chain(self.maps.values()).for_each(|key| cache.pin(key));
    }
}

/// Returns the bytes that a run needs in the cache; a copy of a file under another path counts separately.
pub(crate) fn num_bytes(plan: &Plan) -> u64 {
    let resolves_from_volume = resolves_from_volume(&plan.experiment.preprocess_chain());
    // Subjects with the same files share an entry; a weight map's also depends on a grid or a volume.
    let mut volumes: BTreeMap<Vec<&Path>, u64> = BTreeMap::new();
    let mut weights: BTreeMap<(&Path, String, Vec<&Path>), u64> = BTreeMap::new();
    for name in plan.parts.train.iter().chain(&plan.parts.val) {
        let case = &plan.cases[name];
        let bytes = |channels, labelled| cache::num_bytes(channels, case.outgoing.shape, labelled);
        let files: Vec<&Path> = input_files::volume_paths(case).collect();
        for map in case.weight_maps.values() {
            let volume_files = if resolves_from_volume { files.clone() } else { Vec::new() };
            weights.insert((map, key_text(&case.grid), volume_files), bytes(1, false));
        }
        let background = if plan.experiment.masks_background() { bytes(1, false) } else { 0 };
        let previous = if plan.previous.is_some() { bytes(0, true) } else { 0 };
        let volume = bytes(plan.channels, case.subject.label.is_some());
        volumes.insert(files, volume + previous + background);
    }
    // A label map of the previous runs is also stored as predicted until it is preprocessed.
    let predicted = plan.cases.values().map(|case| cache::num_bytes(0, case.grid.shape, true)).max();
    let predicted = predicted.filter(|_| plan.previous.is_some()).unwrap_or(0);
    volumes.values().chain(weights.values()).sum::<u64>() + predicted
}

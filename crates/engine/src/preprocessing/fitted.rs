//! The preprocess chain with the statistics of the training subjects that its steps were fitted to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use dataset::queue::MakeError;
use dataset::subject::Subject;
use run_folder::folder::{RunError, RunFolder, write_atomically};
use transforms::lazy;
use transforms::{
    Incoming, Interpolation, Resample, ResampleConvention, SeparateAxis, TargetSpacing, ToCanonical, Transform,
    TransformParams,
};
use values::Spacing;
use volume::Volume;

/// The preprocess chain, fitted to the training subjects.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedPreprocessing {
    /// The steps.
    pub chain: Vec<Transform>,
    /// The parameters of the fitted steps, by their index in the chain.
    pub fitted: BTreeMap<usize, TransformParams>,
}

/// `preprocess.json`.
#[derive(Debug, Serialize, Deserialize)]
struct PreprocessFile {
    chain: Vec<Transform>,
    #[serde(rename = "learned")]
    fitted: BTreeMap<usize, TransformParams>,
}

impl FittedPreprocessing {
    /// Creates a chain whose steps are not fitted yet; it can be used as it is if no step needs a fit.
    pub fn unfitted(chain: Vec<Transform>) -> Self {
        Self { chain, fitted: BTreeMap::new() }
    }

    /// Writes `preprocess.json` into a run folder, so that new images are preprocessed as in training. A chain without
    /// fitted steps needs no such file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &RunFolder) -> Result<(), RunError> {
        if self.fitted.is_empty() {
            return Ok(());
        }
        let file = PreprocessFile { chain: self.chain.clone(), fitted: self.fitted.clone() };
        let text = serde_json::to_string_pretty(&file).expect("chains and parameters are plain data") + "\n";
        write_atomically(&folder.file("preprocess.json"), text.as_bytes())
    }

    /// Reads the fitted chain of a run from its `preprocess.json`; `chain` is that of its plan.
    ///
    /// # Errors
    /// Describes what is wrong with the file, or that it is missing although a step needs a fit.
    pub fn read(root: &Path, chain: Vec<Transform>) -> Result<Self, String> {
        let mut preprocessing = Self::unfitted(chain);
        let chain = &preprocessing.chain;
        if chain.iter().any(|step| step.component().needs_fit()) {
            let text = std::fs::read(root.join("preprocess.json")).map_err(|error| error.to_string())?;
            let file: PreprocessFile = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            if file.chain != *chain {
                return Err("its steps are not those of plan.yaml".to_owned());
            }
            let has_all = (0..chain.len()).all(|index| match file.fitted.get(&index) {
                Some(params) => chain[index].component().is_fitted(params),
                None => !chain[index].component().needs_fit(),
            });
            if !has_all || file.fitted.keys().any(|index| *index >= chain.len()) {
                return Err("`learned` does not match the fitted steps of plan.yaml".to_owned());
            }
            preprocessing.fitted = file.fitted;
        }
        Ok(preprocessing)
    }

    /// Returns the same chain for volumes of any orientation: they are reoriented to RAS first, as training volumes were or
    /// had to be.
    pub fn with_reorientation(mut self) -> Self {
        let reorient = Transform::from(ToCanonical {});
        if self.chain.first() != Some(&reorient) {
            self.insert(0, reorient);
        }
        self
    }

    /// Returns the same chain with a step that resamples to a spacing in mm, after the volume is reoriented to RAS.
    pub fn with_resampling(mut self, spacing_mm: [f64; 3]) -> Self {
        let reorients = self.chain.first() == Some(&Transform::from(ToCanonical {}));
        // Finer scans are smoothed: the training scans had no detail between their voxels either.
        let resample = Resample {
            spacing_mm: Some(TargetSpacing::Given(Spacing(spacing_mm).into())),
            reference: None,
            antialias: true,
            interpolation: Interpolation::default(),
            convention: ResampleConvention::default(),
            separate_axis: SeparateAxis::default(),
        };
        self.insert(usize::from(reorients), resample.into());
        self
    }

    /// Inserts a step that is not fitted.
    fn insert(&mut self, index: usize, step: Transform) {
        self.chain.insert(index, step);
        let fitted = std::mem::take(&mut self.fitted).into_iter();
        self.fitted = fitted.map(|(old, params)| (old + usize::from(old >= index), params)).collect();
    }

    /// Returns the parameters of the chain on a volume, before those that depend on its voxels are resolved.
    pub fn unresolved_params(&self, incoming: &Incoming) -> Vec<TransformParams> {
        let mut params = lazy::fixed_params(&self.chain, incoming);
        self.fitted.iter().for_each(|(index, fitted)| params[*index] = fitted.clone());
        params
    }

    /// Returns the parameters of the chain on the volume of a file.
    ///
    /// # Errors
    /// When an intensity is NaN or infinite and the chain does not replace it, or a step cannot be applied to the volume.
    pub fn params(&self, volume: &Volume) -> Result<Vec<TransformParams>, lazy::PipelineError> {
        lazy::require_finite(volume, &self.chain)?;
        lazy::resolve_from_volume(&self.chain, &self.unresolved_params(&incoming(volume)), volume)
    }

    /// Reads the files of a subject, whose intensities the chain must be able to use.
    ///
    /// # Errors
    /// When a file cannot be read, or an intensity is NaN or infinite and the chain does not replace it.
    pub(super) fn load(&self, subject: &Subject) -> Result<Volume, MakeError> {
        let volume = subject.load()?;
        lazy::require_finite(&volume, &self.chain)?;
        Ok(volume)
    }

    /// Returns whether a parameter depends on a volume's voxels, such as the position of a crop.
    pub fn resolves_from_volume(&self) -> bool {
        resolves_from_volume(&self.chain)
    }
}

/// Returns whether a parameter of a chain depends on a volume's voxels.
pub(super) fn resolves_from_volume(chain: &[Transform]) -> bool {
    chain.iter().any(|step| step.any(&|step| step.resolves_from_volume()))
}

/// Returns the grid and the number of channels of a volume, which are all that most steps need.
pub fn incoming(volume: &Volume) -> Incoming {
    Incoming { grid: volume.grid, channels: volume.image.channels }
}

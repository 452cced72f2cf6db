//! A trained run, opened for prediction.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;

use super::provenance::UsedWeights;
use super::source::Source;
use super::{OpenPrevious, PredictError, ReportProgress, Unfinished, final_activation, sliding_window};
use crate::experiment::load;
use crate::experiment::spec::{Experiment, Orientation};
use crate::experiment::targets::Targets;
use crate::fingerprint::{Difference, Fingerprint, Intensities, Scan};
use crate::inference::activation::FinalActivation;
use crate::inference::file_mapping::FileMapping;
use crate::inference::forward;
use crate::inference::sliding_window::SlidingWindow;
use crate::preprocessing::FittedPreprocessing;
use crate::preprocessing::fitted::incoming;
use crate::previous::PreviousRuns;
use crate::previous::masks::with_masks;
use nn::Network;
use nn::devices::DeviceName;
use nn::weights::{self, WeightsError};
use random::Seed;
use run_folder::folder::linked_folder;
use run_folder::manifest::Manifest;
use transforms::lazy::{self, LabelView, View};
use volume::{Grid, Label, Volume, Voxels};

/// Which weights of a run to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Those of the best epoch by `checkpoint.monitor`.
    #[default]
    Best,
    /// The latest.
    Last,
}

/// Returns the file of the weights of a run folder.
pub fn weights_file(root: &Path, weights: Weights) -> PathBuf {
    root.join("checkpoints").join(match weights {
        Weights::Best => "best.safetensors",
        Weights::Last => "last.safetensors",
    })
}

/// A trained run, opened for prediction.
#[derive(Debug)]
pub struct Predictor {
    /// The run folder.
    pub root: PathBuf,
    /// The experiment with all defaults filled in.
    pub experiment: Experiment,
    /// What the network predicts.
    pub targets: Targets,
    /// The file of the weights.
    pub weights: UsedWeights,
    /// The device of the network.
    pub device_name: DeviceName,
    /// If true, scans whose spacing is unlike that of the training scans are resampled to it first.
    pub resamples_unlike_scans: bool,
    /// A summary of the training scans; `None` for run folders of earlier versions.
    pub fingerprint: Option<Fingerprint>,
    network: Network,
    device: Device,
    /// Input channels of the network.
    channels: usize,
    preprocessing: FittedPreprocessing,
    previous: Option<OpenPrevious>,
}

impl Predictor {
    /// Opens a run folder; `device` replaces the one that the run was trained on.
    ///
    /// # Errors
    /// When the folder is not a run folder, has no such weights, or the device cannot be opened.
    pub fn open(root: &Path, weights: Weights, device: Option<DeviceName>) -> Result<Self, PredictError> {
        let root = &linked_folder(root);
        let manifest = Manifest::read(root)?;
        let plan = root.join("plan.yaml");
        let experiment = load::load(&plan, &[])?.experiment;
        let invalid = |reason: &str| PredictError::Invalid { path: plan.clone(), reason: reason.to_owned() };
        if experiment.data.labels.iter().flatten().next().is_none() {
            return Err(invalid("it declares no labels, because an earlier version wrote it; add `data.labels` to it"));
        }
        let targets = Targets::of_plan(&experiment.data).ok_or_else(|| {
            invalid("a region of `data.regions` has no key `write`, the label as which it is written")
        })?;
        let preprocessing = FittedPreprocessing::read(root, experiment.preprocess_chain())
            .map_err(|reason| PredictError::Invalid { path: root.join("preprocess.json"), reason })?;
        let preprocessing = match experiment.data.orientation {
            Orientation::Stored => preprocessing,
            Orientation::Reorient | Orientation::RequireRas => preprocessing.with_reorientation(),
        };
        let path = weights_file(root, weights);
        if !path.exists() {
            return Err(PredictError::NoWeights { path });
        }
        let device_name = device.unwrap_or(experiment.device).resolve()?;
        let device = device_name.open()?;
        let (network, channels) = network(&experiment, targets.num_classes(), &path, &device)
            .map_err(|source| PredictError::Weights { path: path.clone(), source })?;
        let previous = match &experiment.data.previous {
            Some(_) => Some(OpenPrevious::open(PreviousRuns::of_run(root)?, device_name)?),
            None => None,
        };
        let of_previous = previous.iter().flat_map(|previous| previous.weights(None)).collect();
        let epochs = experiment.train.epochs.get();
        let own = UsedWeights::read(root, weights, path, &manifest, epochs)?;
        let weights = UsedWeights { previous: of_previous, ..own };
        Ok(Self {
            root: root.clone(),
            experiment,
            targets,
            weights,
            device_name,
            resamples_unlike_scans: false,
            fingerprint: Fingerprint::read(root),
            network,
            device,
            channels,
            preprocessing,
            previous,
        })
    }

    /// Returns the number of channels of an image.
    pub fn channels(&self) -> usize {
        self.channels.saturating_sub(self.num_masks())
    }

    /// Returns the number of input channels of the network: those of an image, and one for each label of the previous runs.
    pub fn network_channels(&self) -> usize {
        self.channels
    }

    /// Returns the runs whose predictions are input of this one.
    pub fn previous(&self) -> Option<&OpenPrevious> {
        self.previous.as_ref()
    }

    /// Returns the runs that predict, this one and its previous runs, whose training is not finished, and how far it got.
    pub fn unfinished_runs(&self) -> Vec<(&Path, &Unfinished)> {
        let own = self.weights.unfinished.as_ref().map(|unfinished| (self.root.as_path(), unfinished));
        let previous = self.previous.iter().flat_map(|previous| previous.unfinished_runs());
        own.into_iter().chain(previous).collect()
    }

    fn num_masks(&self) -> usize {
        self.previous.as_ref().map_or(0, |previous| previous.runs.labels().len())
    }

    /// Returns what is unlike the training scans about a scan; `None` if the run folder does not describe them.
    pub fn differences(&self, scan: &Volume) -> Option<Vec<Difference>> {
        let fingerprint = self.fingerprint.as_ref()?;
        let preprocessed = self.preprocessed_grid(scan);
        let measured = Scan::of_grids(&scan.grid, &preprocessed);
        Some(fingerprint.differences(&Scan { intensities: Intensities::of_channels(&scan.image), ..measured }))
    }

    /// Returns the grid of a scan after preprocessing as in training, without reading its voxels.
    fn preprocessed_grid(&self, scan: &Volume) -> Grid {
        let params = self.preprocessing.unresolved_params(&incoming(scan));
        lazy::output_grid(&self.preprocessing.chain, &params, &scan.grid)
    }

    /// Returns the preprocess chain for a scan: that of training, after a step that resamples the scan to the spacing of
    /// training where that was asked for and is needed.
    pub(super) fn preprocessing_of(&self, scan: &Volume) -> Cow<'_, FittedPreprocessing> {
        let fingerprint = self.fingerprint.as_ref().filter(|_| self.resamples_unlike_scans);
        match fingerprint.filter(|training| training.is_spacing_unlike(self.preprocessed_grid(scan).spacing())) {
            Some(training) => Cow::Owned(self.preprocessing.clone().with_resampling(training.target_spacing_mm())),
            None => Cow::Borrowed(&self.preprocessing),
        }
    }

    /// Returns the true label map as in training, from that of a file: steps of the chain that change labels are
    /// applied.
    ///
    /// # Errors
    /// When the preprocess chain cannot be applied.
    pub fn ground_truth(&self, volume: &Volume) -> Result<Option<Voxels<Label>>, PredictError> {
        let Some(label) = volume.label.clone() else { return Ok(None) };
        let params = self.preprocessing.params(volume)?;
        Ok(Some(lazy::relabel(&self.preprocessing.chain, &params, label)))
    }

    /// Returns the network with its weights.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the preprocess chain with the statistics that it was fitted to.
    pub fn preprocessing(&self) -> &FittedPreprocessing {
        &self.preprocessing
    }

    /// Returns what converts logits to probabilities.
    pub(crate) fn activation(&self) -> FinalActivation {
        final_activation(&self.experiment, &self.targets)
    }

    pub(super) fn sliding_window(&self) -> SlidingWindow<'_> {
        sliding_window(&self.experiment, self.experiment.window(), &self.targets)
    }

    pub(super) fn num_windows(&self, volume: [usize; 3]) -> usize {
        self.experiment.inference.num_windows(volume, self.experiment.window())
    }

    /// Returns about how many windows the prediction of a scan takes; a crop that depends on its voxels may need fewer.
    pub(super) fn expected_windows(&self, scan: &Volume) -> usize {
        self.num_windows(self.preprocessed_grid(scan).shape)
    }

    /// Preprocesses an image to the input of the network; returns it with the mapping from its grid to that of the file.
    pub(super) fn preprocess(&self, source: Source) -> Result<(Voxels<f32>, FileMapping), PredictError> {
        let volume = &source.volume;
        if volume.image.channels != self.channels() {
            let (expected, actual, shape) = (self.channels(), volume.image.channels, volume.image.shape);
            return Err(PredictError::Channels { expected, actual, shape });
        }
        let preprocessing = self.preprocessing_of(volume);
        let (chain, grid) = (&preprocessing.chain, volume.grid);
        let params = preprocessing.params(volume)?;
        let mapping = FileMapping::new(chain, &params, &grid);
        let masks = self.previous.as_ref().map(|previous| {
            let map = source.label_map(self).expect("the previous runs of every run have predicted the image");
            (LabelView::new(map.clone(), grid, chain, &params).whole(), previous.runs.labels())
        });
        let image = View::new(source.volume, chain, &params)?.volume()?.image;
        let input = match masks {
            Some((map, labels)) => with_masks(&image, &map, &labels),
            None => image,
        };
        Ok((input, mapping))
    }

    /// Returns the forward pass over windows, which fails when `stop` is set; `before` windows of `total` are done
    /// already.
    pub(super) fn forward<'a>(
        &'a self,
        stop: &'a AtomicBool,
        (before, total): (usize, usize),
        progress: ReportProgress<'a>,
    ) -> impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, PredictError> + 'a {
        let mut done = before;
        move |windows, count| {
            let logits = self.logits(windows, count, stop)?;
            done += count;
            progress(done, total);
            Ok(logits)
        }
    }

    /// Computes the logits of `count` windows; fails when `stop` is set.
    pub(super) fn logits(&self, windows: Vec<f32>, count: usize, stop: &AtomicBool) -> Result<Vec<f32>, PredictError> {
        if stop.load(Ordering::Relaxed) {
            return Err(PredictError::Stopped);
        }
        let window = self.experiment.window();
        Ok(forward::logits(&self.network, windows, [count, self.channels], window, &self.device)?)
    }
}

/// Builds the network with the weights of a file; returns it with its number of input channels.
fn network(
    experiment: &Experiment,
    classes: usize,
    path: &Path,
    device: &Device,
) -> Result<(Network, usize), WeightsError> {
    let tensors = weights::read(path)?;
    let channels = experiment.model.num_channels(&tensors)?;
    let mut network = experiment.model.build(channels, classes, Seed(experiment.seed), device);
    network.parameters.import(&tensors, device)?;
    Ok((network, channels))
}

//! A trained run, ready to say what it sees in new images.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use rayon::prelude::*;

use super::head::Head;
use super::validate::sight;
use crate::experiment::experiment::Experiment;
use crate::experiment::load;
use crate::experiment::plan::ClassLabel;
use crate::inference::predict::{self, Sight, Target};
use crate::training::input;
use nn::Network;
use nn::device::DeviceName;
use nn::weights::{self, WeightsError};
use random::Seed;
use run_folder::manifest::Manifest;
use transforms::lazy::{self, IndexMapping, View};
use volume::{Label, Volume, Voxels};

mod error;

pub use error::PredictError;

/// Which weights of a run are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// Those of the epoch that `checkpoint.monitor` says was best.
    #[default]
    Best,
    /// The newest.
    Last,
}

/// A trained run, ready to predict.
#[derive(Debug)]
pub struct Predictor {
    /// The run folder.
    pub root: PathBuf,
    /// The experiment as used.
    pub experiment: Experiment,
    /// The labels above background; class `k + 1` of the network is `labels[k]`.
    pub labels: Vec<ClassLabel>,
    network: Network,
    device: Device,
    channels: usize,
    head: Head,
}

/// What a run or several say about an image, on the grid of its file.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The label map.
    pub label: Voxels<Label>,
    /// The probability of each class, `[class, x, y, z]`, background first, where it was asked for.
    pub probabilities: Option<Voxels<f32>>,
}

/// How far a prediction is, in windows: those that are done and all of them.
pub type Tell<'a> = &'a mut dyn FnMut(usize, usize);

impl Predictor {
    /// Reads a run folder; `device` replaces the one that the run was trained on.
    ///
    /// # Errors
    /// When the folder is not that of a run, has no such weights, or the device cannot be opened.
    pub fn open(root: &Path, checkpoint: Checkpoint, device: Option<DeviceName>) -> Result<Self, PredictError> {
        Manifest::read(root)?;
        let plan = root.join("plan.yaml");
        let experiment = load::load(&plan, &[])?.experiment;
        let labels = experiment.data.labels.iter().flatten();
        let labels: Vec<ClassLabel> =
            labels.map(|(value, name)| ClassLabel { value: *value, name: name.clone() }).collect();
        if labels.is_empty() {
            let reason = "it names no labels, as runs of earlier versions did; write `data.labels` into it".to_owned();
            return Err(PredictError::Invalid { path: plan, reason });
        }
        let head = Head::of_run(root, experiment.preprocess_chain())
            .map_err(|reason| PredictError::Invalid { path: root.join("preprocess.json"), reason })?
            .turning_first();
        let path = root.join("checkpoints").join(match checkpoint {
            Checkpoint::Best => "best.safetensors",
            Checkpoint::Last => "last.safetensors",
        });
        if !path.exists() {
            return Err(PredictError::NoWeights { path });
        }
        let device = device.unwrap_or(experiment.device).resolve()?.open()?;
        let (network, channels) = network(&experiment, labels.len() + 1, &path, &device)
            .map_err(|source| PredictError::Weights { path, source })?;
        Ok(Self { root: root.to_owned(), experiment, labels, network, device, channels, head })
    }

    fn sight(&self) -> Sight<'_> {
        sight(&self.experiment, self.experiment.window(), self.labels.len() + 1)
    }

    fn num_windows(&self, volume: [usize; 3]) -> usize {
        self.experiment.inference.num_windows(volume, self.experiment.window())
    }

    /// Takes an image through the preprocess chain.
    fn prepared(&self, source: Volume) -> Result<(Voxels<f32>, IndexMapping), PredictError> {
        if source.image.channels != self.channels {
            return Err(PredictError::Channels { expected: self.channels, found: source.image.channels });
        }
        let draws = self.head.resolved(&source)?;
        let origin = lazy::index_mapping(&self.head.chain, &draws, &source.grid);
        let image = View::new(source, &self.head.chain, &draws)?.volume()?.image;
        // A network spreads what is no number over whole windows, which would look like background.
        match image.par_iter().filter(|value| !value.is_finite()).count() {
            0 => Ok((image, origin)),
            count => Err(PredictError::NotFinite { count }),
        }
    }

    /// Sends windows through the network until it is told to stop; tells how many are done, of `total`, after `before`.
    fn forward<'a>(
        &'a self,
        stop: &'a AtomicBool,
        (before, total): (usize, usize),
        tell: Tell<'a>,
    ) -> impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, PredictError> + 'a {
        let window = self.experiment.window();
        let mut done = before;
        move |windows, count| {
            if stop.load(Ordering::Relaxed) {
                return Err(PredictError::Stopped);
            }
            let logits = input::logits(&self.network, windows, [count, self.channels], window, &self.device)?;
            done += count;
            tell(done, total);
            Ok(logits)
        }
    }

    /// The true label map as the run was trained to see it, from that of a file.
    pub fn truth(&self, volume: &Volume) -> Result<Option<Voxels<Label>>, PredictError> {
        let Some(label) = volume.label.clone() else { return Ok(None) };
        let draws = self.head.resolved(volume)?;
        Ok(Some(lazy::relabel(&self.head.chain, &draws, label)))
    }
}

/// Whether runs can be averaged: they must have the same labels and the same post-processing.
///
/// # Errors
/// When they have not; two of them are named.
pub fn check_ensemble(predictors: &[Predictor]) -> Result<(), PredictError> {
    let Some((first, others)) = predictors.split_first() else { return Ok(()) };
    for other in others {
        let differs = |what| PredictError::Differ { first: first.root.clone(), other: other.root.clone(), what };
        if first.labels != other.labels {
            return Err(differs("labels"));
        }
        if first.experiment.postprocess != other.experiment.postprocess {
            return Err(differs("postprocess steps"));
        }
    }
    Ok(())
}

/// What a run, or the mean of the probabilities of several, says about an image, on the grid of its file.
///
/// One run without `keep` never holds more probabilities than those of a slab as thick as a window.
///
/// # Errors
/// When the image does not fit the runs, the device fails, or it was told to stop.
///
/// # Panics
/// When there is no run.
pub fn predict(
    predictors: &[Predictor],
    source: Volume,
    keep: bool,
    stop: &AtomicBool,
    tell: Tell,
) -> Result<Prediction, PredictError> {
    let (grid, first) = (source.grid, &predictors[0]);
    let values = ClassLabel::values(&first.labels);
    let target = Target { grid: &grid, labels: &values, steps: &first.experiment.postprocess };
    if let ([only], false) = (predictors, keep) {
        let (image, origin) = only.prepared(source)?;
        let total = only.num_windows(image.shape);
        let forward = only.forward(stop, (0, total), tell);
        let label = predict::label_map(&image, &origin, &only.sight(), &target, forward)?;
        return Ok(Prediction { label, probabilities: None });
    }
    let sums = mean_probabilities(predictors, source, stop, tell)?;
    let label = target.label_map(&sums);
    let probabilities = keep.then(|| Voxels::new(values.len() + 1, grid.shape, sums));
    Ok(Prediction { label, probabilities })
}

/// The mean over runs of the probability of each class, `[class, x, y, z]` on the grid of the file.
fn mean_probabilities(
    predictors: &[Predictor],
    source: Volume,
    stop: &AtomicBool,
    tell: Tell,
) -> Result<Vec<f32>, PredictError> {
    let voxels = source.grid.num_voxels();
    let share = 1.0 / predictors.len() as f32;
    let mut sums = vec![0.0; (predictors[0].labels.len() + 1) * voxels];
    for (index, predictor) in predictors.iter().enumerate() {
        let (image, origin) = predictor.prepared(source.clone())?;
        // Runs may have windows of different shapes; each is told as an equal share of the whole.
        let own = predictor.num_windows(image.shape);
        let forward = predictor.forward(stop, (index * own, predictors.len() * own), tell);
        predict::add_probabilities(&image, &origin, &predictor.sight(), (share, &mut sums), forward)?;
    }
    Ok(sums)
}

/// A network with the weights of a file, and how many channels it takes.
fn network(
    experiment: &Experiment,
    classes: usize,
    path: &Path,
    device: &Device,
) -> Result<(Network, usize), WeightsError> {
    let tensors = weights::read(path)?;
    let channels = experiment.model.channels_of(&tensors)?;
    let mut network = experiment.model.build(channels, classes, Seed(experiment.seed), device);
    network.parameters.import(&tensors, device)?;
    Ok((network, channels))
}

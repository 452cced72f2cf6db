//! A trained run, ready to say what it sees in new images.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use rayon::prelude::*;

use super::head::Head;
use super::validate::sight;
use crate::data::volume::{Label, Volume, Voxels};
use crate::infer::predict::{self, Sight, Target};
use crate::model::Network;
use crate::model::device::{DeviceError, DeviceName};
use crate::model::input::{self, ComputeError};
use crate::model::weights::{self, WeightsError};
use crate::pipeline::{self, Origin, PipelineError, View};
use crate::queue::MakeError;
use crate::run::folder::RunError;
use crate::run::manifest::Manifest;
use crate::seed::Seed;
use crate::spec::experiment::Experiment;
use crate::spec::load;
use crate::spec::plan::ClassLabel;
use crate::spec::problem::Problems;

/// Which weights of a run are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// Those of the epoch that `checkpoint.monitor` says was best.
    #[default]
    Best,
    /// The newest.
    Last,
}

/// A run that cannot predict, or an image that it cannot take.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The folder is not that of a run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its plan cannot be read.
    #[error(transparent)]
    Plan(#[from] Problems),
    /// It has no such weights.
    #[error("{} is not there", path.display())]
    NoWeights {
        /// The file.
        path: PathBuf,
    },
    /// Its weights cannot be used.
    #[error("{} cannot be used", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WeightsError,
    },
    /// A file of the run is not what it should be.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The runs of an ensemble do not say the same things.
    #[error("{} and {} have different {what}, so they are no ensemble", first.display(), other.display())]
    Differ {
        /// A run.
        first: PathBuf,
        /// Another run.
        other: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A file cannot be read or written.
    #[error("{0}")]
    Image(MakeError),
    /// The image has another number of channels than those that the network was trained with.
    #[error("it has {found} channels, and the network takes {expected}")]
    Channels {
        /// Those of the network.
        expected: usize,
        /// Those of the image.
        found: usize,
    },
    /// Voxels are no numbers.
    #[error("{count} of its voxels are not finite after preprocess; mend the file")]
    NotFinite {
        /// How many.
        count: usize,
    },
    /// The preprocess chain cannot be applied to the image.
    #[error("it cannot be preprocessed as in training: {0}")]
    Preprocess(#[from] PipelineError),
    /// The device failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
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

    /// The values of the labels, class by class.
    fn values(&self) -> Vec<Label> {
        self.labels.iter().map(|label| label.value).collect()
    }

    fn sight(&self) -> Sight<'_> {
        let window = self.experiment.inference.window.map_or(self.experiment.sampler.patch(), |window| window.0);
        sight(&self.experiment, window, self.labels.len() + 1)
    }

    fn num_windows(&self, volume: [usize; 3]) -> usize {
        self.experiment.inference.num_windows(volume, self.sight().window)
    }

    /// Takes an image through the preprocess chain.
    fn prepared(&self, source: Volume) -> Result<(Voxels<f32>, Origin), PredictError> {
        if source.image.channels != self.channels {
            return Err(PredictError::Channels { expected: self.channels, found: source.image.channels });
        }
        let draws = self.head.settled(&source)?;
        let origin = pipeline::origin(&self.head.chain, &draws, &source.grid);
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
        let window = self.sight().window;
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
        let draws = self.head.settled(volume)?;
        Ok(Some(pipeline::relabel(&self.head.chain, &draws, label)))
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
    let values = first.values();
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

//! `runner predict`: predicts label maps of new images with one trained run or an ensemble.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Execute;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit, run_error};
use crate::volume_files;
use dataset::subject::Subject;
use engine::experiment::plan::ClassLabel;
use engine::inference::volumetry::{LabelVolume, label_volumes};
use engine::prediction::{self, PredictError, Predictor, check_ensemble};
use nn::devices::DeviceName;
use run_folder::folder::write_atomically;
use volume::io;
use volume::{Grid, Volume};

/// The suffix of the case name in the file name of its probabilities.
const PROBABILITIES: &str = "_probabilities";

/// Predict label maps of new images with a trained run, or an ensemble of runs.
///
/// The experiment configures tiling and blending. Unreadable images are reported and skipped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner predict --run runs/quickstart/20260101-120000 scan.nii.gz --out predictions --probabilities
  runner predict --run runs/liver/fold_0 --run runs/liver/fold_1 scans/*.nii.gz --out predictions")]
pub struct PredictArgs {
    /// Folder of a trained run; repeat it for an ensemble, whose probabilities are averaged.
    #[arg(long = "run", value_name = "RUN_DIR", required = true)]
    runs: Vec<PathBuf>,
    /// Images to predict, `.nii` or `.nii.gz`.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Output folder for `NAME.nii.gz` and `NAME.json` of each image.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also write `NAME_probabilities.nii.gz` with one channel per class, background first.
    #[arg(long)]
    probabilities: bool,
    #[command(flatten)]
    weights: Weights,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

/// The weights and the device to predict with.
#[derive(Debug, Args)]
pub(super) struct Weights {
    /// Weights of the run to use.
    #[arg(long, value_enum, default_value_t)]
    checkpoint: Which,
    /// Device that runs the network [default: the device of the training].
    #[arg(long, env = "RUNNER_DEVICE")]
    device: Option<DeviceName>,
}

/// Which weights of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Weights of the best epoch.
    #[default]
    Best,
    /// Weights of the last epoch.
    Last,
}

impl Weights {
    /// Returns the device that was given.
    pub(super) fn device(&self) -> Option<DeviceName> {
        self.device
    }

    /// Returns the name of the folder for the predictions of a part of a run's subjects.
    pub(super) fn folder(&self, part: &str) -> String {
        match self.checkpoint {
            Which::Best => part.to_owned(),
            Which::Last => format!("{part}_last"),
        }
    }

    /// Opens a run folder.
    pub(super) fn open(&self, root: &Path) -> Result<Predictor, CliError> {
        let checkpoint = match self.checkpoint {
            Which::Best => prediction::Weights::Best,
            Which::Last => prediction::Weights::Last,
        };
        Predictor::open(root, checkpoint, self.device).map_err(predict_error)
    }
}

/// `NAME.json`: the volumes of the labels, and the runs that predicted them.
#[derive(Debug, Serialize)]
struct Report<'a> {
    image: &'a Path,
    runs: &'a [PathBuf],
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    labels: &'a [LabelVolume],
    seconds: f64,
}

impl Execute for PredictArgs {
    /// Predicts every image. Unreadable images are reported and skipped.
    fn execute(&self) -> Result<Exit, CliError> {
        let outputs = outputs(self)?;
        let predictors = self.runs.iter().map(|run| self.weights.open(run)).collect::<Result<Vec<_>, _>>()?;
        check_ensemble(&predictors).map_err(predict_error)?;
        volume_files::make_folder(&self.out)?;
        stop_on_signals()?;
        let mut failed = Vec::new();
        for (number, (image, out)) in self.images.iter().zip(&outputs).enumerate() {
            let bar = Windows::new(&format!("{} ({}/{})", io::case_name(image), number + 1, outputs.len()), self.quiet);
            let predicted = predict(self, &predictors, image, out, &bar);
            drop(bar);
            match predicted {
                Ok(text) => outln!("{}: {text}", out.display()),
                Err(PredictFailure::Stopped) => {
                    outln!("stopped; {number} of {} images are done", outputs.len());
                    return Ok(Exit::Stopped);
                }
                Err(PredictFailure::Environment(error)) => return Err(error),
                Err(PredictFailure::Image(message)) => {
                    let path = image.display().to_string();
                    // Errors of reading already name the file.
                    let message = if message.starts_with(&path) { message } else { format!("{path}: {message}") };
                    eprintln!("error: {message}");
                    failed.push(image.display().to_string());
                }
            }
        }
        if failed.is_empty() {
            return Ok(Exit::Done);
        }
        Err(CliError::Failure(format!("{} of {} images failed: {}", failed.len(), outputs.len(), failed.join(", "))))
    }
}

/// Returns the output file of each image; checks that all are different and that none would replace an image.
fn outputs(arguments: &PredictArgs) -> Result<Vec<PathBuf>, CliError> {
    let mut images = BTreeSet::new();
    for image in &arguments.images {
        let help = "check the path";
        let canonical = image.canonicalize();
        images.insert(canonical.map_err(|error| CliError::problem(format!("{}: {error}", image.display()), help))?);
    }
    let mut written: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for image in &arguments.images {
        let suffixes = if arguments.probabilities { &["", PROBABILITIES][..] } else { &[""] };
        for suffix in suffixes {
            let out = output(arguments, image, suffix);
            if out.canonicalize().is_ok_and(|out| images.contains(&out)) {
                let message = format!("the prediction of {} would replace an image", image.display());
                return Err(CliError::problem(message, "name another folder with --out"));
            }
            if let Some(other) = written.insert(out.clone(), image) {
                let (a, b, out) = (other.display(), image.display(), out.display());
                let message = format!("{a} and {b} would both write {out}");
                return Err(CliError::problem(message, "predict them separately, with different --out folders"));
            }
        }
    }
    Ok(arguments.images.iter().map(|image| output(arguments, image, "")).collect())
}

/// Returns the file for an image's label map, or with a suffix for its probabilities.
fn output(arguments: &PredictArgs, image: &Path, suffix: &str) -> PathBuf {
    arguments.out.join(format!("{}{suffix}{}", io::case_name(image), io::DEFAULT_ENDING))
}

/// Why an image was not predicted.
enum PredictFailure {
    /// The user stopped it.
    Stopped,
    /// The image is unusable.
    Image(String),
    /// A failure that would affect all images.
    Environment(CliError),
}

/// Writes the label map of an image and the volumes of its labels; returns the volumes as a line of text.
fn predict(
    arguments: &PredictArgs,
    predictors: &[Predictor],
    image: &Path,
    out: &Path,
    bar: &Windows,
) -> Result<String, PredictFailure> {
    let start = Instant::now();
    let subject = Subject { name: io::case_name(image), images: vec![image.to_owned()], label: None };
    let volume = subject.load().map_err(|error| PredictFailure::Image(error.to_string()))?;
    let grid = volume.grid;
    let prediction = predict_volume(predictors, volume, arguments.probabilities, bar)?;
    let failure = |error: &dyn std::error::Error| PredictFailure::Environment(CliError::failure(error));
    io::write_label(out, &grid, &prediction.label).map_err(|error| failure(&error))?;
    if let Some(probabilities) = &prediction.probabilities {
        let path = output(arguments, image, PROBABILITIES);
        io::write_image(&path, &grid, probabilities).map_err(|error| failure(&error))?;
    }
    let labels = ClassLabel::pairs(&predictors[0].labels);
    let volumes = label_volumes(&prediction.label, &grid, &labels);
    write_report(arguments, image, &grid, &volumes, start.elapsed().as_secs_f64())?;
    let texts: Vec<String> = volumes.iter().map(text).collect();
    Ok(texts.join(", "))
}

/// Predicts a volume; distinguishes errors of the image from those of the environment.
fn predict_volume(
    predictors: &[Predictor],
    volume: Volume,
    keep_probabilities: bool,
    bar: &Windows,
) -> Result<prediction::Prediction, PredictFailure> {
    let mut report = |done, total| bar.show(done, total);
    prediction::predict(predictors, volume, keep_probabilities, stop_flag(), &mut report).map_err(|error| match error {
        PredictError::Stopped => PredictFailure::Stopped,
        PredictError::Channels { .. } | PredictError::Preprocess(_) => PredictFailure::Image(error.to_string()),
        error => PredictFailure::Environment(predict_error(error)),
    })
}

fn write_report(
    arguments: &PredictArgs,
    image: &Path,
    grid: &Grid,
    labels: &[LabelVolume],
    seconds: f64,
) -> Result<(), PredictFailure> {
    let (shape, spacing_mm) = (grid.shape, grid.spacing());
    let report = Report { image, runs: &arguments.runs, shape, spacing_mm, labels, seconds };
    let text = serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n";
    let path = arguments.out.join(format!("{}.json", io::case_name(image)));
    write_atomically(&path, text.as_bytes()).map_err(|error| PredictFailure::Environment(run_error(error)))
}

/// Describes a label's volume and its connected components, as in `tumour 12.3 ml in 2 components`.
fn text(label: &LabelVolume) -> String {
    match label.components.len() {
        0 => format!("no {}", label.name),
        1 => format!("{} {:.1} ml", label.name, label.volume_ml),
        count => format!("{} {:.1} ml in {count} components", label.name, label.volume_ml),
    }
}

/// Converts an error of prediction: what is wrong with a run is a problem that the user can fix; the rest is a failure
/// of the environment.
pub(super) fn predict_error(error: PredictError) -> CliError {
    match error {
        PredictError::Run(error) => run_error(error),
        PredictError::Plan(problems) => CliError::Problems(problems),
        PredictError::NoWeights { .. } => CliError::problem(
            error.to_string(),
            "train the run further, or use the latest weights with --checkpoint last",
        ),
        PredictError::Differ { .. } => CliError::problem(error.to_string(), "predict with each run separately"),
        PredictError::Device(_) => CliError::problem(
            error.to_string(),
            "choose another with --device; `runner devices` lists what this binary and machine offer",
        ),
        PredictError::Invalid { .. } => CliError::Problem { message: error.to_string(), help: None },
        error => CliError::failure(&error),
    }
}

/// A progress bar over the windows of an image; shown only on a terminal.
pub(super) struct Windows {
    bar: Option<indicatif::ProgressBar>,
}

impl Windows {
    /// Creates a bar for an image.
    pub(super) fn new(name: &str, quiet: bool) -> Self {
        let is_shown = !quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = is_shown.then(|| {
            let template = "{msg} {wide_bar:.cyan/blue} {pos}/{len} windows · {eta} left";
            let style = indicatif::ProgressStyle::with_template(template).expect("the template is valid");
            indicatif::ProgressBar::new(0).with_style(style).with_message(name.to_owned())
        });
        Self { bar }
    }

    /// Shows how many windows are done.
    pub(super) fn show(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

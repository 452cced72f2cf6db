//! `runner predict`: label maps of new images, by one trained run or the mean of several.

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
  runner predict --run runs/quickstart/20260101-120000 scan.nii.gz --out predictions
  runner predict --run runs/liver/fold_0 --run runs/liver/fold_1 scans/*.nii.gz --out predictions --probabilities")]
pub struct PredictArgs {
    /// Folder of a trained run; repeat it for an ensemble, whose probabilities are averaged.
    #[arg(long = "run", value_name = "RUN_DIR", required = true)]
    runs: Vec<PathBuf>,
    /// Images to predict, `.nii` or `.nii.gz`.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Output folder, which gets `NAME.nii.gz` and `NAME.json` for each image.
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

/// Which weights of a run predict, and where.
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
    /// The device that was named.
    pub(super) fn device(&self) -> Option<DeviceName> {
        self.device
    }

    /// The name of a folder for what these weights make of a part of a run's subjects.
    pub(super) fn folder(&self, part: &str) -> String {
        match self.checkpoint {
            Which::Best => part.to_owned(),
            Which::Last => format!("{part}_last"),
        }
    }

    /// Reads a run folder.
    pub(super) fn open(&self, root: &Path) -> Result<Predictor, CliError> {
        let checkpoint = match self.checkpoint {
            Which::Best => prediction::Weights::Best,
            Which::Last => prediction::Weights::Last,
        };
        Predictor::open(root, checkpoint, self.device).map_err(predict_error)
    }
}

/// `NAME.json`: what was found, and by what.
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
                Err(PredictFailure::World(error)) => return Err(error),
                Err(PredictFailure::Image(message)) => {
                    let path = image.display().to_string();
                    // Errors of reading begin with the file that they are about.
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

/// Where each image's label map goes; no two files to one place, and none over an image.
fn outputs(arguments: &PredictArgs) -> Result<Vec<PathBuf>, CliError> {
    let mut images = BTreeSet::new();
    for image in &arguments.images {
        let help = "see that its path is written right";
        let whole = image.canonicalize();
        images.insert(whole.map_err(|error| CliError::problem(format!("{}: {error}", image.display()), help))?);
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
                return Err(CliError::problem(message, "predict them with two commands into two folders"));
            }
        }
    }
    Ok(arguments.images.iter().map(|image| output(arguments, image, "")).collect())
}

/// The file for an image's label map, or with a suffix for its probabilities.
fn output(arguments: &PredictArgs, image: &Path, suffix: &str) -> PathBuf {
    arguments.out.join(format!("{}{suffix}{}", io::case_name(image), io::DEFAULT_ENDING))
}

/// Why an image was not predicted.
enum PredictFailure {
    /// Ctrl-C.
    Stopped,
    /// The image is unusable.
    Image(String),
    /// A failure that every other image would have too.
    World(CliError),
}

/// Writes the label map of an image and what it holds; gives the latter as a line of text.
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
    let prediction = through(predictors, volume, arguments.probabilities, bar)?;
    let failure = |error: &dyn std::error::Error| PredictFailure::World(CliError::failure(error));
    io::write_label(out, &grid, &prediction.label).map_err(|error| failure(&error))?;
    if let Some(probabilities) = &prediction.probabilities {
        let path = output(arguments, image, PROBABILITIES);
        io::write_image(&path, &grid, probabilities).map_err(|error| failure(&error))?;
    }
    let labels = ClassLabel::pairs(&predictors[0].labels);
    let found = label_volumes(&prediction.label, &grid, &labels);
    write_report(arguments, image, &grid, &found, start.elapsed().as_secs_f64())?;
    let texts: Vec<String> = found.iter().map(text).collect();
    Ok(texts.join(", "))
}

/// Predicts a volume; what is wrong with the image is told apart from what is wrong with the world.
fn through(
    predictors: &[Predictor],
    volume: Volume,
    keep: bool,
    bar: &Windows,
) -> Result<prediction::Prediction, PredictFailure> {
    let mut tell = |done, total| bar.show(done, total);
    prediction::predict(predictors, volume, keep, stop_flag(), &mut tell).map_err(|error| match error {
        PredictError::Stopped => PredictFailure::Stopped,
        PredictError::Channels { .. } | PredictError::NotFinite { .. } | PredictError::Preprocess(_) => {
            PredictFailure::Image(error.to_string())
        }
        error => PredictFailure::World(predict_error(error)),
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
    let text = serde_json::to_string_pretty(&report).expect("findings are plain data") + "\n";
    let path = arguments.out.join(format!("{}.json", io::case_name(image)));
    write_atomically(&path, text.as_bytes()).map_err(|error| PredictFailure::World(run_error(error)))
}

/// A label's volume and its parts, as in `tumour 12.3 ml in 2 parts`.
fn text(found: &LabelVolume) -> String {
    match found.components.len() {
        0 => format!("no {}", found.name),
        1 => format!("{} {:.1} ml", found.name, found.volume_ml),
        parts => format!("{} {:.1} ml in {parts} parts", found.name, found.volume_ml),
    }
}

/// What a run lacks is the user's to mend; the rest is the world's.
pub(super) fn predict_error(error: PredictError) -> CliError {
    match error {
        PredictError::Run(error) => run_error(error),
        PredictError::Plan(problems) => CliError::Problems(problems),
        PredictError::NoWeights { .. } => CliError::problem(
            error.to_string(),
            "train the run further, or take the newest weights with --checkpoint last",
        ),
        PredictError::Differ { .. } => CliError::problem(error.to_string(), "predict with each of them by itself"),
        PredictError::Device(_) => {
            CliError::problem(error.to_string(), "--device takes another; `runner devices` lists what there is")
        }
        PredictError::Invalid { .. } => CliError::Problem { message: error.to_string(), help: None },
        error => CliError::failure(&error),
    }
}

/// How many windows of an image are done: a bar on the terminal, and nothing without one.
pub(super) struct Windows {
    bar: Option<indicatif::ProgressBar>,
}

impl Windows {
    /// Makes a bar for an image.
    pub(super) fn new(name: &str, quiet: bool) -> Self {
        let is_shown = !quiet && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let bar = is_shown.then(|| {
            let template = "{msg} {wide_bar:.cyan/blue} {pos}/{len} windows · {eta} left";
            let style = indicatif::ProgressStyle::with_template(template).expect("the template is valid");
            indicatif::ProgressBar::new(0).with_style(style).with_message(name.to_owned())
        });
        Self { bar }
    }

    /// Shows how many are done.
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

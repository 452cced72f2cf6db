//! `runner transform`: applies an experiment's transforms to one image.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::numbers::at_least_one;
use super::training::make_phantoms;
use super::{Execute, ExperimentOptions};
use crate::output_paths::{check_folder, make_folder};
use crate::terminal::bar::Bar;
use crate::terminal::{CliError, Exit};
use crate::volume_files;
use dataset::cache::FileHashes;
use dataset::channels::split_channel;
use dataset::subject::Subject;
use engine::experiment::check;
use engine::experiment::load::{self, Document};
use engine::experiment::median_spacing;
use engine::experiment::spec::Experiment;
use engine::preprocessing::FittedPreprocessing;
use engine::preprocessing::fitted::incoming;
use engine::training::validate;
use random::{Purpose, Rng, Seed};
use run_folder::event::Listener;
use transforms::lazy::{self, PipelineError, View};
use transforms::{Transform, TransformParams, sample_params, validate_params};
use volume::memory::memory_limit_bytes;
use volume::{Volume, format_spacing, io};

/// Apply an experiment's transforms to one image and write the result with the sampled parameters.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner transform experiments/quickstart.yaml scan.nii.gz --out dir
  runner transform experiments/quickstart.yaml scan.nii.gz --label seg.nii.gz --out dir --epoch 2
  runner transform experiments/quickstart.yaml scan.nii.gz --out again --draws dir/draws.json")]
pub struct TransformArgs {
    /// Experiment file (YAML); its dataset need not exist.
    experiment: PathBuf,
    /// Image, `.nii` or `.nii.gz`; several files are the channels of one image, in this order.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Label map of the image.
    #[arg(long)]
    label: Option<PathBuf>,
    /// Output folder for `image.nii.gz`, `label.nii.gz` and `draws.json`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which transforms to apply: only `preprocess`, or also the random `augment`; `patch_augment` is not applied.
    #[arg(long, value_enum, default_value_t)]
    stage: Stage,
    /// Epoch for which random parameters are sampled, counted from 1.
    #[arg(long, default_value = "1", value_parser = at_least_one)]
    epoch: NonZeroUsize,
    /// Reuse the sampled parameters of a `draws.json` that an earlier call wrote.
    #[arg(long, value_name = "FILE.json")]
    draws: Option<PathBuf>,
    #[command(flatten)]
    common: ExperimentOptions,
}

/// The part of the chain that is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Only the `preprocess` transforms.
    Preprocess,
    /// The `preprocess` and the `augment` transforms.
    #[default]
    Train,
}

/// `draws.json`: the transforms that were applied and their sampled parameters.
#[derive(Debug, Serialize, Deserialize)]
struct Applied {
    /// The subject name that the random stream depends on.
    subject: String,
    seed: u64,
    epoch: u64,
    /// The transforms of `preprocess` and `augment` together.
    chain: Vec<Transform>,
    /// The sampled parameters of each.
    draws: Vec<TransformParams>,
}

impl Execute for TransformArgs {
    /// Writes the volume after the chain, on its own grid.
    fn execute(&self) -> Result<Exit, CliError> {
        check_folder(&self.out)?;
        let mut document = load::load(&self.experiment, &self.common.set)?;
        for warning in check::check_document(&document)? {
            eprintln!("warning: {warning}");
        }
        if median_spacing::is_pending(&document.experiment) {
            document.experiment = self.common.plan(&document)?.experiment;
        }
        let experiment = &document.experiment;
        let (subject, epoch) = (self.subject(), self.epoch.get() as u64);
        let name = subject.name.clone();
        let source = subject.load().map_err(|error| CliError::load(&error))?;

        check::check_volume(&document, &name, &incoming(&source), memory_limit_bytes())?;

        let failure = |error: PipelineError| CliError::Failure(format!("{name}: {error}"));
        let read = self.draws.as_deref().map(read_params).transpose()?;
        let mut preprocessing = FittedPreprocessing::unfitted(experiment.preprocess_chain());
        if read.is_none() && preprocessing.chain.iter().any(|step| step.component().needs_fit()) {
            preprocessing = fitted(&document, &self.common)?;
        }
        lazy::require_finite(&source, &preprocessing.chain).map_err(failure)?;
        let augment = if self.stage == Stage::Train { augment(experiment) } else { &[] };
        let chain: Vec<Transform> = preprocessing.chain.iter().chain(augment).cloned().collect();
        let seed = Seed(experiment.seed);
        let (volume, params) = match read {
            Some((path, applied)) => {
                let params = matching(&path, applied, &chain)?;
                validate_params(&chain, &params, &incoming(&source)).map_err(|error| {
                    let help = "undo the edits, or sample new parameters without --draws";
                    CliError::problem(format!("{}: {error}", path.display()), help)
                })?;
                let volume = in_two_parts(source, &chain, preprocessing.chain.len(), &params).map_err(failure)?;
                (volume, params)
            }
            // The parameters of the subject's first patch of that epoch.
            None => {
                let mut rng = seed.stream(Purpose::Augment, epoch, &name, 0);
                sampled(source, &preprocessing, augment, &mut rng).map_err(failure)?
            }
        };
        let applied = Applied { subject: name, seed: experiment.seed, epoch, chain, draws: params };
        make_folder(&self.out)?;
        volume_files::write(&self.out, "", &volume, &[&applied.chain], &applied)?;
        let [x, y, z] = volume.grid.shape;
        let spacing = format_spacing(volume.grid.spacing());
        outln!("{x} x {y} x {z} voxels of {spacing}, {}", volume.grid.affine.orientation());
        outln!("{}", self.out.display());
        Ok(Exit::Done)
    }
}

impl TransformArgs {
    /// Returns the subject of the given files. Channels such as `case_0000` and `case_0001` are named without their number.
    fn subject(&self) -> Subject {
        let case = io::case_name(&self.images[0]);
        let name = match split_channel(&case) {
            Some((name, _)) if self.images.len() > 1 => name.to_owned(),
            _ => case,
        };
        Subject { name, images: self.images.clone(), label: self.label.clone() }
    }
}

/// Returns the steps of `augment`; warns of those of `patch_augment`, which need a patch.
fn augment(experiment: &Experiment) -> &[Transform] {
    if !experiment.patch_augment.is_empty() {
        eprintln!(
            "warning: patch_augment transforms patches, so it is not applied to the image; `runner patches --out DIR` writes the augmented patches"
        );
    }
    &experiment.augment
}

/// Applies a chain in two parts as training does, which caches the result of the first: no warp is composed across them.
fn in_two_parts(
    volume: Volume,
    chain: &[Transform],
    num_first: usize,
    params: &[TransformParams],
) -> Result<Volume, PipelineError> {
    let ((first, second), params) = (chain.split_at(num_first), params.split_at(num_first));
    let volume = View::new(volume, first, params.0)?.volume()?;
    View::new(volume, second, params.1)?.volume()
}

/// Preprocesses a volume and augments it with new parameters; returns it with the parameters of all steps.
fn sampled(
    source: Volume,
    preprocessing: &FittedPreprocessing,
    augment: &[Transform],
    rng: &mut Rng,
) -> Result<(Volume, Vec<TransformParams>), PipelineError> {
    let mut params = preprocessing.params(&source)?;
    let volume = View::new(source, &preprocessing.chain, &params)?.volume()?;
    let sampled = sample_params(augment, rng, &incoming(&volume));
    let sampled = lazy::resolve_from_volume(augment, &sampled, &volume)?;
    let volume = View::new(volume, augment, &sampled)?.volume()?;
    params.extend(sampled);
    Ok((volume, params))
}

/// Returns the preprocess chain, fitted to the training subjects of the experiment.
fn fitted(document: &Document, common: &ExperimentOptions) -> Result<FittedPreprocessing, CliError> {
    let plan = common.plan(document)?;
    let mut bar = Bar::new(validate::columns(&plan), 1, 1, common.quiet);
    make_phantoms(&plan, &common.cache.path(), &mut bar)?;
    let cache = common.cache.open();
    let (hashes, stop) = (FileHashes::load(&cache.root), AtomicBool::new(false));
    let mut emit = |event| {
        // An error of the terminal must not fail the command.
        let _ = bar.record(&event);
    };
    let fitted = FittedPreprocessing::fit(&plan, &cache, &hashes, &stop, &mut emit);
    Ok(fitted.map_err(|error| CliError::failure(&error))?.expect("the stop flag is never set"))
}

/// Reads a file of sampled parameters.
fn read_params(path: &Path) -> Result<(PathBuf, Applied), CliError> {
    let text = fs::read_to_string(path).map_err(|error| {
        CliError::problem(format!("cannot read {}: {error}", path.display()), "name the draws.json of an earlier call")
    })?;
    let applied = serde_json::from_str(&text).map_err(|error| {
        CliError::problem(
            format!("{} is not a file of sampled parameters: {error}", path.display()),
            "name the draws.json of an earlier call",
        )
    })?;
    Ok((path.to_owned(), applied))
}

/// Returns the sampled parameters of a file, which must belong to the same transforms.
fn matching(path: &Path, applied: Applied, chain: &[Transform]) -> Result<Vec<TransformParams>, CliError> {
    if applied.chain == chain && applied.draws.len() == chain.len() {
        return Ok(applied.draws);
    }
    Err(CliError::problem(
        format!("the parameters in {} were sampled for other transforms", path.display()),
        "use the experiment, the stage and the --set that they were sampled with",
    ))
}

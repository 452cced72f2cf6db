//! Makes run folders from a trained model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ImportError;
use crate::architecture::Network;
use crate::axes::Axes;
use crate::cascade::SecondStage;
use crate::checkpoint::Checkpoint;
use crate::document::Source;
use crate::find::{self, CheckpointChoice, DATASET, Fold, PLANS};
use crate::model_files::ModelFiles;
use crate::plans::{LABEL_MANAGER, Plans};
use crate::preprocessing;
use crate::targets::Targets;
use crate::write::{ImportedModel, Prepared, Writer};
use dataset::cache::hash_content;
use engine::experiment::check::is_folder_name;
use engine::run::manifest::{build, plan_as_json};
use run_folder::manifest::{ImportedFrom, Manifest, Status};

/// What to import, and as what.
#[derive(Clone, Debug)]
pub struct Import {
    /// The folder or the ZIP archive.
    pub path: PathBuf,
    /// The model among several, by its path or the end of it.
    pub model: Option<String>,
    /// The folds; all if empty.
    pub folds: Vec<Fold>,
    /// Which weights of each fold.
    pub checkpoint: CheckpointChoice,
    /// The folder or ZIP archive of the first stage, if the model is the second stage of a cascade and the first is not beside
    /// it.
    pub previous: Option<PathBuf>,
    /// The folder of all runs.
    pub runs_dir: PathBuf,
    /// The name of the folder of the folds; by default after dataset and configuration.
    pub name: Option<String>,
    /// The arguments of the command, for the manifest.
    pub command: Vec<String>,
}

/// Imports the folds of a trained model. Run folders appear complete, or not at all.
///
/// # Errors
/// When there is no such model, it needs something that this program lacks, a file is damaged, or a run folder of that name has
/// something else. Nothing is written then.
pub fn import(import: &Import) -> Result<ImportedModel, ImportError> {
    let mut files = ModelFiles::open(&import.path)?;
    let folder = find::model(&files, import.model.as_deref())?;
    let folds = find::folds(&files, &folder, &import.folds, import.checkpoint)?;
    let model = Model::open(&mut files, &folder)?;
    let mut writer = Writer::new(&import.runs_dir);
    let mut first_stage = None;
    for fold in &folds {
        let prepared = model.prepare_fold(import, &mut files, &folder, fold)?;
        let previous = match (&prepared.previous_stage, first_stage.take()) {
            (None, _) if import.previous.is_some() => {
                return Err(ImportError::problem(
                    format!("{} has no previous stage, but --previous was given", files.describe(&folder)),
                    "leave out --previous",
                ));
            }
            (None, _) => Vec::new(),
            (Some(_), Some(stage)) => stage,
            (Some(previous), None) => {
                SecondStage { folder: &folder, configuration: &prepared.configuration, previous }.first_stage(import)?
            }
        };
        writer.add(prepared, &previous)?;
        first_stage = Some(previous);
    }
    writer.finish()
}

/// The files that all folds of a model share.
pub(crate) struct Model {
    plans: Plans,
    plans_path: String,
    targets: Targets,
}

impl Model {
    /// Reads the files of the model in a folder.
    pub fn open(files: &mut ModelFiles, folder: &str) -> Result<Self, ImportError> {
        let plans_path = find::path(folder, &[PLANS]);
        let plans = Plans::parse(&files.read_text(&plans_path)?, &files.describe(&plans_path))?;
        let dataset_path = find::path(folder, &[DATASET]);
        if !files.has(&dataset_path) {
            return Err(ImportError::problem(
                format!("{} does not exist", files.describe(&dataset_path)),
                "copy the dataset.json of the training into the folder of the model; it has the labels and channels",
            ));
        }
        let targets = Targets::parse(&files.read_text(&dataset_path)?, &files.describe(&dataset_path))?;
        Ok(Self { plans, plans_path: files.describe(&plans_path), targets })
    }

    /// Translates a fold of the model in a folder.
    pub fn prepare_fold(
        &self,
        import: &Import,
        files: &mut ModelFiles,
        folder: &str,
        fold: &Fold,
    ) -> Result<Prepared, ImportError> {
        let path = find::path(folder, &[&fold.folder(), import.checkpoint.file()]);
        let file = files.local_file(&path)?;
        self.prepare(import, fold, file.path(), files.describe(&path))
    }

    /// Translates a fold; `described` names its file.
    fn prepare(&self, import: &Import, fold: &Fold, file: &Path, described: String) -> Result<Prepared, ImportError> {
        let checkpoint = Checkpoint::open(file, described)?;
        let Self { plans, plans_path, targets } = self;
        let configuration = plans.configuration(&checkpoint.configuration, plans_path)?;
        check_supported(plans)?;
        let axes = Axes::new(&plans.transpose_forward, configuration.patch_size.len())?;
        let mut network = Network::new(&configuration.architecture(plans_path)?, &axes)?;
        let notes = adapt(&mut network, &checkpoint);
        let preprocess = preprocessing::steps(plans, &configuration, targets.channels, &axes)?;
        let name = name(import, plans, &checkpoint)?;
        let description = format!(
            "{}, configuration {}, {} and {}",
            plans.dataset_name, checkpoint.configuration, checkpoint.trainer, plans.plans_name
        );
        let comment = comment(&description, fold, &checkpoint);
        let source = Source {
            name: &name,
            plans,
            configuration: &configuration,
            targets,
            network: &network,
            axes: &axes,
            preprocess: &preprocess,
            mirror_axes: &checkpoint.mirror_axes,
            fold: &fold.to_string(),
            epochs: checkpoint.epochs,
            comment: &comment,
            previous: configuration.previous_stage.as_deref(),
        };
        let (experiment, document) = source.document()?;
        let spec = &document.experiment;
        let weights = checkpoint.weights(&network, &axes)?;
        // The label map of the first stage is a channel for each label.
        let masks = configuration.previous_stage.as_ref().and(spec.data.labels.as_ref()).map_or(0, BTreeMap::len);
        let fits = spec.model.check_weights(&weights, targets.channels + masks, targets.num_classes());
        fits.map_err(|error| {
            ImportError::problem(
                format!(
                    "{}: {error}; {} has another network than plans.json states",
                    checkpoint.name, checkpoint.trainer
                ),
                "only networks as plans.json states them can be imported",
            )
        })?;
        let plan = commented(&comment) + &spec.to_yaml();
        let mut manifest = Manifest::begin(spec.device.to_string(), spec.seed, import.command.clone(), None, build());
        manifest.end(Status::Done, None);
        manifest.plan = plan_as_json(&plan);
        manifest.best_epoch = checkpoint.epochs;
        manifest.imported = Some(self.origin(fold, file, &checkpoint)?);
        let (configuration, previous_stage) = (checkpoint.configuration.clone(), configuration.previous_stage);
        let folder = fold.folder();
        Ok(Prepared {
            name,
            folder,
            configuration,
            previous_stage,
            experiment,
            plan,
            weights,
            manifest,
            description,
            notes,
        })
    }

    /// Describes what a fold was imported from.
    fn origin(&self, fold: &Fold, file: &Path, checkpoint: &Checkpoint) -> Result<ImportedFrom, ImportError> {
        let sha256 = hash_content(file);
        Ok(ImportedFrom {
            program: "nnU-Net".to_owned(),
            file: checkpoint.name.clone(),
            sha256: sha256.map_err(|source| ImportError::Read { path: checkpoint.name.clone(), source })?,
            dataset: self.plans.dataset_name.clone(),
            trainer: checkpoint.trainer.clone(),
            plans: self.plans.plans_name.clone(),
            configuration: checkpoint.configuration.clone(),
            fold: fold.to_string(),
        })
    }
}

/// Checks that a model needs no labels of another kind.
fn check_supported(plans: &Plans) -> Result<(), ImportError> {
    match plans.label_manager.as_deref() {
        None | Some(LABEL_MANAGER) => Ok(()),
        Some(manager) => Err(ImportError::problem(
            format!("the label manager is {manager}"),
            format!("only nnU-Net's own {LABEL_MANAGER} can be imported"),
        )),
    }
}

/// Changes a network to that of a trainer which replaces its normalization; returns what the plan does not show.
fn adapt(network: &mut Network, checkpoint: &Checkpoint) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(norm) = checkpoint.norm().filter(|norm| network.unet["norm"] != *norm) {
        notes.push(format!("{} replaces the normalization of plans.json: {norm}", checkpoint.trainer));
        network.unet["norm"] = norm.into();
    }
    if network.has_dropout {
        let note =
            "the network was trained with dropout, which the plan does not state; predictions do not depend on it";
        notes.push(note.to_owned());
    }
    notes
}

/// Returns the name of the folder of the folds.
fn name(import: &Import, plans: &Plans, checkpoint: &Checkpoint) -> Result<String, ImportError> {
    if let Some(name) = &import.name {
        return match is_folder_name(name) {
            true => Ok(name.clone()),
            false => Err(ImportError::problem(
                format!("{name} is not a valid folder name"),
                "--name takes letters, digits, `_` and `-`",
            )),
        };
    }
    let mut parts = vec![plans.dataset_name.as_str()];
    parts.extend(Some(checkpoint.trainer.as_str()).filter(|trainer| *trainer != "nnUNetTrainer"));
    parts.extend(Some(plans.plans_name.as_str()).filter(|plans| *plans != "nnUNetPlans"));
    parts.push(&checkpoint.configuration);
    let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let name: String =
        parts.join("_").chars().map(|character| if is_plain(character) { character } else { '_' }).collect();
    if is_folder_name(&name) {
        return Ok(name);
    }
    Err(ImportError::problem(format!("the names in plans.json make no folder name: {name}"), "give one with --name"))
}

/// Returns the comment at the top of an experiment.
fn comment(description: &str, fold: &Fold, checkpoint: &Checkpoint) -> String {
    let epochs = checkpoint.epochs.map(|epochs| format!(" after {epochs} epochs")).unwrap_or_default();
    format!(
        "A model of nnU-Net, imported by `runner import nnunet`:\n\
         {description}, fold {fold}{epochs}.\n\
         Axes are x, y, z of image files. preprocess, model and inference are those of the model. sampler, loss, optimizer,\n\
         schedule and train restate nnU-Net's default trainer, whose data augmentation is left out; they do not affect predictions."
    )
}

/// Returns the lines of a text as comments.
fn commented(comment: &str) -> String {
    comment.lines().map(|line| format!("# {line}\n")).collect()
}

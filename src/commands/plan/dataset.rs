//! The dataset that is planned for: a folder, or the section `data` of an experiment.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::Value;

use super::Bar;
use super::argument::{dataset_error, folder_name, missing};
use super::labels::DatasetLabels;
use crate::terminal::CliError;
use dataset::alignment::Role;
use dataset::sources::{self, DeclaredLabels, Listing, Source};
use dataset::subject::Subject;
use engine::experiment::check;
use engine::experiment::load::{self, Document, SetArgument};
use engine::experiment::plan::ClassLabel;
use engine::experiment::spec::Orientation as Written;
use engine::preprocessing::make_phantoms;
use planner::writer::DataSection;
use planner::{DatasetFacts, DatasetFingerprint, Orientation};
use run_folder::event::{Event, Listener};

/// The number of subjects from which on nnU-Net makes folds.
const MIN_FOR_FOLDS: usize = 5;
/// The file in which nnU-Net's raw data may state its folds.
const SPLITS_FILE: &str = "splits_final.json";
/// The name of channels without a name.
const UNNAMED: &str = "unnamed";

/// The dataset that is planned for.
pub(super) struct PlannedDataset {
    name: String,
    source: Source,
    /// The section `data`, without orientation and split.
    yaml: serde_yaml::Mapping,
    /// The orientation of the experiment, if it states one.
    orientation: Option<Written>,
    split: (String, String),
    /// The training subjects.
    subjects: Vec<Subject>,
    listing: Listing,
    label_entries: Option<usize>,
    has_regions: bool,
    labels: DatasetLabels,
}

impl PlannedDataset {
    /// Lists the subjects of a folder or of an experiment.
    ///
    /// # Errors
    /// When there is no dataset, or a subject lacks a file.
    pub fn open(path: &Path, set: &[SetArgument], cache_dir: &Path) -> Result<Self, CliError> {
        let dataset = if path.is_dir() {
            if let Some(first) = set.first() {
                let message =
                    format!("`--set {}` changes an experiment, but {} is a folder", first.key, path.display());
                return Err(CliError::problem(message, "give an experiment file instead of the folder"));
            }
            Self::of_folder(path, cache_dir)?
        } else if path.is_file() {
            Self::of_experiment(&load::load(path, set)?, cache_dir)?
        } else {
            return Err(missing(path));
        };
        dataset.check_complete()?;
        Ok(dataset)
    }

    fn of_folder(root: &Path, cache_dir: &Path) -> Result<Self, CliError> {
        let source = sources::of_folder(root).map_err(dataset_error)?;
        let listing = sources::list(&source, cache_dir).map_err(dataset_error)?;
        let written = serde_yaml::with::singleton_map_recursive::serialize(&source, serde_yaml::value::Serializer)
            .expect("a source is plain data");
        let yaml = serde_yaml::Mapping::from_iter([(Value::from("source"), written)]);
        let subjects = listing.subjects.clone();
        let splits = root.join(SPLITS_FILE);
        let split = if matches!(source, Source::Nnunet(_)) && splits.is_file() {
            let path = serde_json::to_string(&splits.display().to_string()).expect("a path is text");
            (
                format!("{{ file: {path}, index: 0 }}"),
                format!("The first fold of {SPLITS_FILE}, which nnU-Net uses if it exists."),
            )
        } else {
            default_split(subjects.len())
        };
        let label_entries = declared_entries(&listing.labels);
        let has_regions = !listing.labels.regions.is_empty();
        let name = folder_name(root);
        let labels = DatasetLabels { names: listing.labels.names.clone(), ignore: listing.labels.ignore };
        Ok(Self { name, source, yaml, orientation: None, split, subjects, listing, label_entries, has_regions, labels })
    }

    fn of_experiment(document: &Document, cache_dir: &Path) -> Result<Self, CliError> {
        let index = check::index_dataset(document, cache_dir)?;
        let data = &document.experiment.data;
        let mut yaml = document.tree.get("data").and_then(Value::as_mapping).cloned().unwrap_or_default();
        let orientation = yaml.remove("orientation").map(|_| data.orientation);
        let written_split = yaml.remove("split");
        let is_used =
            |subject: &&Subject| [&index.parts.train, &index.parts.val].iter().any(|part| part.contains(&subject.name));
        let subjects: Vec<Subject> = index.listing.subjects.iter().filter(is_used).cloned().collect();
        let split = match written_split {
            Some(split) => {
                let json = serde_json::to_string(&split).map_err(|error| CliError::failure(&error))?;
                (json, "As in the experiment that was planned for.".to_owned())
            }
            None => default_split(subjects.len()),
        };
        let targets = &index.targets;
        let entries = if targets.regions.is_empty() { targets.labels.len() } else { targets.regions.len() };
        let label_entries = Some(entries + 1 + usize::from(targets.ignore.is_some()));
        let has_regions = !targets.regions.is_empty();
        let stem = || document.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = document.experiment.name.clone().or_else(stem).unwrap_or_else(|| "dataset".to_owned());
        let source = data.source.clone();
        let labels = DatasetLabels {
            names: Some(ClassLabel::pairs(&targets.labels).into_iter().collect()),
            ignore: targets.ignore,
        };
        Ok(Self {
            name,
            source,
            yaml,
            orientation,
            split,
            subjects,
            listing: index.listing,
            label_entries,
            has_regions,
            labels,
        })
    }

    /// Checks that each subject has all its files.
    fn check_complete(&self) -> Result<(), CliError> {
        const MAX_SHOWN: usize = 5;
        let is_planned = |name: &String| self.subjects.iter().any(|subject| subject.name == *name);
        let mut missing: BTreeMap<bool, Vec<String>> = BTreeMap::new();
        for one in self.listing.incomplete.iter().filter(|one| is_planned(&one.subject)) {
            missing
                .entry(one.role == Role::Image)
                .or_default()
                .push(format!("subject {}: {}", one.subject, one.reason));
        }
        let Some((is_image, lines)) = missing.pop_last() else { return Ok(()) };
        let what = if is_image { "an image" } else { "a label map" };
        let more = lines.len().saturating_sub(MAX_SHOWN);
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        let shown = lines[..lines.len().min(MAX_SHOWN)].join("\n");
        Err(CliError::problem(
            format!("{} of {} subjects lack {what}:\n{shown}{more}", lines.len(), self.subjects.len()),
            "add the files, or remove the subjects from the dataset; a plan needs every training subject with its label map",
        ))
    }

    /// Returns the name, which is a valid folder name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the training subjects.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// Returns what is unusual about the dataset but prevents no plan.
    pub fn notes(&self) -> Vec<String> {
        let alone = (self.subjects.len() == 1).then(|| {
            "one subject cannot be split into training and validation, so the experiments are not valid before there are more"
                .to_owned()
        });
        self.listing.notes.iter().cloned().chain(alone).collect()
    }

    /// Returns the number of channels of an image, if the dataset declares it.
    pub fn num_channels(&self) -> Option<usize> {
        Some(self.listing.channel_names.len()).filter(|count| *count > 0)
    }

    /// Returns a sentence for each contradiction between the declared labels and those of the label maps.
    pub fn label_notes(&self, fingerprint: &DatasetFingerprint) -> Vec<String> {
        self.labels.contradictions(&fingerprint.labels, fingerprint.subjects.len())
    }

    /// Writes the subjects of a synthetic dataset that do not exist yet.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn make_phantoms(&self, cache_dir: &Path, bar: &mut Bar) -> Result<(), CliError> {
        let mut progress = |done, total| {
            // An error of the terminal must not fail the command.
            let _ = bar.record(&Event::Preparing { task: "generating phantoms", done, total });
        };
        make_phantoms(&self.source, cache_dir, &mut progress).map_err(|error| CliError::failure(&*error))
    }

    /// Checks that a fingerprint is that of these subjects.
    ///
    /// # Errors
    /// When it has others.
    pub fn check_same_subjects(&self, path: &Path, fingerprint: &DatasetFingerprint) -> Result<(), CliError> {
        let names = fingerprint.subjects.iter().map(|subject| &subject.name);
        if names.eq(self.subjects.iter().map(|subject| &subject.name)) {
            return Ok(());
        }
        let message = format!(
            "{} has {} subjects, which are not the {} of the dataset",
            path.display(),
            fingerprint.subjects.len(),
            self.subjects.len()
        );
        Err(CliError::problem(message, "leave `--fingerprint` out to read the subjects"))
    }

    /// Returns what is known of the dataset besides its volumes; `note` receives what was assumed.
    ///
    /// # Errors
    /// When the images have another number of channels than the dataset declares.
    pub fn facts(
        &self,
        fingerprint: &DatasetFingerprint,
        note: &mut dyn FnMut(String),
    ) -> Result<DatasetFacts, CliError> {
        let (declared, found) = (self.listing.channel_names.len(), fingerprint.channels.len());
        let channel_names = match declared {
            0 => {
                note(
                    "the dataset does not name its channels, so each scan is normalized by itself, as for MR; if they are CT, \
                     write `channel_names` in dataset.json and plan again"
                        .to_owned(),
                );
                vec![UNNAMED.to_owned(); found]
            }
            _ if declared == found => self.listing.channel_names.clone(),
            _ => {
                let message = format!("the dataset declares {declared} channels, but its images have {found}");
                return Err(CliError::problem(message, "correct `channel_names`, or `modality`, in dataset.json"));
            }
        };
        let label_entries = self.label_entries.unwrap_or_else(|| usize::from(fingerprint.max_label) + 1);
        // nnU-Net believes dataset.json, too.
        let is_whole = self.subjects.len() == self.listing.subjects.len();
        let num_training = self.listing.num_training.filter(|_| is_whole).unwrap_or(self.subjects.len());
        Ok(DatasetFacts { channel_names, label_entries, num_training })
    }

    /// Returns what the experiments say about their data.
    pub fn section(&self, fingerprint: &DatasetFingerprint, facts: &DatasetFacts) -> DataSection {
        let orientation = match self.orientation {
            Some(Written::RequireRas) => Orientation::RequireRas,
            Some(Written::Stored) => Orientation::Stored,
            Some(Written::Reorient) | None => Orientation::of(fingerprint),
        };
        DataSection {
            name: self.name.clone(),
            source: serde_yaml::to_string(&self.yaml).expect("a tree of plain values can be written"),
            split: self.split.clone(),
            channel_names: facts.channel_names.clone(),
            has_regions: self.has_regions,
            orientation,
        }
    }
}

/// Returns the split for a dataset that states none, and why.
fn default_split(subjects: usize) -> (String, String) {
    match subjects {
        MIN_FOR_FOLDS.. => (
            "{ nnunet: { index: 0 } }".to_owned(),
            "The first of nnU-Net's five folds; the others are `--set data.split.nnunet.index=1` to 4.".to_owned(),
        ),
        2.. => (
            format!("{{ fold: {{ index: 0, count: {subjects} }} }}"),
            "As many folds as subjects: nnU-Net needs five.".to_owned(),
        ),
        _ => (
            "{ first: 1 }".to_owned(),
            "One subject alone cannot be split: nothing is left to validate with.".to_owned(),
        ),
    }
}

/// Returns the number of entries of `labels` in `dataset.json`, if there are any.
fn declared_entries(labels: &DeclaredLabels) -> Option<usize> {
    let ignored = usize::from(labels.ignore.is_some());
    match &labels.names {
        Some(_) if !labels.regions.is_empty() => Some(labels.regions.len() + 1 + ignored),
        Some(names) => Some(names.len() + ignored),
        None => None,
    }
}

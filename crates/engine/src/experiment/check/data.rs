//! Rules between the experiment and the headers of its dataset.

use std::collections::BTreeMap;
use std::path::Path;

use super::channels::check_same_channels;
use super::{Diagnostics, loss_weights, previous, sampler, targets, training};
use crate::experiment::load::Document;
use crate::experiment::problem::{Problem, Problems};
use crate::experiment::spec::Orientation;
use crate::experiment::targets::Targets;
use crate::previous::PreviousRuns;
use dataset::alignment::{Role, axis_order, check_same_axis_order};
use dataset::cache::Cache;
use dataset::contained_labels::contained_labels;
use dataset::sources::{self, Incomplete, Listing};
use dataset::split::{self, Parts};
use dataset::subject::Subject;
use random::Seed;
use volume::Grid;
use volume::io::{ImageError, read_header};

/// A summary of the dataset, read from headers.
#[derive(Clone, Debug)]
pub struct DatasetSummary {
    /// The subjects of the source.
    pub listing: Listing,
    /// The split into training, validation and test subjects.
    pub parts: Parts,
    /// The groups of the split, and what it is stratified by, in words.
    pub groups: Option<String>,
    /// The grid of each subject's image file.
    pub grids: BTreeMap<String, Grid>,
    /// What the network is trained to predict.
    pub targets: Targets,
    /// The number of image channels.
    pub channels: usize,
    /// The runs whose predictions are further input channels of the network.
    pub previous: Option<PreviousRuns>,
    /// Patches per epoch.
    pub patches_per_epoch: usize,
    /// Optimizer steps per epoch.
    pub steps_per_epoch: usize,
    /// Warnings.
    pub warnings: Vec<String>,
}

impl DatasetSummary {
    /// Returns the number of input channels of the network: those of the image, and one for each label of the previous runs.
    pub(super) fn network_channels(&self) -> usize {
        self.channels + self.previous.as_ref().map_or(0, |previous| previous.labels().len())
    }
}

/// The subjects, split and labels of the dataset, known before any image is opened.
#[derive(Clone, Debug)]
pub struct DatasetIndex {
    /// The subjects of the source.
    pub listing: Listing,
    /// The split into training, validation and test subjects.
    pub parts: Parts,
    /// What the network is trained to predict.
    pub targets: Targets,
}

/// Checks all rules that need no images, so that damaged images can then be examined one by one.
///
/// # Errors
/// All problems that were found.
pub fn index_dataset(document: &Document, cache_dir: &Path) -> Result<DatasetIndex, Problems> {
    super::check_document(document)?;
    let mut diagnostics = Diagnostics::new(document);
    let (listing, parts) = list(&mut diagnostics, cache_dir)?;
    let targets = targets::check_with_dataset(&mut diagnostics, &listing.labels);
    diagnostics.finish()?;
    Ok(DatasetIndex { listing, parts, targets })
}

/// Reads the headers of the dataset and checks the experiment against them; phantoms need not exist yet.
///
/// # Errors
/// All problems that were found.
pub fn summarize_dataset(document: &Document, cache_dir: &Path) -> Result<DatasetSummary, Problems> {
    let mut diagnostics = Diagnostics::new(document);
    let experiment = &document.experiment;
    let (listing, parts) = list(&mut diagnostics, cache_dir)?;
    let (grids, channels) = match experiment.data.source.component().generator() {
        Some(generator) => {
            let grid = generator.grid();
            let grids = listing.subjects.iter().map(|subject| (subject.name.clone(), grid)).collect();
            (grids, generator.num_channels())
        }
        None => read_grids(&mut diagnostics, &listing),
    };
    check_complete(&mut diagnostics, &listing, &parts);
    check_grids(&mut diagnostics, &grids);
    sampler::check_maps(&mut diagnostics, &parts, &grids);
    loss_weights::check(&mut diagnostics, &listing, &parts);
    let (samples, per_step) = (experiment.queue.samples_per_volume.get(), experiment.patches_per_step());
    let (patches_per_epoch, steps_per_epoch) = experiment.epoch_size(parts.train.len());
    if patches_per_epoch > 0 && patches_per_epoch < per_step {
        diagnostics.warning(format!(
            "a step takes {per_step} patches, but an epoch has only {patches_per_epoch} ({} subjects with {samples} each), so every step has {patches_per_epoch}; raise queue.samples_per_volume or use smaller batches",
            parts.train.len()
        ));
    }
    training::check_warm_up(&mut diagnostics, steps_per_epoch * experiment.train.epochs.get());
    let targets = targets::check_with_dataset(&mut diagnostics, &listing.labels);
    let previous = previous::check_runs(&mut diagnostics, &parts, channels);
    let groups = split::describe(&experiment.data.split, &listing).ok().flatten();
    let warnings = diagnostics.finish()?;
    Ok(DatasetSummary {
        listing,
        parts,
        groups,
        grids,
        targets,
        channels,
        previous,
        patches_per_epoch,
        steps_per_epoch,
        warnings,
    })
}

/// Lists the subjects and splits them.
fn list(diagnostics: &mut Diagnostics, cache_dir: &Path) -> Result<(Listing, Parts), Problems> {
    let experiment = &diagnostics.document.experiment;
    let mut listing = match sources::list(&experiment.data.source, cache_dir) {
        Ok(listing) => listing,
        Err(error) => {
            let location = diagnostics.document.location("data.source");
            let problem = Problem::at(Some(location), error.to_string()).help(error.help()).in_dataset();
            diagnostics.problems.push(problem);
            return Err(Problems(std::mem::take(&mut diagnostics.problems)));
        }
    };
    let split = &experiment.data.split;
    if split.needs_labels() {
        read_labels(diagnostics, &mut listing, cache_dir)?;
    }
    let parts = split::parts(split, Seed(experiment.seed), &listing).unwrap_or_else(|error| {
        let key = error.key().map_or_else(String::new, |key| format!(".{}.{key}", split.name()));
        diagnostics.problem(&format!("data.split{key}"), error.to_string(), error.help());
        Parts::default()
    });
    if let Some(warning) = split::rare_values(split, &listing) {
        diagnostics.warning(warning);
    }
    listing.notes.iter().for_each(|note| diagnostics.warning(note.clone()));
    Ok((listing, parts))
}

/// Reads which labels each subject has, on which the split depends.
fn read_labels(diagnostics: &mut Diagnostics, listing: &mut Listing, cache_dir: &Path) -> Result<(), Problems> {
    const KEY: &str = "data.split.fold.stratify";
    let source = &diagnostics.document.experiment.data.source;
    if source.component().generator().is_some() {
        diagnostics.problem(
            KEY,
            format!("the labels of a {} are not known before a run makes it", source.name()),
            "remove `stratify`, or stratify by a `pattern` of the subjects' names",
        );
    } else {
        match contained_labels(listing, &Cache::new(cache_dir)) {
            Ok(labels) => listing.contained_labels = labels,
            Err(messages) => diagnostics.unreadable(messages),
        }
    }
    let problems = std::mem::take(&mut diagnostics.problems);
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Checks that no image is missing, and no label map of a subject that trains or validates.
fn check_complete(diagnostics: &mut Diagnostics, listing: &Listing, parts: &Parts) {
    let is_needed = |name: &String| parts.train.contains(name) || parts.val.contains(name);
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for Incomplete { subject, role, reason } in &listing.incomplete {
        match role {
            Role::Image => images.push(format!("subject {subject} lacks an image: {reason}")),
            Role::LabelMap if is_needed(subject) => {
                labels.push(format!("subject {subject} has no label map: {reason}"))
            }
            Role::LabelMap | Role::Prediction | Role::WeightMap => {}
        }
    }
    let has_links = images.iter().any(|message| message.contains("is a link to"));
    let help = match has_links {
        true => "fetch the files behind the links, for example with `git annex get` or `datalad get`",
        false => "restore the files, or leave them out of the list of subjects",
    };
    diagnostics.files("image files are missing", images, help);
    diagnostics.files(
        "training and validation subjects have no label map",
        labels,
        "add the label maps, or leave the subjects out of training and validation with `data.split: { file: … }`",
    );
}

/// Reads the grid of each image and the number of channels, which must be the same for all subjects.
fn read_grids(diagnostics: &mut Diagnostics, listing: &Listing) -> (BTreeMap<String, Grid>, usize) {
    let mut grids = BTreeMap::new();
    let mut channels_of: Vec<(&Subject, usize)> = Vec::new();
    let (mut unreadable, mut unsupported) = (Vec::new(), Vec::new());
    let mut unread = |subject: &Subject, error: ImageError| {
        let files = if error.is_wrong_path() { &mut unsupported } else { &mut unreadable };
        files.push(format!("subject {}: {error}", subject.name));
    };
    // By how they are fixed.
    let mut mismatches: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for subject in listing.subjects.iter().filter(|subject| !listing.lacks(&subject.name, Role::Image)) {
        let headers: Result<Vec<_>, _> = subject.images.iter().map(|path| read_header(path)).collect();
        let headers = match headers {
            Ok(headers) => headers,
            Err(error) => {
                unread(subject, error);
                continue;
            }
        };
        let Some(grid) = headers.first().map(|header| header.grid) else { continue };
        channels_of.push((subject, headers.iter().map(|header| header.channels).sum()));
        let images = subject.images.iter().zip(headers).map(|(path, header)| (Role::Image, path, Ok(header)));
        let labels = subject.label.iter().map(|path| (Role::LabelMap, path, read_header(path)));
        let reorients = diagnostics.document.experiment.reorients();
        for (role, path, header) in images.chain(labels) {
            let reference = (Role::Image, &grid);
            let compared = match header {
                Err(error) => {
                    unread(subject, error);
                    continue;
                }
                Ok(header) if reorients => axis_order(role, path, &header.grid, reference).map(drop),
                Ok(header) => check_same_axis_order(role, path, &header.grid, reference),
            };
            if let Err(mismatch) = compared {
                let (path, what) = (path.display(), mismatch.what());
                let message = format!("subject {}: {role} {path}: {what}", subject.name);
                mismatches.entry(mismatch.fix()).or_default().push(message);
            }
        }
        grids.insert(subject.name.clone(), grid);
    }
    diagnostics.unreadable(unreadable);
    diagnostics.files("files cannot be read", unsupported, "convert the files, or remove the subjects");
    let channels = check_same_channels(diagnostics, listing, &channels_of);
    for (fix, messages) in mismatches {
        diagnostics.files("files have other grids than their images", messages, &fix);
    }
    (grids, channels)
}

fn check_grids(diagnostics: &mut Diagnostics, grids: &BTreeMap<String, Grid>) {
    let other: Vec<String> = grids
        .iter()
        .filter(|(_, grid)| grid.affine.orientation() != "RAS")
        .map(|(name, grid)| format!("{name} ({})", grid.affine.orientation()))
        .collect();
    if diagnostics.document.experiment.data.orientation == Orientation::RequireRas && !other.is_empty() {
        let message = format!(
            "expected every volume in RAS orientation, got {} that are not: {}",
            other.len(),
            first_names(&other)
        );
        diagnostics.problem(
            "data.orientation",
            message,
            "remove the key: by default volumes are reoriented when they are read",
        );
    }
    let mut orientations: BTreeMap<String, usize> = BTreeMap::new();
    grids.values().for_each(|grid| *orientations.entry(grid.affine.orientation()).or_default() += 1);
    if diagnostics.document.experiment.data.orientation == Orientation::Stored && orientations.len() > 1 {
        let counts: Vec<String> = orientations.iter().map(|(name, count)| format!("{count} in {name}")).collect();
        diagnostics.warning(format!(
            "data.orientation: stored leaves {} volumes in different orientations, {}, so the axes of one are not those of another; use `reorient`, unless a network was trained so",
            grids.len(),
            counts.join(", ")
        ));
    }
    let oblique: Vec<String> =
        grids.iter().filter(|(_, grid)| grid.affine.is_oblique()).map(|(name, _)| name.clone()).collect();
    if !oblique.is_empty() {
        diagnostics.warning(format!(
            "{} volumes are oblique and stay oblique, since reorienting does not interpolate: {}",
            oblique.len(),
            first_names(&oblique)
        ));
    }
}

/// Returns the first names of a list.
pub(super) fn first_names(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown}, ...") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::load::parse;

    const VALID: &str = "\
data: { source: { phantom: { subjects: 10 } } }
sampler: { uniform: { patch: [32, 32, 32] } }
model: { unet: { widths: [8, 16] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
train: { epochs: 2 }
";

    #[test]
    fn phantoms_are_summarized_without_being_created() {
        let folder = tempfile::tempdir().unwrap();
        let summary = summarize_dataset(&parse("a.yaml", VALID).unwrap(), folder.path()).unwrap();
        assert_eq!((summary.parts.train.len(), summary.parts.val.len()), (8, 2));
        assert_eq!((summary.patches_per_epoch, summary.steps_per_epoch), (40, 20));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn volumes_in_another_orientation_are_named() {
        let root = Path::new("../../../shared/data/STS_CT");
        if !root.exists() {
            eprintln!("skipped: no {}", root.display());
            return;
        }
        let text = VALID.replace("phantom: { subjects: 10 }", &format!("msd: {{ root: {} }}", root.display()));
        let text = text.replace("data: {", "data: { orientation: require_RAS,");
        let problems = summarize_dataset(&parse("a.yaml", &text).unwrap(), Path::new("cache")).unwrap_err();
        assert!(problems.0[0].message.contains("LPS"), "{problems}");
        let reoriented = text.replace("orientation: require_RAS,", "");
        summarize_dataset(&parse("a.yaml", &reoriented).unwrap(), Path::new("cache")).unwrap();
    }

    #[test]
    fn the_number_of_class_weights_must_match_the_labels_of_the_dataset() {
        let text = VALID.replace("dice: {}", "dice: { class_weights: [1, 1] }");
        let problems = summarize_dataset(&parse("a.yaml", &text).unwrap(), Path::new("cache")).unwrap_err();
        assert!(problems.0[0].message.contains("expected 3 class weights, got 2"), "{problems}");
    }

    #[test]
    fn a_step_of_more_patches_than_an_epoch_has_causes_a_warning() {
        let warnings = |batch: usize| {
            let text = VALID.replace("epochs: 2", &format!("epochs: 2, batch_size: {batch}"));
            summarize_dataset(&parse("a.yaml", &text).unwrap(), Path::new("cache")).unwrap().warnings
        };
        assert_eq!(warnings(40), [""; 0]);
        let warning = &warnings(41)[0];
        assert!(
            warning.starts_with("a step takes 41 patches, but an epoch has only 40 (8 subjects with 5 each)"),
            "{warning}"
        );
    }

    #[test]
    fn the_file_with_other_channels_and_files_of_other_formats_are_named() {
        use volume::{Affine, Voxels, io};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let grid = Grid { shape: [32; 3], affine: Affine::IDENTITY };
        for (name, channels) in [("a", 4), ("b", 1), ("c", 1)] {
            let image = Voxels::new(channels, grid.shape, vec![0.0; channels * grid.num_voxels()]);
            io::write_image(&path(&format!("{name}.nii")), &grid, &image).unwrap();
            let label = Voxels::new(1, grid.shape, vec![1; grid.num_voxels()]);
            io::write_label(&path(&format!("{name}_label.nii")), &grid, &label).unwrap();
        }
        let problems = |files: &str| {
            std::fs::write(path("cases.csv"), format!("subject,image,label\n{files}")).unwrap();
            let table = format!("table: {{ file: \"{}\" }}", path("cases.csv").display());
            let text = VALID
                .replace("phantom: { subjects: 10 }", &table)
                .replace("source:", "labels: { 1: a }, split: { first: 1 }, source:");
            summarize_dataset(&parse("a.yaml", &text).unwrap(), Path::new("cache")).unwrap_err()
        };
        let found = problems("a,a.nii,a_label.nii\nb,b.nii,b_label.nii\nc,c.nii,c_label.nii\n");
        let message = format!("subject a: {} has 4 channels, but most images have 1", path("a.nii").display());
        assert!(found.0[0].message.ends_with(&message), "{found}");
        std::fs::write(path("a.nrrd"), "NRRD0004").unwrap();
        let found = problems("a,a.nrrd,a_label.nii\nb,b.nii,b_label.nii\n");
        assert!(found.0[0].message.contains("a.nrrd: NRRD cannot be read; convert it"), "{found}");
        assert!(!found.0[0].is_failure);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_is_a_problem() {
        let text = format!("{VALID}schedule: {{ cosine: {{ warmup_steps: 40 }} }}\n");
        let problems = summarize_dataset(&parse("a.yaml", &text).unwrap(), Path::new("cache")).unwrap_err();
        let location = problems.0[0].location.clone().unwrap();
        assert_eq!(&location.source.text[location.span], "40");
    }
}

//! Run folders as they are found, of any age and in any state.
//!
//! A file that is missing or unreadable takes away what it would have told and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use walkdir::WalkDir;

use dataset::split::Parts;
use run_folder::folder::RunFolder;
use run_folder::manifest::{FORMAT, Status};
use run_folder::table::{Table, is_better, whole_lines};

/// The column that says which epoch is best, where a run does not say.
const DEFAULT_MONITOR: &str = "val_dice_mean";

/// What lies below a folder.
#[derive(Clone, Debug, Default)]
pub struct FoundRuns {
    /// The runs, by name.
    pub runs: Vec<Run>,
    /// Folders that look like runs and cannot be read, with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// A run as its folder tells it.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Its folder, from the folder of runs.
    pub name: String,
    /// How it stands; unknown where there is no manifest.
    pub status: Option<Status>,
    /// Whether it is said to be running and no process is at it.
    pub is_dead: bool,
    /// Why it failed or was ended early.
    pub reason: Option<String>,
    /// When it began, RFC 3339.
    pub start: String,
    /// A hash over its input files.
    pub data: Option<String>,
    /// Where it was trained.
    pub device: String,
    /// The git commit that it was started at.
    pub git_commit: String,
    /// `plan.yaml`, or what stands in `experiment.yaml`.
    pub plan: Json,
    /// The subjects of each part.
    pub parts: Option<Parts>,
    /// `metrics.csv`.
    pub metrics: Table,
    /// `cases.csv`.
    pub cases: Cases,
    /// How long its epochs took together.
    pub seconds: Option<f64>,
    /// The most memory that it used.
    pub peak_memory_bytes: Option<f64>,
}

/// The scores of validation cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// The names of the scores, such as `dice_liver`.
    pub columns: Vec<String>,
    /// For each epoch and subject a score a column.
    pub epochs: BTreeMap<usize, BTreeMap<String, Vec<Option<f64>>>>,
}

/// Finds runs below a folder, at any depth; the folder may be a run itself.
///
/// # Errors
/// When the folder cannot be read.
pub fn find(root: &Path) -> io::Result<FoundRuns> {
    fs::read_dir(root)?;
    let mut found = FoundRuns::default();
    let mut folders = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = folders.next() {
        // A folder that cannot be entered, or a link that leads nowhere, holds no run that could be read.
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        if !entry.file_type().is_dir() || !(path.join("manifest.json").exists() || path.join("metrics.csv").exists()) {
            continue;
        }
        folders.skip_current_dir();
        let name = name(root, path);
        match read(path, name.clone()) {
            Ok(run) => found.runs.push(run),
            Err(reason) => found.unreadable.push((name, reason)),
        }
    }
    Ok(found)
}

/// The path of a run from the folder of runs; of a folder that is the run its own name.
fn name(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    if below.as_os_str().is_empty() {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        return whole.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    }
    below.to_string_lossy().into_owned()
}

fn read(path: &Path, name: String) -> Result<Run, String> {
    let manifest = manifest(&path.join("manifest.json"))?;
    let text = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    let metrics = match Table::read(&path.join("metrics.csv")) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => Table::default(),
        Err(error) => return Err(format!("metrics.csv: {error}")),
    };
    let timing = Table::read(&path.join("timing.csv")).unwrap_or_default();
    let column = |name| timing.points("epoch", name).into_iter().map(|(_, value)| value);
    let status = serde_json::from_value(manifest["status"].clone()).ok();
    Ok(Run {
        name,
        status,
        is_dead: status == Some(Status::Running) && !RunFolder::is_held(path),
        reason: manifest["error"].as_str().or(manifest["pruned"].as_str()).map(str::to_owned),
        start: text("start"),
        data: manifest["data_fingerprint"].as_str().map(str::to_owned),
        device: text("device"),
        git_commit: text("git_commit"),
        plan: plan(path)?,
        parts: fs::read(path.join("split.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()),
        metrics,
        cases: Cases::read(&path.join("cases.csv")).map_err(|error| format!("cases.csv: {error}"))?,
        seconds: (!timing.rows.is_empty()).then(|| column("seconds").sum()),
        peak_memory_bytes: column("peak_memory_bytes").reduce(f64::max),
    })
}

fn is_missing(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound)
}

fn manifest(path: &PathBuf) -> Result<Json, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Json::Null),
        Err(error) => return Err(format!("manifest.json: {error}")),
    };
    let manifest: Json = serde_json::from_str(&text).map_err(|error| format!("manifest.json: {error}"))?;
    match manifest["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => {
            Err(format!("manifest.json: its format is {format}, newer than {FORMAT}; update the program"))
        }
        _ => Ok(manifest),
    }
}

fn plan(path: &Path) -> Result<Json, String> {
    for file in ["plan.yaml", "experiment.yaml"] {
        if let Ok(text) = fs::read_to_string(path.join(file)) {
            let tree: serde_yaml::Value = serde_yaml::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
            let plan = serde_json::to_value(tree).map_err(|error| format!("{file}: {error}"))?;
            return if plan.is_object() { Ok(plan) } else { Err(format!("{file}: expected keys with values")) };
        }
    }
    Ok(Json::Null)
}

impl Cases {
    /// Reads `cases.csv`; where there is none, nothing was scored.
    fn read(path: &Path) -> Result<Self, csv::Error> {
        let bytes = match whole_lines(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
        let columns: Vec<String> = reader.headers()?.iter().skip(2).map(str::to_owned).collect();
        let mut epochs: BTreeMap<usize, BTreeMap<String, Vec<Option<f64>>>> = BTreeMap::new();
        for row in reader.records() {
            let row = row?;
            let (Some(Ok(epoch)), Some(subject)) = (row.get(0).map(str::parse), row.get(1)) else { continue };
            let score = |place| row.get(place + 2)?.parse().ok().filter(|score: &f64| score.is_finite());
            let scores = (0..columns.len()).map(score).collect();
            epochs.entry(epoch).or_default().insert(subject.to_owned(), scores);
        }
        Ok(Self { columns, epochs })
    }
}

impl Run {
    /// A value of the plan by its path.
    pub fn planned(&self, keys: &[&str]) -> &Json {
        keys.iter().fold(&self.plan, |node, key| &node[*key])
    }

    /// Whether a file says who validates.
    pub fn is_split_by_file(&self) -> bool {
        !self.planned(&["data", "split", "file"]).is_null()
    }

    /// The experiment's seed.
    pub fn seed(&self) -> Option<u64> {
        self.plan["seed"].as_u64()
    }

    /// The column of `metrics.csv` that says which epoch is best.
    pub fn monitor(&self) -> &str {
        self.planned(&["checkpoint", "monitor"]).as_str().unwrap_or(DEFAULT_MONITOR)
    }

    /// The labels whose Dice is in the mean: not the regions.
    pub fn labels(&self) -> Vec<String> {
        let (regions, all_cases) = (self.regions(), self.all_cases());
        let scored = self.cases.columns.iter().filter_map(|name| name.strip_prefix("dice_"));
        let recorded = self.metrics.names.iter().filter_map(|name| name.strip_prefix("val_dice_"));
        let mut labels: Vec<String> = Vec::new();
        let is_label = |label: &&str| *label != "mean" && !regions.contains(*label) && !all_cases.contains(*label);
        for label in scored.chain(recorded).filter(is_label) {
            if !labels.iter().any(|known| known == label) {
                labels.push(label.to_owned());
            }
        }
        labels
    }

    /// What `dice_` is followed by in the columns of all cases together.
    fn all_cases(&self) -> BTreeSet<String> {
        let mut metrics = self.plan["metrics"].as_array().into_iter().flatten();
        if !metrics.any(|metric| metric["dice"]["global"] == true) {
            return BTreeSet::new();
        }
        let classes = self.metrics.names.iter().filter_map(|name| name.strip_prefix("val_dice_"));
        classes.map(|class| format!("global_{class}")).collect()
    }

    fn regions(&self) -> BTreeSet<String> {
        let metrics = self.plan["metrics"].as_array().into_iter().flatten();
        let regions = metrics.filter_map(|metric| metric["dice"]["regions"].as_object());
        regions.flat_map(|regions| regions.keys().cloned()).collect()
    }

    /// The subjects that validate.
    pub fn validation(&self) -> Vec<String> {
        if let Some(parts) = &self.parts {
            let mut subjects = parts.val.clone();
            subjects.sort();
            return subjects;
        }
        let largest = self.cases.epochs.values().max_by_key(|cases| cases.len());
        largest.map(|cases| cases.keys().cloned().collect()).unwrap_or_default()
    }

    /// Epochs that have ended.
    pub fn epochs(&self) -> usize {
        let last = self.metrics.rows.len().checked_sub(1);
        last.and_then(|row| self.metrics.value(row, "epoch")).map_or(0, |epoch| epoch as usize)
    }

    /// The epochs after which whole volumes were scored, each with the mean Dice over labels.
    pub fn scored_epochs(&self) -> Vec<usize> {
        let rows = 0..self.metrics.rows.len();
        let is_scored = |row: &usize| self.metrics.value(*row, DEFAULT_MONITOR).is_some();
        rows.filter(is_scored).filter_map(|row| Some(self.metrics.value(row, "epoch")? as usize)).collect()
    }

    /// Of the scored epochs the best by the run's own monitor; of equal ones the first, as training keeps it.
    pub fn best_epoch(&self) -> Option<usize> {
        let monitor = self.monitor();
        let mut best: Option<(usize, f64)> = None;
        for epoch in self.scored_epochs() {
            let Some(value) = self.metric(epoch, monitor) else { continue };
            if best.is_none_or(|(_, old)| is_better(monitor, value, old)) {
                best = Some((epoch, value));
            }
        }
        best.map(|(epoch, _)| epoch)
    }

    /// A number of `metrics.csv`.
    pub fn metric(&self, epoch: usize, column: &str) -> Option<f64> {
        let rows = 0..self.metrics.rows.len();
        let row = rows.rev().find(|row| self.metrics.value(*row, "epoch") == Some(epoch as f64))?;
        self.metrics.value(row, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    const METRICS: &str = "epoch,step,val_loss,val_dice_liver,val_dice_whole,val_dice_mean\n1,2,0.9,0.5,0.6,0.5\n2,4,0.7,,,\n3,6,0.8,0.5,0.6,0.5\n4,8,0.6,0.4,0.7,0.4\n";

    #[test]
    fn runs_are_found_at_any_depth_and_the_broken_ones_named() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("a/one/manifest.json", r#"{"format": 1, "status": "done"}"#),
                ("a/one/metrics.csv", METRICS),
                ("b/c/two/metrics.csv", METRICS),
                ("b/unreadable/manifest.json", "{"),
                ("b/newer/manifest.json", r#"{"format": 99}"#),
                ("b/notes.txt", "none"),
            ],
        );
        let found = find(root.path()).unwrap();
        let names: Vec<&str> = found.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["a/one", "b/c/two"]);
        assert_eq!((found.runs[0].status, found.runs[1].status), (Some(Status::Done), None));
        assert!(found.unreadable[0].1.starts_with("manifest.json: EOF"), "{:?}", found.unreadable);
        assert!(found.unreadable[1].1.contains("newer than 1"));
        assert_eq!(find(&root.path().join("a/one")).unwrap().runs[0].name, "one");
        assert!(find(&root.path().join("absent")).is_err());
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_best_scored_ones() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("metrics.csv", METRICS)]);
        let by_dice = find(root.path()).unwrap().runs.remove(0);
        assert_eq!((by_dice.epochs(), by_dice.scored_epochs(), by_dice.best_epoch()), (4, vec![1, 3, 4], Some(1)));
        write(root.path(), &[("plan.yaml", "checkpoint: {monitor: val_loss}\n")]);
        let by_loss = find(root.path()).unwrap().runs.remove(0);
        assert_eq!(by_loss.best_epoch(), Some(4));
    }

    #[test]
    fn regions_are_no_labels_and_a_torn_case_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("metrics.csv", METRICS),
                ("plan.yaml", "metrics: [{dice: {regions: {whole: [1, 2]}}}]\n"),
                ("cases.csv", "epoch,subject,dice_liver,dice_whole\n1,a,0.5,\n1,b,0.25,1\n2,a,0.7"),
            ],
        );
        let run = find(root.path()).unwrap().runs.remove(0);
        assert_eq!(run.labels(), ["liver"]);
        assert_eq!(run.cases.epochs[&1]["a"], [Some(0.5), None]);
        assert_eq!(run.cases.epochs.len(), 1);
        assert_eq!(run.validation(), ["a", "b"]);
    }

    #[test]
    fn dice_of_all_cases_together_is_no_label() {
        let root = tempfile::tempdir().unwrap();
        let metrics = "epoch,val_dice_liver,val_dice_mean,val_dice_global_liver\n1,0.5,0.5,0.6\n";
        let plan = "metrics: [{hd: {}}, {dice: {global: true}}]\n";
        write(root.path(), &[("metrics.csv", metrics), ("plan.yaml", plan)]);
        assert_eq!(find(root.path()).unwrap().runs.remove(0).labels(), ["liver"]);
    }
}

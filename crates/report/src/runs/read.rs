//! Searching a folder for runs and reading them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value as Json;
use walkdir::{DirEntry, WalkDir};

use super::{Cases, Run};
use metrics::Metric;
use run_folder::folder::{LATEST, RunFolder};
use run_folder::manifest::{FORMAT, Status};
use run_folder::table::{Table, complete_lines};

/// The runs below a folder.
#[derive(Clone, Debug, Default)]
pub struct FoundRuns {
    /// The runs, sorted by name.
    pub runs: Vec<Run>,
    /// Run folders that cannot be read, each with the reason.
    pub unreadable: Vec<(String, String)>,
}

/// Reads all runs below a folder, at any depth; the folder may itself be a run.
///
/// # Errors
/// If the folder cannot be read.
pub fn find(root: &Path) -> io::Result<FoundRuns> {
    fs::read_dir(root)?;
    let mut found = FoundRuns::default();
    // `latest` names a run that has a folder of its own.
    let is_latest = |entry: &DirEntry| entry.depth() > 0 && entry.path_is_symlink() && entry.file_name() == LATEST;
    let folders = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    let mut folders = folders.filter_entry(|entry| !is_latest(entry));
    while let Some(entry) = folders.next() {
        // Folders without permission and dangling links are skipped.
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

/// Returns the path of a run relative to the folder of runs, or its file name if it is that folder.
fn name(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    if relative.as_os_str().is_empty() {
        let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        return absolute.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    }
    relative.to_string_lossy().into_owned()
}

fn read(path: &Path, name: String) -> Result<Run, String> {
    let manifest = read_manifest(&path.join("manifest.json"))?;
    let text = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    let metrics = match Table::read(&path.join("metrics.csv")) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => Table::default(),
        Err(error) => return Err(format!("metrics.csv: {error}")),
    };
    let timing = Table::read(&path.join("timing.csv")).unwrap_or_default();
    let column = |name| timing.points("epoch", name).into_iter().map(|(_, value)| value);
    let status = serde_json::from_value(manifest["status"].clone()).ok();
    let plan = read_plan(path)?;
    Ok(Run {
        name,
        status,
        is_interrupted: status == Some(Status::Running) && !RunFolder::is_locked(path),
        is_imported: manifest["imported"].is_object(),
        reason: manifest["error"].as_str().or(manifest["pruned"].as_str()).map(str::to_owned),
        start: text("start"),
        data_fingerprint: manifest["data_fingerprint"].as_str().map(str::to_owned),
        device: text("device"),
        git_commit: text("git_commit"),
        declared: declared_metrics(&plan),
        plan,
        parts: fs::read(path.join("split.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()),
        metrics,
        cases: read_cases(&path.join("cases.csv")).map_err(|error| format!("cases.csv: {error}"))?,
        seconds: (!timing.rows.is_empty()).then(|| column("seconds").sum()),
        peak_memory_bytes: column("peak_memory_bytes").reduce(f64::max),
    })
}

fn is_missing(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound)
}

fn read_manifest(path: &Path) -> Result<Json, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Json::Null),
        Err(error) => return Err(format!("manifest.json: {error}")),
    };
    let manifest: Json = serde_json::from_str(&text).map_err(|error| format!("manifest.json: {error}"))?;
    match manifest["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => {
            Err(format!("manifest.json: format {format} is newer than {FORMAT}; update runner"))
        }
        _ => Ok(manifest),
    }
}

/// Returns the metrics of a plan; by default Dice. A metric of a newer version is left out.
pub(crate) fn declared_metrics(plan: &Json) -> Vec<Metric> {
    match plan["metrics"].as_array() {
        Some(metrics) => metrics.iter().filter_map(|metric| serde_json::from_value(metric.clone()).ok()).collect(),
        None => vec![metrics::Dice::default().into()],
    }
}

fn read_plan(path: &Path) -> Result<Json, String> {
    for file in ["plan.yaml", "experiment.yaml"] {
        if let Ok(text) = fs::read_to_string(path.join(file)) {
            let tree: serde_yaml::Value = serde_yaml::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
            let mut plan = serde_json::to_value(tree).map_err(|error| format!("{file}: {error}"))?;
            remove_computed_values(&mut plan);
            return if plan.is_object() { Ok(plan) } else { Err(format!("{file}: expected keys with values")) };
        }
    }
    Ok(Json::Null)
}

/// Replaces values that were computed from the training subjects by the words that asked for them, as in the experiment:
/// they differ from fold to fold, though the recipe is the same.
fn remove_computed_values(node: &mut Json) {
    match node {
        Json::Object(map) => {
            for (name, node) in map {
                if name == "spacing_mm" && node.get("median").is_some() {
                    *node = "median".into();
                }
                remove_computed_values(node);
            }
        }
        Json::Array(items) => items.iter_mut().for_each(remove_computed_values),
        _ => {}
    }
}

/// Reads `cases.csv`; without the file there are no scores.
fn read_cases(path: &Path) -> Result<Cases, csv::Error> {
    let bytes = match complete_lines(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cases::default()),
        Err(error) => return Err(error.into()),
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let columns: Vec<String> = reader.headers()?.iter().skip(2).map(str::to_owned).collect();
    let mut epochs: BTreeMap<usize, BTreeMap<String, Vec<Option<f64>>>> = BTreeMap::new();
    for row in reader.records() {
        let row = row?;
        let (Some(Ok(epoch)), Some(subject)) = (row.get(0).map(str::parse), row.get(1)) else { continue };
        let score = |column| row.get(column + 2)?.parse().ok().filter(|score: &f64| score.is_finite());
        let scores = (0..columns.len()).map(score).collect();
        epochs.entry(epoch).or_default().insert(subject.to_owned(), scores);
    }
    Ok(Cases { columns, epochs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_at_any_depth_and_unreadable_ones_listed() {
        let root = tempfile::tempdir().unwrap();
        let metrics = "epoch,step,val_dice_mean\n1,2,0.5\n";
        for (name, text) in [
            ("a/one/manifest.json", r#"{"format": 1, "status": "done"}"#),
            ("a/one/metrics.csv", metrics),
            ("b/c/two/metrics.csv", metrics),
            ("b/broken/manifest.json", "{"),
            ("b/newer/manifest.json", r#"{"format": 99}"#),
            ("b/notes.txt", "none"),
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
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
    fn the_median_spacing_of_a_fold_is_not_part_of_the_recipe() {
        let root = tempfile::tempdir().unwrap();
        let read = |spacing: &str| {
            let text =
                format!("preprocess: [{{ maybe: {{ steps: [{{ resample: {{ spacing_mm: {spacing} }} }}] }} }}]\n");
            fs::write(root.path().join("plan.yaml"), text).unwrap();
            read_plan(root.path()).unwrap()
        };
        let of_fold = read("{ median: [0.7, 0.7, 1] }");
        assert_eq!(of_fold, read("{ median: [0.8, 0.8, 1] }"));
        assert_eq!(of_fold, read("median"));
        assert_ne!(of_fold, read("[0.8, 0.8, 1]"));
    }
}

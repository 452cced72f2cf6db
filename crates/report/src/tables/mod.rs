//! The tables of a comparison: of runs, of settings, of pairs; as cells, and as CSV files.

use std::collections::BTreeSet;
use std::path::Path;

use crate::charts::cut;
use crate::comparison::{
    ComparedEpoch, ComparedRun, Comparison, Difference, EpochScores, Estimate, Group, Setting, word,
};
use crate::verdict::three;
use run_folder::folder::{RunError, write_atomically};

/// Letters of a value in a table for people; `summary.csv` has all.
const MAX_VALUE: usize = 60;

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextTable {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// The runs of a group: what differs, how long they trained, and how good they are; the best first.
pub fn runs(group: &Group) -> TextTable {
    let extra = Extra::of(group);
    let mut header = vec!["run".to_owned()];
    if extra.status {
        header.push("stands".to_owned());
    }
    header.extend(group.keys.iter().map(|key| key.path.clone()));
    header.extend(extra.seed.then(|| "seed".to_owned()));
    header.extend(extra.fold.then(|| "fold".to_owned()));
    let epoch = if group.epoch == ComparedEpoch::Best { "best epoch" } else { "last epoch" };
    header.extend(["epochs", epoch].map(str::to_owned));
    header.extend(group.labels.iter().map(|label| format!("Dice {label}")));
    header.push("Dice mean".to_owned());
    header.extend((group.epoch == ComparedEpoch::Best).then(|| "at the end".to_owned()));
    let rows = (0..group.rows.len()).map(|place| run(group, place, &extra)).collect();
    TextTable { header, rows }
}

/// Columns that a table has only where they tell runs apart.
struct Extra {
    status: bool,
    seed: bool,
    fold: bool,
}

impl Extra {
    fn of(group: &Group) -> Self {
        Self {
            status: group.rows.iter().any(|row| row.left_out.is_some()),
            seed: group.num_seeds() > 1,
            fold: group.has_folds(),
        }
    }
}

fn run(group: &Group, place: usize, extra: &Extra) -> Vec<String> {
    let row = &group.rows[place];
    let mut cells = vec![row.run.name.clone()];
    if extra.status {
        cells.push(stands(row));
    }
    cells.extend(group.values(place).map(|value| cut(value, MAX_VALUE)));
    cells.extend(extra.seed.then(|| whole(row.run.seed())));
    cells.extend(extra.fold.then(|| whole(row.fold)));
    cells.push(row.run.epochs().to_string());
    let chosen = row.chosen.as_ref();
    cells.push(chosen.map(|chosen| chosen.epoch.to_string()).unwrap_or_default());
    cells.extend((0..group.labels.len()).map(|label| score(chosen.and_then(|chosen| chosen.labels[label].mean))));
    cells.push(score(chosen.and_then(|chosen| chosen.mean.mean)));
    cells.extend((group.epoch == ComparedEpoch::Best).then(|| score(chosen.and_then(|chosen| chosen.last))));
    cells
}

/// How a run stands, or why it is in no mean although it is done.
fn stands(row: &ComparedRun) -> String {
    match (row.run.status, &row.left_out) {
        (_, Some(reason)) if row.run.reason.is_some() => {
            cut(&format!("{reason}: {}", row.run.reason.as_deref().unwrap_or_default()), MAX_VALUE)
        }
        (_, Some(reason)) => reason.clone(),
        (_, None) => "done".to_owned(),
    }
}

fn whole(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn score(score: Option<f64>) -> String {
    score.map(|score| format!("{score:.4}")).unwrap_or_default()
}

/// The settings of a group with their means and intervals, the best first.
pub fn settings(group: &Group) -> TextTable {
    let has_letters = group.settings.iter().any(Setting::has_letter);
    let mut header: Vec<String> = has_letters.then(String::new).into_iter().collect();
    header.extend(["setting", "runs", "cases"].map(str::to_owned));
    header.extend(group.labels.iter().map(|label| format!("Dice {label}")));
    header.extend(["Dice mean", "runs' means"].map(str::to_owned));
    // A lesion that was missed altogether is what a mean hides best.
    let is_told =
        |label: &usize| group.settings.iter().any(|setting| setting.zeros[*label].is_some_and(|share| share > 0.0));
    let told: Vec<usize> = (0..group.labels.len()).filter(is_told).collect();
    header.extend(told.iter().map(|label| format!("{} at 0", group.labels[*label])));
    let percent = |share: Option<f64>| share.map(|share| format!("{:.1} %", 100.0 * share)).unwrap_or_default();
    let rows = group.settings.iter().map(|setting| {
        let mut cells: Vec<String> = has_letters.then(|| setting.short.clone()).into_iter().collect();
        cells.extend([setting.name.clone(), setting.rows.len().to_string(), setting.cases.len().to_string()]);
        cells.extend(setting.labels.iter().chain([&setting.mean]).map(estimate));
        cells.push(spread(&setting.means()));
        cells.extend(told.iter().map(|label| percent(setting.zeros[*label])));
        cells
    });
    TextTable { header, rows: rows.collect() }
}

/// The mean Dice of few runs one by one, of many the smallest and the largest.
fn spread(means: &[f64]) -> String {
    match means {
        [first, .., last] if means.len() > 3 => format!("{} to {}", three(*first), three(*last)),
        few => few.iter().copied().map(three).collect::<Vec<_>>().join(", "),
    }
}

/// `0.842 [0.801, 0.871]`.
pub fn estimate(estimate: &Estimate) -> String {
    match (estimate.mean, estimate.interval) {
        (Some(mean), Some(interval)) => format!("{} [{}, {}]", three(mean), three(interval.low), three(interval.high)),
        (Some(mean), None) => three(mean),
        (None, _) => String::new(),
    }
}

/// Writes `summary.csv`, a row a run.
///
/// # Errors
/// When the disk refuses.
pub fn write_summary(path: &Path, groups: &[&Group]) -> Result<(), RunError> {
    let labels = names(groups.iter().flat_map(|group| &group.labels));
    let keys = names(groups.iter().flat_map(|group| &group.keys).map(|key| &key.path));
    let fixed = ["run", "group", "setting", "status", "reason", "in_mean"];
    let mut header: Vec<String> = fixed.map(str::to_owned).to_vec();
    header.extend(keys.iter().cloned());
    header.extend(["seed", "fold", "epochs", "best_epoch", "scored_epochs"].map(str::to_owned));
    for label in labels.iter().map(String::as_str).chain(["mean"]) {
        header.extend(["", "_low", "_high"].map(|end| format!("dice_{label}{end}")));
    }
    header
        .extend(["last_dice_mean", "cases", "seconds", "peak_memory_bytes", "device", "git_commit"].map(str::to_owned));
    let mut table = Csv::new(&header);
    for (number, group) in groups.iter().enumerate() {
        for (place, row) in group.rows.iter().enumerate() {
            let setting = row.setting.map(|setting| group.settings[setting].name.clone());
            let status = row.run.status.map(word).unwrap_or_default();
            let in_mean = row.setting.is_some();
            let mut cells =
                vec![row.run.name.clone(), (number + 1).to_string(), setting.unwrap_or_default(), status.to_owned()];
            cells.push(row.run.reason.clone().or_else(|| row.left_out.clone()).unwrap_or_default());
            cells.push(in_mean.to_string());
            let value = |path: &String| group.keys.iter().find(|key| key.path == *path)?.values[place].clone();
            cells.extend(keys.iter().map(|path| value(path).unwrap_or_default()));
            cells.extend([whole(row.run.seed()), whole(row.fold), row.run.epochs().to_string()]);
            cells.extend(scores(group, row.chosen.as_ref(), &labels));
            cells.extend([float(row.run.seconds), float(row.run.peak_memory_bytes)]);
            cells.extend([row.run.device.clone(), row.run.git_commit.clone()]);
            table.push(&cells);
        }
    }
    table.write(path)
}

/// Epochs, means and intervals of a run, under the labels of all groups.
fn scores(group: &Group, chosen: Option<&EpochScores>, labels: &[String]) -> Vec<String> {
    let Some(chosen) = chosen else { return vec![String::new(); 2 + 3 * (labels.len() + 1) + 2] };
    let mut cells = vec![chosen.epoch.to_string(), chosen.choices.to_string()];
    let place = |label: &String| group.labels.iter().position(|own| own == label);
    let own = labels.iter().map(|label| place(label).map(|place| chosen.labels[place]).unwrap_or_default());
    for estimate in own.chain([chosen.mean]) {
        let interval = estimate.interval;
        cells.extend([float(estimate.mean), float(interval.map(|i| i.low)), float(interval.map(|i| i.high))]);
    }
    cells.extend([float(chosen.last), chosen.cases.len().to_string()]);
    cells
}

/// Writes `cases.csv`, a row a case of each run, at the epoch that is compared.
///
/// # Errors
/// When the disk refuses.
pub fn write_cases(path: &Path, groups: &[&Group]) -> Result<(), RunError> {
    let columns = names(groups.iter().flat_map(|group| &group.rows).flat_map(|row| &row.run.cases.columns));
    let mut header: Vec<String> = ["run", "group", "setting", "epoch", "subject"].map(str::to_owned).to_vec();
    header.extend(columns.iter().cloned());
    let mut table = Csv::new(&header);
    for (number, group) in groups.iter().enumerate() {
        for row in &group.rows {
            let Some(chosen) = &row.chosen else { continue };
            let setting = row.setting.map(|setting| group.settings[setting].name.clone()).unwrap_or_default();
            let own = &row.run.cases.columns;
            let places: Vec<_> = columns.iter().map(|name| own.iter().position(|other| other == name)).collect();
            for (subject, scores) in row.run.cases.epochs.get(&chosen.epoch).into_iter().flatten() {
                let mut cells = vec![row.run.name.clone(), (number + 1).to_string(), setting.clone()];
                cells.extend([chosen.epoch.to_string(), subject.clone()]);
                cells.extend(places.iter().map(|place| float(place.and_then(|place| scores[place]))));
                table.push(&cells);
            }
        }
    }
    table.write(path)
}

/// Writes `comparisons.csv`, a row for each pair of settings and score.
///
/// # Errors
/// When the disk refuses.
pub fn write_comparisons(path: &Path, groups: &[&Group]) -> Result<(), RunError> {
    let header = [
        "group",
        "setting",
        "other",
        "score",
        "cases",
        "difference",
        "low",
        "high",
        "wilcoxon_p",
        "holm_p",
        "seed_noise_half_width",
    ];
    let mut table = Csv::new(&header.map(str::to_owned));
    for (number, group) in groups.iter().enumerate() {
        for pair in &group.comparisons {
            for (name, difference) in pair.scores(&group.labels) {
                let [a, b] = [pair.a, pair.b].map(|place| &group.settings[place]);
                let interval = difference.estimate.interval;
                let noise = group.noise.filter(|_| name == "mean");
                let mut cells = vec![(number + 1).to_string(), a.name.clone(), b.name.clone(), name.to_owned()];
                cells.push(difference.cases.to_string());
                cells.extend([
                    float(difference.estimate.mean),
                    float(interval.map(|interval| interval.low)),
                    float(interval.map(|interval| interval.high)),
                    float(difference.test.map(|test| test.p)),
                    float(difference.corrected),
                    float(noise.map(|noise| noise.half_width(pair.seed_share, group.comparisons.len()))),
                ]);
                table.push(&cells);
            }
        }
    }
    table.write(path)
}

impl Comparison {
    /// The differences by name: of each label, then of the mean.
    pub fn scores<'a>(&'a self, labels: &'a [String]) -> impl Iterator<Item = (&'a str, &'a Difference)> {
        let own = labels.iter().map(String::as_str).zip(&self.labels);
        own.chain([("mean", &self.mean)])
    }
}

/// Names in the order in which they first come.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).cloned().collect()
}

/// Shortest text that reads back as the same number; nothing where there is none.
fn float(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A CSV file that appears whole or not at all.
struct Csv {
    writer: csv::Writer<Vec<u8>>,
}

impl Csv {
    fn new(header: &[String]) -> Self {
        let mut table = Self { writer: csv::Writer::from_writer(Vec::new()) };
        table.push(header);
        table
    }

    fn push(&mut self, cells: &[String]) {
        self.writer.write_record(cells).expect("rows of one length are written to memory");
    }

    fn write(self, path: &Path) -> Result<(), RunError> {
        let bytes = self.writer.into_inner().expect("memory takes what is written");
        write_atomically(path, &bytes)
    }
}

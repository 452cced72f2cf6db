//! Settings: runs that differ only in seed and fold.

use std::collections::{BTreeMap, BTreeSet};

use super::Group;
use super::compared_run::{ComparedRun, EpochScores};
use super::estimate::{BootstrapCache, Estimate, ScoresByColumn, average, columns};
use crate::statistics::{SeedVariation, mean};

/// Runs that differ only in seed and fold.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The values that distinguish it from the other settings.
    pub name: String,
    /// The name in sentences and charts: `name`, or if a name of the group is long that of the experiment or a letter.
    pub short_name: String,
    /// The indices of its runs.
    pub runs: Vec<usize>,
    /// The number of failed, pruned or unfinished runs that no finished run with the same seed and cases replaces.
    pub num_incomplete: usize,
    /// The number of different seeds.
    pub num_seeds: usize,
    /// The mean over cases of each label.
    pub labels: Vec<Estimate>,
    /// The mean over labels.
    pub mean: Estimate,
    /// For each label the fraction of its scores, over cases and runs, that are missed: 0 where higher scores are better, and
    /// undefined for distances, which need the label in both maps. `None` without cases.
    pub missed_fractions: Vec<Option<f64>>,
    /// The score of each label in each case, averaged over runs.
    pub cases: ScoresByColumn,
    pub(super) blocks: BTreeMap<Vec<String>, Block>,
}

/// Runs of a setting with the same validation cases.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The score of each label in each case, averaged over the runs.
    pub(super) cases: ScoresByColumn,
    /// The mean score of each run.
    pub(super) means: Vec<f64>,
}

impl Setting {
    /// `incomplete` has the indices of the runs of this setting that are excluded because they are not finished.
    pub(super) fn new(group: &Group, runs: Vec<usize>, incomplete: &[usize], cache: &mut BootstrapCache) -> Self {
        let num_labels = group.labels.len();
        let scores = |run: &usize| group.runs[*run].scores.as_ref();
        let cases = average(runs.iter().filter_map(scores).map(|scores| &scores.cases), num_labels);
        let mut by_block: BTreeMap<Vec<String>, Vec<&EpochScores>> = BTreeMap::new();
        for scores in runs.iter().filter_map(scores) {
            by_block.entry(scores.cases.keys().cloned().collect()).or_default().push(scores);
        }
        let block = |runs: Vec<&EpochScores>| Block {
            cases: average(runs.iter().map(|scores| &scores.cases), num_labels),
            means: runs.iter().filter_map(|scores| scores.mean.mean).collect(),
        };
        let columns = columns(&cases, num_labels);
        let replaces = |a: usize, b: usize| {
            let [a, b] = [a, b].map(|run| &group.runs[run].run);
            a.seed() == b.seed() && a.validation() == b.validation()
        };
        let is_unreplaced = |run: &&usize| !runs.iter().any(|other| replaces(**run, *other));
        let is_higher_better = group.metric.is_higher_better();
        let is_missed = |score: Option<f64>| match score {
            Some(score) => is_higher_better.then_some(score == 0.0).or(Some(false)),
            None => (!is_higher_better).then_some(true),
        };
        let missed_fraction = |label: usize| {
            let cases = runs.iter().filter_map(scores).flat_map(|scores| scores.cases.values());
            mean(cases.filter_map(|scores| is_missed(scores[label])).map(|is_missed| f64::from(u8::from(is_missed))))
        };
        Self {
            num_incomplete: incomplete.iter().filter(is_unreplaced).count(),
            name: group.describe(runs[0]),
            short_name: String::new(),
            num_seeds: runs.iter().map(|run| group.runs[*run].run.seed()).collect::<BTreeSet<_>>().len(),
            labels: columns.chunks(1).map(|column| cache.estimate(column)).collect(),
            mean: cache.estimate(&columns),
            missed_fractions: (0..num_labels).map(missed_fraction).collect(),
            blocks: by_block.into_iter().map(|(subjects, runs)| (subjects, block(runs))).collect(),
            cases,
            runs,
        }
    }

    /// Returns the variation of the mean score between its seeds; `None` unless several runs have the same cases.
    pub fn seed_variation(&self) -> Option<SeedVariation> {
        SeedVariation::pooled(&self.blocks.values().map(|block| block.means.clone()).collect::<Vec<_>>())
    }

    /// Returns whether the short name stands for a longer one.
    pub fn is_abbreviated(&self) -> bool {
        self.short_name != self.name
    }

    /// Returns the mean score of each run, in ascending order.
    pub fn means(&self) -> Vec<f64> {
        let mut means: Vec<f64> = self.blocks.values().flat_map(|block| block.means.iter().copied()).collect();
        means.sort_by(f64::total_cmp);
        means
    }

    /// Returns the largest number of runs with the same validation cases.
    pub fn max_block_size(&self) -> usize {
        self.blocks.values().map(|block| block.means.len()).max().unwrap_or(0)
    }
}

/// Estimates the variation of a run's mean score between seeds: pooled over settings, or where `splits_vary` (each seed
/// has its own validation cases) the residual of settings and splits.
pub(super) fn seed_variation(settings: &[Setting], splits_vary: bool) -> Option<SeedVariation> {
    let groups = settings.iter().flat_map(|setting| setting.blocks.values().map(|block| block.means.clone()));
    let pooled = SeedVariation::pooled(&groups.collect::<Vec<_>>());
    if pooled.is_some() || !splits_vary {
        return pooled;
    }
    let mut blocks = settings.first()?.blocks.keys().collect::<Vec<_>>();
    blocks.retain(|subjects| settings.iter().all(|setting| setting.blocks.contains_key(*subjects)));
    let row = |setting: &Setting| {
        blocks.iter().map(|subjects| mean(setting.blocks[*subjects].means.iter().copied())).collect()
    };
    let table: Option<Vec<Vec<f64>>> = settings.iter().map(row).collect();
    SeedVariation::residual(&table?)
}

/// If any name in a group has more characters, all settings of the group get short names.
const MAX_NAME_LENGTH: usize = 40;

/// Sets the short names of settings, which are sorted best first: of long names the name of their experiment, if that tells
/// them apart, or else a letter. `runs` are those of the group.
pub(super) fn assign_short_names(settings: &mut [Setting], runs: &[ComparedRun]) {
    let is_long = |name: &String| name.chars().count() > MAX_NAME_LENGTH;
    if !settings.iter().any(|setting| is_long(&setting.name)) {
        settings.iter_mut().for_each(|setting| setting.short_name = setting.name.clone());
        return;
    }
    let experiments =
        |setting: &Setting| -> BTreeSet<String> { setting.runs.iter().map(|run| runs[*run].run.title()).collect() };
    let of_settings: Vec<BTreeSet<String>> = settings.iter().map(experiments).collect();
    let all: BTreeSet<&String> = of_settings.iter().flatten().collect();
    let are_distinct = of_settings.iter().all(|names| names.len() == 1) && all.len() == settings.len();
    let is_usable = are_distinct && !all.into_iter().any(is_long);
    for (index, (setting, names)) in settings.iter_mut().zip(&of_settings).enumerate() {
        setting.short_name = if is_usable { names.iter().cloned().collect() } else { letter(index) };
    }
}

/// Returns the letters of an index: A, B, …, Z, AA, AB, …
fn letter(index: usize) -> String {
    let last = char::from(b'A' + (index % 26) as u8);
    match index / 26 {
        0 => last.to_string(),
        rest => format!("{}{last}", letter(rest - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn two_letters_follow_after_z() {
        assert_eq!([0, 25, 26, 52, 701, 702].map(letter), ["A", "Z", "AA", "BA", "ZZ", "AAA"]);
    }
}

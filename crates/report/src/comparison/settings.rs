//! Runs that differ in nothing but the seed and the fold.

use std::collections::{BTreeMap, BTreeSet};

use super::Group;
use super::compared_run::EpochScores;
use super::estimate::{CaseScores, Estimate, Intervals, average, columns};
use crate::statistics::{SeedVariation, mean};

/// Runs that differ in nothing but the seed and the fold.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What sets it apart from the others.
    pub name: String,
    /// What sentences and charts call it: the name, or a letter where some name of the group is long.
    pub short: String,
    /// Its runs, by place.
    pub rows: Vec<usize>,
    /// Runs of the setting that failed, were pruned or are not done, and that no other run with that seed stands in
    /// for: its scores are of those that came through.
    pub lost: usize,
    /// How many seeds they have.
    pub seeds: usize,
    /// The mean over cases of each label.
    pub labels: Vec<Estimate>,
    /// The mean over labels.
    pub mean: Estimate,
    /// For each label the share of its scores, over cases and runs, that are 0: nothing of it was found, or it was
    /// found where it is not. Undefined where there is no score.
    pub zeros: Vec<Option<f64>>,
    /// For each case the score of each label, averaged over runs.
    pub cases: CaseScores,
    pub(super) blocks: BTreeMap<Vec<String>, Block>,
}

/// Runs of a setting that validate on the same cases.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// For each case the score of each label, averaged over the runs.
    pub(super) cases: CaseScores,
    /// The mean Dice of each run.
    pub(super) means: Vec<f64>,
}

impl Setting {
    /// `lost` are runs of the setting that did not come through, by place.
    pub(super) fn new(group: &Group, rows: Vec<usize>, lost: &[usize], intervals: &mut Intervals) -> Self {
        let num_labels = group.labels.len();
        let chosen = |row: &usize| group.rows[*row].chosen.as_ref();
        let cases = average(rows.iter().filter_map(chosen).map(|chosen| &chosen.cases), num_labels);
        let mut by_block: BTreeMap<Vec<String>, Vec<&EpochScores>> = BTreeMap::new();
        for chosen in rows.iter().filter_map(chosen) {
            by_block.entry(chosen.cases.keys().cloned().collect()).or_default().push(chosen);
        }
        let block = |runs: Vec<&EpochScores>| Block {
            cases: average(runs.iter().map(|chosen| &chosen.cases), num_labels),
            means: runs.iter().filter_map(|chosen| chosen.mean.mean).collect(),
        };
        let columns = columns(&cases, num_labels);
        let same = |a: usize, b: usize| {
            let [a, b] = [a, b].map(|row| &group.rows[row].run);
            a.seed() == b.seed() && a.validation() == b.validation()
        };
        let is_lost = |row: &&usize| !rows.iter().any(|other| same(**row, *other));
        Self {
            lost: lost.iter().filter(is_lost).count(),
            name: group.describe(rows[0]),
            short: String::new(),
            seeds: rows.iter().map(|row| group.rows[*row].run.seed()).collect::<BTreeSet<_>>().len(),
            labels: columns.chunks(1).map(|column| intervals.estimate(column)).collect(),
            mean: intervals.estimate(&columns),
            zeros: (0..num_labels)
                .map(|label| {
                    let runs = rows.iter().filter_map(chosen).flat_map(|chosen| chosen.cases.values());
                    mean(runs.filter_map(|scores| scores[label]).map(|score| f64::from(u8::from(score == 0.0))))
                })
                .collect(),
            blocks: by_block.into_iter().map(|(subjects, runs)| (subjects, block(runs))).collect(),
            cases,
            rows,
        }
    }

    /// How much the seed alone changes the mean Dice of its runs, where several validate on the same cases.
    pub fn noise(&self) -> Option<SeedVariation> {
        SeedVariation::within(&self.blocks.values().map(|block| block.means.clone()).collect::<Vec<_>>())
    }

    /// Whether it goes by a letter.
    pub fn has_letter(&self) -> bool {
        self.short != self.name
    }

    /// The mean Dice of each of its runs, from the smallest.
    pub fn means(&self) -> Vec<f64> {
        let mut means: Vec<f64> = self.blocks.values().flat_map(|block| block.means.iter().copied()).collect();
        means.sort_by(f64::total_cmp);
        means
    }

    /// The most runs that it has on the same cases.
    pub fn largest_block(&self) -> usize {
        self.blocks.values().map(|block| block.means.len()).max().unwrap_or(0)
    }
}

/// How much the seed alone changes a run's mean Dice.
///
/// `split_by_seed` says that each seed has validation cases of its own.
pub(super) fn noise(settings: &[Setting], split_by_seed: bool) -> Option<SeedVariation> {
    let groups = settings.iter().flat_map(|setting| setting.blocks.values().map(|block| block.means.clone()));
    let within = SeedVariation::within(&groups.collect::<Vec<_>>());
    if within.is_some() || !split_by_seed {
        return within;
    }
    let mut blocks = settings.first()?.blocks.keys().collect::<Vec<_>>();
    blocks.retain(|subjects| settings.iter().all(|setting| setting.blocks.contains_key(*subjects)));
    let row = |setting: &Setting| {
        blocks.iter().map(|subjects| mean(setting.blocks[*subjects].means.iter().copied())).collect()
    };
    let table: Option<Vec<Vec<f64>>> = settings.iter().map(row).collect();
    SeedVariation::residual(&table?)
}

/// Of a group with longer names each setting goes by a letter.
const MAX_NAME: usize = 40;

/// Gives settings, the best first, the names that sentences and charts use.
pub(super) fn name_briefly(settings: &mut [Setting]) {
    let is_long = settings.iter().any(|setting| setting.name.chars().count() > MAX_NAME);
    for (place, setting) in settings.iter_mut().enumerate() {
        setting.short = if is_long { letter(place) } else { setting.name.clone() };
    }
}

/// A, B, …, Z, AA, AB, …
fn letter(place: usize) -> String {
    let last = char::from(b'A' + (place % 26) as u8);
    match place / 26 {
        0 => last.to_string(),
        rest => format!("{}{last}", letter(rest - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 52, 701, 702].map(letter), ["A", "Z", "AA", "BA", "ZZ", "AAA"]);
    }
}

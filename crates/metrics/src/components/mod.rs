//! The metrics: one file each, the trait that they implement and their registry.
//!
//! To add a metric: its file, with [`Scorer`] implemented (or `ClassScorer` if it scores each class separately), and its
//! `mod` and registry lines below.

use super::{Better, CaseScores, Class, LabelComparison, Regions, Unit};
use volume::Label;

mod assd;
mod dice;
mod hd;
mod hd95;
mod jaccard;
mod lits;
mod nsd;
mod precision;
mod recall;
mod volume_difference;

pub use assd::{Assd, AssdVariant};
pub use dice::Dice;
pub use hd::{Hd, HdVariant};
pub use hd95::{Hd95, Hd95Variant};
pub use jaccard::Jaccard;
pub use lits::Lits;
pub use nsd::Nsd;
pub use precision::Precision;
pub use recall::Recall;
pub use volume_difference::{VolumeDifference, VolumeUnit};

/// A metric. A score's name is that of its column without the metric's name: `liver` for `dice_liver`.
pub trait Scorer {
    /// Returns the named unions of labels that the metric scores in addition to the labels.
    fn regions(&self) -> &Regions {
        static NONE: Regions = Regions::new();
        &NONE
    }

    /// Returns the labels that the metric's keys name, each with the path of the key below the metric's name.
    fn used_labels(&self) -> Vec<(String, Label)> {
        let regions = self.regions().iter();
        let labels = regions.flat_map(|(region, labels)| {
            labels.iter().enumerate().map(move |(index, label)| (format!("regions.{region}.{index}"), *label))
        });
        labels.collect()
    }

    /// Returns the metric's name in texts and on axes, such as `Dice`, `HD95` or `volume difference`.
    fn title() -> &'static str
    where
        Self: Sized;

    /// Returns which values of a score are better.
    fn better(_score: &str) -> Better
    where
        Self: Sized,
    {
        Better::Higher
    }

    /// Returns the unit of a score.
    fn unit(&self, _score: &str) -> Unit {
        Unit::Ratio
    }

    /// Returns whether a score is one of those whose mean ranks cases and runs.
    fn is_ranked(&self, score: &str) -> bool;

    /// Returns the names of a case's scores.
    fn case_scores(&self, classes: &[Class]) -> Vec<String>;

    /// Returns the names of the scores of a summary of many cases.
    fn summary_scores(&self, classes: &[Class]) -> Vec<String>;

    /// Returns the indices of the case scores whose mean ranks cases from best to worst.
    fn ranking_scores(&self, classes: &[Class]) -> Vec<usize>;

    /// Scores a pair of label maps, in the order of [`Scorer::case_scores`].
    fn score(&self, comparison: &mut LabelComparison, classes: &[Class]) -> CaseScores;

    /// Returns the scores of many cases, in the order of [`Scorer::summary_scores`].
    fn summarize(&self, cases: &[CaseScores], classes: &[Class]) -> Vec<Option<f64>>;
}

/// What the registry knows about a metric without its keys.
pub(crate) struct MetricEntry {
    /// The metric's name.
    pub name: &'static str,
    /// Returns [`Scorer::title`].
    pub title: fn() -> &'static str,
    /// Returns [`Scorer::better`].
    pub better: fn(&str) -> Better,
}

/// Declares the registry, and the entries by which columns are looked up.
macro_rules! metrics {
    ($($(#[$doc:meta])* $module:ident::$variant:ident),+ $(,)?) => {
        values::registry! {
            /// A score of a predicted label map against the true one.
            pub enum Metric: Scorer {
                $($(#[$doc])* $module::$variant),+
            }
        }

        const ENTRIES: &[MetricEntry] = &[$(MetricEntry {
            name: stringify!($module),
            title: <$module::$variant as Scorer>::title,
            better: <$module::$variant as Scorer>::better,
        }),+];
    };
}

/// Returns the metric of a column such as `hd95_liver`, and the name of the score within it.
pub(crate) fn metric_of_column(column: &str) -> Option<(&'static MetricEntry, &str)> {
    let score = |entry: &MetricEntry| column.strip_prefix(entry.name)?.strip_prefix('_');
    // If several metrics match, such as `surface` and `surface_dice`, the longest name does.
    ENTRIES.iter().filter_map(|entry| Some((entry, score(entry)?))).min_by_key(|(_, score)| score.len())
}

/// Returns whether lower values of a column are better, such as of `hd95_liver`. If values may be negative, those nearer to 0
/// are better.
pub fn lower_is_better(column: &str) -> bool {
    metric_of_column(column).is_some_and(|(entry, score)| (entry.better)(score) != Better::Higher)
}

metrics! {
    /// Dice coefficient: twice the intersection over the sum of both volumes.
    dice::Dice,
    /// Jaccard index: intersection over union.
    jaccard::Jaccard,
    /// Precision: the fraction of predicted voxels that are true.
    precision::Precision,
    /// Recall (sensitivity): the fraction of true voxels that are predicted.
    recall::Recall,
    /// Volume difference: the predicted minus the true volume.
    volume_difference::VolumeDifference,
    /// Hausdorff distance: the largest distance between surfaces, in mm.
    hd::Hd,
    /// The 95th percentile of the distances between surfaces, in mm.
    hd95::Hd95,
    /// Average symmetric surface distance, in mm.
    assd::Assd,
    /// Normalized surface Dice: the fraction of both surfaces that agree within a tolerance.
    nsd::Nsd,
    /// The scores of the LiTS benchmark.
    lits::Lits,
}

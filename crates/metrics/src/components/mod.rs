//! The metrics: one file each, the trait that they implement and their registry.
//!
//! To add a metric: its file, with [`Scorer`] implemented (or `ClassScorer` if it scores each class separately), and its
//! `mod` and registry lines below.

use super::{CaseScores, LabelComparison, Regions};
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

    /// Returns whether lower values of a score are better, as for distances. If values may be negative, those nearer to 0
    /// are better.
    fn lower_is_better(_score: &str) -> bool
    where
        Self: Sized,
    {
        false
    }

    /// Returns the names of a case's scores.
    fn case_scores(&self, labels: &[(Label, String)]) -> Vec<String>;

    /// Returns the names of the scores of a summary of many cases.
    fn summary_scores(&self, labels: &[(Label, String)]) -> Vec<String>;

    /// Returns the indices of the case scores whose mean ranks cases from best to worst.
    fn ranking_scores(&self, labels: &[(Label, String)]) -> Vec<usize>;

    /// Scores a pair of label maps, in the order of [`Scorer::case_scores`].
    fn score(&self, comparison: &mut LabelComparison, labels: &[(Label, String)]) -> CaseScores;

    /// Returns the scores of many cases, in the order of [`Scorer::summary_scores`].
    fn summarize(&self, cases: &[CaseScores], labels: &[(Label, String)]) -> Vec<Option<f64>>;
}

/// Declares the registry, and the lookup of a column's metric.
macro_rules! metrics {
    ($($(#[$doc:meta])* $module:ident::$variant:ident),+ $(,)?) => {
        values::registry! {
            /// A score of a predicted label map against the true one.
            pub enum Metric: Scorer {
                $($(#[$doc])* $module::$variant),+
            }
        }

        /// Returns whether lower values of a column are better, such as of `hd95_liver`. If values may be negative, those
        /// nearer to 0 are better.
        pub fn lower_is_better(column: &str) -> bool {
            const METRICS: &[(&str, fn(&str) -> bool)] =
                &[$((concat!(stringify!($module), "_"), <$module::$variant as Scorer>::lower_is_better)),+];
            let matching = METRICS.iter().filter_map(|(prefix, lower)| Some((column.strip_prefix(prefix)?, lower)));
            // If several metrics match, such as `surface` and `surface_dice`, the longest name does.
            matching.min_by_key(|(score, _)| score.len()).is_some_and(|(score, lower)| lower(score))
        }
    };
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

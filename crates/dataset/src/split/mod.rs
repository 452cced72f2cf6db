//! Splits: subjects for training, validation and test.

mod document;
mod file;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use random::{Purpose, Seed};
use values::NonNegative;

/// How the subjects are split into training, validation and test.
#[derive(Clone, Debug, PartialEq)]
pub enum Split {
    /// The first N subjects in sorted order for training, the rest for validation, such as `first: 105`.
    First(NonZeroUsize),
    /// Fractions of the subjects, shuffled by the experiment's `seed`.
    Fraction(Fraction),
    /// One fold of a cross-validation: fold `index` of `count` for validation, the rest for training; shuffled by the
    /// experiment's `seed`.
    Fold(Fold),
    /// A JSON file of subject names.
    File(SplitFile),
}

/// A JSON file of subject names: `{"train": [names], "val": [...], "test": [...]}`, or a list of such splits, one per fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFile {
    /// The file.
    pub path: PathBuf,
    /// Fold of the file, counted from 0, if the file is a list.
    pub index: Option<usize>,
}

/// Fractions of the subjects, such as `{ train: 0.7, val: 0.2, test: 0.1 }`; their sum is at most 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fraction {
    /// Fraction for training, for example 0.7.
    pub train: NonNegative,
    /// Fraction for validation, for example 0.2.
    pub val: NonNegative,
    /// Fraction for testing, which training never uses, for example 0.1. Default 0.
    #[serde(default = "none")]
    pub test: NonNegative,
}

/// One fold of a cross-validation, such as `{ index: 0, count: 5 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Fold used for validation, counted from 0, for example 0.
    pub index: usize,
    /// Number of folds, at least 2, for example 5.
    pub count: NonZeroUsize,
}

fn none() -> NonNegative {
    NonNegative::new(0.0).expect("0 is not negative")
}

/// The subjects of each part, by name, in the order in which they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// Training subjects.
    pub train: Vec<String>,
    /// Validation subjects.
    pub val: Vec<String>,
    /// Test subjects.
    #[serde(default)]
    pub test: Vec<String>,
}

/// Why a split cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Training or validation would have no subject.
    #[error(
        "the {part} part is empty: of {subjects} subjects, the split assigns {train} to train and {val} to val; change its numbers or add subjects"
    )]
    Empty {
        /// The empty part.
        part: &'static str,
        /// Training subjects.
        train: usize,
        /// Validation subjects.
        val: usize,
        /// Number of subjects.
        subjects: usize,
    },
    /// The fractions sum to more than 1.
    #[error("expected fractions that sum to at most 1, got {sum}; lower train, val or test")]
    FractionSum {
        /// Their sum.
        sum: f64,
    },
    /// The fold does not exist.
    #[error("expected a fold index from 0 to {largest}, got {index}", largest = count - 1)]
    FoldIndex {
        /// The requested value.
        index: usize,
        /// The number of folds.
        count: usize,
    },
    /// There are too few or too many folds for the subjects.
    #[error("expected from 2 to {subjects} folds (one per subject), got {count}")]
    FoldCount {
        /// The requested value.
        count: usize,
        /// Number of subjects.
        subjects: usize,
    },
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not JSON of the expected form.
    #[error("{path}: {source}; expected {{\"train\": [names], \"val\": [names], \"test\": [names]}}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file is a list of folds, and none is chosen.
    #[error("{path}: it has {count} folds, expected the index of one", path = path.display())]
    NoIndex {
        /// The file.
        path: PathBuf,
        /// The number of folds.
        count: usize,
    },
    /// The file has no such fold.
    #[error("{path}: {reason}", path = path.display(), reason = index_reason(*index, *count))]
    FileIndex {
        /// The file.
        path: PathBuf,
        /// The requested value.
        index: usize,
        /// The number of folds.
        count: usize,
    },
    /// A fold is chosen, but the file is no list.
    #[error("{path}: it has one split, not a list of folds", path = path.display())]
    OneSplit {
        /// The file.
        path: PathBuf,
    },
    /// The file names subjects that the dataset does not have.
    #[error("{path}: no such subjects: {names}; subjects of the dataset are {known}, …", path = path.display(), names = first_names(names), known = known.join(", "))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The names.
        names: Vec<String>,
        /// The first names of the dataset.
        known: Vec<String>,
    },
    /// The file names subjects more than once.
    #[error("{path}: expected each subject at most once, got {names}", path = path.display(), names = names.join(", "))]
    Repeated {
        /// The file.
        path: PathBuf,
        /// Each name with the parts that list it.
        names: Vec<String>,
    },
}

impl SplitError {
    /// Returns how to fix it.
    pub fn help(&self) -> String {
        match self {
            Self::Empty { .. } => "the parts train and val need at least one subject each".to_owned(),
            Self::FractionSum { .. } => "write fractions such as `{ train: 0.7, val: 0.2, test: 0.1 }`".to_owned(),
            Self::FoldIndex { .. } | Self::FileIndex { .. } => "folds are counted from 0".to_owned(),
            Self::FoldCount { .. } => "change `count`, or add subjects".to_owned(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "the path is relative to the working folder".to_owned()
            }
            Self::Io { .. } => "check the path and its permissions".to_owned(),
            Self::Json { .. } => {
                "nnU-Net's splits_final.json, a list of such splits, can be used too, with `index`".to_owned()
            }
            Self::NoIndex { path, .. } => {
                format!("choose a fold, counted from 0: `split: {{ file: {}, index: 0 }}`", path.display())
            }
            Self::OneSplit { .. } => "remove `index`".to_owned(),
            Self::Unknown { .. } | Self::Repeated { .. } => "correct the names in the file".to_owned(),
        }
    }
}

fn index_reason(index: usize, count: usize) -> String {
    match count.checked_sub(1) {
        None => "it has no folds".to_owned(),
        Some(largest) => format!("expected a fold index from 0 to {largest}, got {index}"),
    }
}

/// Returns the first of some names, with the number of the others.
fn first_names(names: &[String]) -> String {
    const MAX_SHOWN: usize = 10;
    let more = names.len().saturating_sub(MAX_SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Splits subjects into parts; each part is in sorted order.
///
/// The order of `names` does not matter. The same seed returns the same parts.
///
/// # Errors
/// When the numbers do not fit the subjects, training or validation would be empty, or the file is invalid.
pub fn parts(split: &Split, seed: Seed, names: &[String]) -> Result<Parts, SplitError> {
    let mut sorted = names.to_vec();
    sorted.sort();
    let mut parts = match split {
        Split::First(count) => {
            let val = sorted.split_off(count.get().min(sorted.len()));
            Parts { train: sorted, val, test: Vec::new() }
        }
        Split::Fraction(fraction) => split_by_fractions(fraction, shuffled(seed, sorted))?,
        Split::Fold(fold) => split_into_folds(fold, shuffled(seed, sorted))?,
        Split::File(file) => file::read(file, &sorted)?,
    };
    for part in [&mut parts.train, &mut parts.val, &mut parts.test] {
        part.sort();
    }
    let (train, val) = (parts.train.len(), parts.val.len());
    for (part, size) in [("train", train), ("val", val)] {
        if size == 0 {
            return Err(SplitError::Empty { part, train, val, subjects: names.len() });
        }
    }
    Ok(parts)
}

fn shuffled(seed: Seed, mut sorted: Vec<String>) -> Vec<String> {
    seed.stream(Purpose::Split, 0, "", 0).shuffle(&mut sorted);
    sorted
}

/// Cuts at the rounded cumulative fractions, so that fractions that sum to 1 use every subject.
fn split_by_fractions(fraction: &Fraction, mut names: Vec<String>) -> Result<Parts, SplitError> {
    let [train, val, test] = [fraction.train, fraction.val, fraction.test].map(NonNegative::get);
    let sum = train + val + test;
    if sum > 1.0 + 1e-9 {
        return Err(SplitError::FractionSum { sum });
    }
    let total = names.len();
    let cut = |fraction: f64| ((fraction * total as f64 + 1e-9).round() as usize).min(total);
    names.truncate(cut(sum));
    let test = names.split_off(cut(train + val).min(names.len()));
    let val = names.split_off(cut(train).min(names.len()));
    Ok(Parts { train: names, val, test })
}

fn split_into_folds(fold: &Fold, names: Vec<String>) -> Result<Parts, SplitError> {
    let (index, count) = (fold.index, fold.count.get());
    if count < 2 || count > names.len() {
        return Err(SplitError::FoldCount { count, subjects: names.len() });
    }
    if index >= count {
        return Err(SplitError::FoldIndex { index, count });
    }
    let mut parts = Parts::default();
    for (position, name) in names.into_iter().enumerate() {
        if position % count == index { parts.val.push(name) } else { parts.train.push(name) }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("case_{i:02}")).collect()
    }

    fn non_negative(value: f64) -> NonNegative {
        NonNegative::new(value).unwrap()
    }

    fn fraction(train: f64, val: f64, test: f64) -> Split {
        Split::Fraction(Fraction { train: non_negative(train), val: non_negative(val), test: non_negative(test) })
    }

    fn fold(index: usize, count: usize) -> Split {
        Split::Fold(Fold { index, count: NonZeroUsize::new(count).unwrap() })
    }

    fn all(parts: &Parts) -> Vec<String> {
        let mut all = [parts.train.clone(), parts.val.clone(), parts.test.clone()].concat();
        all.sort();
        all
    }

    #[test]
    fn the_first_subjects_in_sorted_order_train() {
        let mut reversed = names(5);
        reversed.reverse();
        let parts = parts(&Split::First(NonZeroUsize::new(3).unwrap()), Seed(1), &reversed).unwrap();
        assert_eq!(parts.train, names(3));
        assert_eq!(parts.val, ["case_03", "case_04"]);
    }

    #[test]
    fn every_subject_validates_in_exactly_one_fold_and_folds_differ_by_at_most_one() {
        let mut validated = Vec::new();
        for index in 0..5 {
            let parts = parts(&fold(index, 5), Seed(3), &names(23)).unwrap();
            assert!((4..=5).contains(&parts.val.len()));
            assert_eq!(all(&parts), names(23));
            validated.extend(parts.val);
        }
        validated.sort();
        assert_eq!(validated, names(23));
    }

    #[test]
    fn fractions_that_sum_to_1_use_every_subject() {
        for count in 10..60 {
            for (train, val, test) in [(0.7, 0.2, 0.1), (0.8, 0.2, 0.0), (1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0)] {
                let parts = parts(&fraction(train, val, test), Seed(0), &names(count)).unwrap();
                assert_eq!(all(&parts), names(count));
                assert!((parts.train.len() as f64 - train * count as f64).abs() <= 0.5 + 1e-6);
            }
        }
    }

    #[test]
    fn the_parts_depend_on_the_seed_and_not_on_the_order_of_names() {
        let mut reversed = names(20);
        reversed.reverse();
        let split = fraction(0.5, 0.5, 0.0);
        assert_eq!(parts(&split, Seed(1), &names(20)).unwrap(), parts(&split, Seed(1), &reversed).unwrap());
        assert_ne!(parts(&split, Seed(1), &names(20)).unwrap(), parts(&split, Seed(2), &names(20)).unwrap());
    }

    #[test]
    fn fractions_above_1_and_empty_parts_are_errors() {
        let error = |split| parts(&split, Seed(0), &names(4)).unwrap_err();
        assert!(matches!(error(fraction(0.8, 0.3, 0.0)), SplitError::FractionSum { .. }));
        assert!(matches!(error(fraction(1.0, 0.0, 0.0)), SplitError::Empty { part: "val", .. }));
        assert!(matches!(error(Split::First(NonZeroUsize::new(4).unwrap())), SplitError::Empty { part: "val", .. }));
        assert!(matches!(error(fold(5, 3)), SplitError::FoldIndex { .. }));
        assert!(matches!(error(fold(0, 5)), SplitError::FoldCount { .. }));
        assert!(matches!(error(fold(0, 1)), SplitError::FoldCount { .. }));
    }
}

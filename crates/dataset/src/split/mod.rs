//! Splits: subjects for training, validation and test.

mod attribute;
mod description;
mod document;
mod error;
mod file;
mod folds;
mod mersenne_twister;
mod nnunet;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::sources::Listing;
pub use attribute::{Attribute, AttributeUse, Pattern};
pub use description::{describe, rare_values};
pub use error::SplitError;
use folds::{by_value, shuffled};
pub use mersenne_twister::MersenneTwister;
use random::Seed;
use values::NonNegative;

/// How the subjects are split into training, validation and test.
#[derive(Clone, Debug, PartialEq)]
pub enum Split {
    /// The first N subjects in sorted order for training, the rest for validation, such as `first: 105`.
    First(NonZeroUsize),
    /// Fractions of the subjects, shuffled by `seed`.
    Fraction(Fraction),
    /// One fold of a cross-validation: fold `index` of `count` for validation, the rest for training; shuffled by `seed`.
    Fold(Fold),
    /// One of nnU-Net's own five folds.
    Nnunet(NnunetFold),
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
    /// Seed with which the subjects are shuffled, for example 1. `null` (default) uses the experiment's `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Groups of subjects that are never divided between parts: the values of a column of a `table`, such as
    /// `{ column: patient }`, or of a regular expression in the subjects' names, such as `{ pattern: "^patient[0-9]+" }`. The
    /// fractions are then only approximate. `null` (default) assigns each subject by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Attribute>,
}

/// One fold of a cross-validation, such as `{ index: 0, count: 5 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Fold used for validation, counted from 0, for example 0.
    pub index: usize,
    /// Number of folds, at least 2, for example 5.
    pub count: NonZeroUsize,
    /// Seed with which the subjects are shuffled, for example 1; runs whose experiment seeds differ then have the same folds.
    /// `null` (default) uses the experiment's `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Groups of subjects that are never divided between folds, so that no patient is in both training and validation: the
    /// values of a column of a `table`, such as `{ column: patient }`, or of a regular expression in the subjects' names, such
    /// as `{ pattern: "^patient[0-9]+" }`. The folds then have nearly equal numbers of subjects. `null` (default) assigns each
    /// subject by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Attribute>,
    /// Stratification: values that have the same frequency in every fold, those of a column of a `table`, such as
    /// `{ column: hospital }`, of a regular expression in the subjects' names, or which labels a subject's label map contains,
    /// such as `{ labels: [tumour] }`. With `groups` the frequencies are only approximately equal. `null` (default) does not
    /// stratify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratify: Option<Attribute>,
}

impl Fold {
    /// Creates one fold of several, shuffled with the experiment's seed.
    pub fn new(index: usize, count: NonZeroUsize) -> Self {
        Self { index, count, seed: None, groups: None, stratify: None }
    }
}

/// One of the five folds that nnU-Net makes from the names of the subjects, as in its `splits_final.json`, such as
/// `{ index: 0 }`. They do not depend on the experiment's `seed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NnunetFold {
    /// Fold used for validation, from 0 to 4, for example 0.
    pub index: usize,
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

impl Split {
    /// Returns the name of the kind of split, as an experiment writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::First(_) => "first",
            Self::Fraction(_) => "fraction",
            Self::Fold(_) => "fold",
            Self::Nnunet(_) => "nnunet",
            Self::File(_) => "file",
        }
    }

    /// Returns the fold of a cross-validation, counted from 0; `None` for other splits.
    pub fn fold(&self) -> Option<usize> {
        match self {
            Self::Fold(fold) => Some(fold.index),
            Self::Nnunet(fold) => Some(fold.index),
            Self::File(file) => file.index,
            Self::First(_) | Self::Fraction(_) => None,
        }
    }

    /// Returns whether another seed of the experiment assigns the subjects to other parts.
    pub fn depends_on_seed(&self) -> bool {
        match self {
            Self::Fraction(Fraction { seed, .. }) | Self::Fold(Fold { seed, .. }) => seed.is_none(),
            Self::First(_) | Self::Nnunet(_) | Self::File(_) => false,
        }
    }

    /// Returns whether the parts depend on the content of files: a file of names, a column of a table, or label maps.
    pub fn depends_on_file(&self) -> bool {
        let is_column = |attribute: Option<&Attribute>| matches!(attribute, Some(Attribute::Column(_)));
        matches!(self, Self::File(_)) || is_column(self.groups()) || is_column(self.stratify()) || self.needs_labels()
    }

    /// Returns whether the parts depend on [`Listing::contained_labels`].
    pub fn needs_labels(&self) -> bool {
        matches!(self.stratify(), Some(Attribute::Labels(_)))
    }

    /// Returns what subjects of one part have in common, if they are grouped.
    fn groups(&self) -> Option<&Attribute> {
        match self {
            Self::Fraction(Fraction { groups, .. }) | Self::Fold(Fold { groups, .. }) => groups.as_ref(),
            Self::First(_) | Self::Nnunet(_) | Self::File(_) => None,
        }
    }

    fn stratify(&self) -> Option<&Attribute> {
        if let Self::Fold(fold) = self { fold.stratify.as_ref() } else { None }
    }
}

/// Splits the subjects of a source into parts; each part is in sorted order. `seed` is that of the experiment.
///
/// The order of subjects does not matter. The same seed returns the same parts.
///
/// # Errors
/// When the numbers do not fit the subjects, a subject has no group, training or validation would be empty, or the file is
/// invalid.
pub fn parts(split: &Split, seed: Seed, listing: &Listing) -> Result<Parts, SplitError> {
    let mut names = sorted_names(listing);
    let subjects = names.len();
    let mut parts = match split {
        Split::First(count) => {
            let val = names.split_off(count.get().min(subjects));
            Parts { train: names, val, test: Vec::new() }
        }
        Split::Fraction(fraction) => split_by_fractions(fraction, seed, listing, names)?,
        Split::Fold(Fold { index, count, .. }) if *index >= count.get() && count.get() >= 2 => {
            return Err(SplitError::FoldIndex { index: *index, count: count.get() });
        }
        Split::Nnunet(NnunetFold { index }) if *index >= nnunet::COUNT => {
            return Err(SplitError::FoldIndex { index: *index, count: nnunet::COUNT });
        }
        Split::Fold(Fold { index, .. }) | Split::Nnunet(NnunetFold { index }) => {
            let mut folds = folds(split, seed, listing)?.expect("the split has folds");
            folds.swap_remove(*index)
        }
        Split::File(file) => file::read(file, &names)?,
    };
    sort(&mut parts);
    let (train, val) = (parts.train.len(), parts.val.len());
    for (part, size) in [("train", train), ("val", val)] {
        if size == 0 {
            return Err(SplitError::Empty { part, train, val, subjects });
        }
    }
    Ok(parts)
}

/// Returns the parts of every fold of a cross-validation, in sorted order; `None` if the split has no folds or they are in
/// a file. `seed` is that of the experiment.
///
/// # Errors
/// When the number of folds does not fit the subjects, or a subject has no group or no value to stratify by.
pub fn folds(split: &Split, seed: Seed, listing: &Listing) -> Result<Option<Vec<Parts>>, SplitError> {
    let names = sorted_names(listing);
    let validation = match split {
        Split::Fold(fold) => folds::folds(fold, seed, listing, names.clone())?,
        Split::Nnunet(_) => nnunet::folds(&names)?,
        Split::First(_) | Split::Fraction(_) | Split::File(_) => return Ok(None),
    };
    let parts = |val: Vec<String>| {
        let validates: BTreeSet<&String> = val.iter().collect();
        let train = names.iter().filter(|name| !validates.contains(name)).cloned().collect();
        let mut parts = Parts { train, val, test: Vec::new() };
        sort(&mut parts);
        parts
    };
    Ok(Some(validation.into_iter().map(parts).collect()))
}

/// Returns the folds as nnU-Net's `splits_final.json` has them.
pub fn to_splits_json(folds: &[Parts]) -> String {
    let folds: Vec<_> = folds.iter().map(|Parts { train, val, .. }| json!({ "train": train, "val": val })).collect();
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    folds.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).expect("names are text");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

fn sorted_names(listing: &Listing) -> Vec<String> {
    let mut names: Vec<String> = listing.subjects.iter().map(|subject| subject.name.clone()).collect();
    names.sort();
    names
}

fn sort(parts: &mut Parts) {
    for part in [&mut parts.train, &mut parts.val, &mut parts.test] {
        part.sort();
    }
}

/// Cuts at the rounded cumulative fractions, so that fractions that sum to 1 use every subject. A group is in the part that
/// has its middle subject.
fn split_by_fractions(
    fraction: &Fraction,
    seed: Seed,
    listing: &Listing,
    names: Vec<String>,
) -> Result<Parts, SplitError> {
    let [train, val, test] = [fraction.train, fraction.val, fraction.test].map(NonNegative::get);
    let sum = train + val + test;
    if sum > 1.0 + 1e-9 {
        return Err(SplitError::FractionSum { sum });
    }
    let seed = fraction.seed.map_or(seed, Seed);
    let total = names.len();
    let groups: Vec<Vec<String>> = match &fraction.groups {
        None => names.into_iter().map(|name| vec![name]).collect(),
        Some(groups) => {
            let values = groups.values(AttributeUse::Groups, listing)?;
            by_value(&values).into_values().map(|names| names.into_iter().cloned().collect()).collect()
        }
    };
    let cut = |fraction: f64| ((fraction * total as f64 + 1e-9).round() as usize).min(total);
    let cuts = [cut(train), cut(train + val), cut(sum)];
    let (mut parts, mut before) = (Parts::default(), 0);
    for group in shuffled(seed, groups) {
        let middle = before + group.len() / 2;
        before += group.len();
        match cuts.iter().position(|cut| middle < *cut) {
            Some(0) => parts.train.extend(group),
            Some(1) => parts.val.extend(group),
            Some(_) => parts.test.extend(group),
            None => {}
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("case_{i:02}")).collect()
    }

    fn non_negative(value: f64) -> NonNegative {
        NonNegative::new(value).unwrap()
    }

    fn fraction(train: f64, val: f64, test: f64) -> Split {
        let [train, val, test] = [train, val, test].map(non_negative);
        Split::Fraction(Fraction { train, val, test, seed: None, groups: None })
    }

    fn fold(index: usize, count: usize) -> Split {
        Split::Fold(Fold::new(index, NonZeroUsize::new(count).unwrap()))
    }

    fn listing(names: &[String]) -> Listing {
        let subject = |name: &String| Subject { name: name.clone(), images: Vec::new(), label: None };
        Listing { subjects: names.iter().map(subject).collect(), ..Listing::default() }
    }

    fn parts(split: &Split, seed: Seed, names: &[String]) -> Result<Parts, SplitError> {
        super::parts(split, seed, &listing(names))
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

    #[test]
    fn a_group_is_in_one_part_of_fractions() {
        let names: Vec<String> = (0..60).map(|index| format!("p{:02}_{index:02}", (index * index) % 25)).collect();
        let groups = Some(serde_json::from_str(r#"{"pattern": "^p[0-9]+"}"#).unwrap());
        let [train, val, test] = [0.6, 0.2, 0.2].map(non_negative);
        let split = Split::Fraction(Fraction { train, val, test, seed: Some(4), groups });
        let parts = parts(&split, Seed(1), &names).unwrap();
        assert_eq!(all(&parts).len(), 60);
        let patients = |names: &[String]| names.iter().map(|name| name[..3].to_owned()).collect::<BTreeSet<_>>();
        let [train, val, test] = [&parts.train, &parts.val, &parts.test].map(|names| patients(names));
        assert!(train.is_disjoint(&val) && train.is_disjoint(&test) && val.is_disjoint(&test));
    }

    #[test]
    fn written_folds_are_read_again() {
        let names = names(7);
        let all = folds(&fold(0, 3), Seed(2), &listing(&names)).unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits_final.json");
        std::fs::write(&path, to_splits_json(&all)).unwrap();
        for (index, expected) in all.iter().enumerate() {
            let file = Split::File(SplitFile { path: path.clone(), index: Some(index) });
            assert_eq!(parts(&file, Seed(0), &names).unwrap(), *expected);
        }
    }

    #[test]
    fn nnunet_needs_five_subjects_and_has_five_folds() {
        let split = |index| Split::Nnunet(NnunetFold { index });
        let error = parts(&split(0), Seed(0), &names(4)).unwrap_err().to_string();
        assert_eq!(error, "nnU-Net's cross-validation has 5 folds, which need at least 5 subjects, got 4");
        let error = parts(&split(5), Seed(0), &names(9)).unwrap_err().to_string();
        assert_eq!(error, "expected a fold index from 0 to 4, got 5");
    }
}

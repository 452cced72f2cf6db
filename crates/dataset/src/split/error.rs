//! Why a split cannot be made.

use std::path::PathBuf;

use super::attribute::{Attribute, AttributeUse};

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
    /// There are fewer subjects than folds of nnU-Net.
    #[error("nnU-Net's cross-validation has {count} folds, which need at least {count} subjects, got {subjects}")]
    TooFewForNnunet {
        /// The number of folds.
        count: usize,
        /// Number of subjects.
        subjects: usize,
    },
    /// There are more folds than groups.
    #[error("there are fewer groups ({groups}) than folds ({count})")]
    GroupCount {
        /// The requested value.
        count: usize,
        /// Number of groups.
        groups: usize,
    },
    /// The table has no such column.
    #[error("{}", no_column(column, known))]
    NoColumn {
        /// What the column is for.
        usage: AttributeUse,
        /// The requested column.
        column: String,
        /// The other columns of the table; empty if the source is no table or has none.
        known: Vec<String>,
    },
    /// The table has the column more than once.
    #[error("the table has several columns named {column}")]
    RepeatedColumn {
        /// What the column is for.
        usage: AttributeUse,
        /// The requested column.
        column: String,
    },
    /// Subjects have no group, or no value to stratify by.
    #[error("{}", no_value(*usage, attribute, subjects))]
    NoValue {
        /// What the attribute is for.
        usage: AttributeUse,
        /// The attribute.
        attribute: Attribute,
        /// The subjects.
        subjects: Vec<String>,
    },
    /// Labels are given as groups.
    #[error("labels are not a group: subjects with the same labels need not belong together")]
    LabelsAsGroups,
    /// Every subject has a different value, so that folds cannot have the same fractions of them.
    #[error(
        "the {attribute} has a different value for each of the {subjects} subjects, so folds cannot be stratified by it"
    )]
    DistinctValues {
        /// The attribute.
        attribute: Attribute,
        /// The number of subjects.
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
    /// Returns the key below the split that is wrong, if it is one of several.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::NoColumn { usage, .. } | Self::RepeatedColumn { usage, .. } | Self::NoValue { usage, .. } => {
                Some(usage.key())
            }
            Self::DistinctValues { .. } => Some(AttributeUse::Stratify.key()),
            Self::LabelsAsGroups => Some(AttributeUse::Groups.key()),
            Self::GroupCount { .. } => Some("count"),
            _ => None,
        }
    }

    /// Returns how to fix it.
    pub fn help(&self) -> String {
        match self {
            Self::Empty { .. } => {
                "the parts train and val need at least one subject each, or one group with `groups`".to_owned()
            }
            Self::FractionSum { .. } => "write fractions such as `{ train: 0.7, val: 0.2, test: 0.1 }`".to_owned(),
            Self::FoldIndex { .. } | Self::FileIndex { .. } => "folds are counted from 0".to_owned(),
            Self::FoldCount { .. } => "change `count`, or add subjects".to_owned(),
            Self::TooFewForNnunet { .. } => {
                "add subjects, or use fewer folds: `split: { fold: { index: 0, count: 2 } }`".to_owned()
            }
            Self::GroupCount { .. } => "lower `count`, or choose groups of fewer subjects".to_owned(),
            Self::NoColumn { known, .. } if known.is_empty() => {
                "add a column to the `table` of the source, or use a part of the subjects' names, such as \
                 `{ pattern: \"^patient[0-9]+\" }`"
                    .to_owned()
            }
            Self::NoColumn { .. } => "choose one of them, or add the column to the table".to_owned(),
            Self::RepeatedColumn { .. } => "rename all but one of them".to_owned(),
            Self::NoValue { attribute: Attribute::Column(_), .. } => {
                "fill in the column for every subject; one that belongs to no other subject needs a value of its own"
                    .to_owned()
            }
            Self::NoValue { attribute: Attribute::Pattern(_), .. } => {
                "change the pattern so that it matches a part of every subject's name".to_owned()
            }
            Self::NoValue { attribute: Attribute::Labels(_), .. } => {
                "add the label maps, leave these subjects out of the source, or stratify by a `column`".to_owned()
            }
            Self::LabelsAsGroups => {
                "use a `column` or a `pattern`, or `stratify` by labels, so that every fold has the same fractions of them"
                    .to_owned()
            }
            Self::DistinctValues { .. } => {
                "stratify by something with few values, such as the hospital, or remove `stratify`".to_owned()
            }
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
pub(super) fn first_names(names: &[String]) -> String {
    const MAX_SHOWN: usize = 10;
    let more = names.len().saturating_sub(MAX_SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn no_column(column: &str, known: &[String]) -> String {
    match known {
        [] => format!("there is no column {column}: the source has no table with other columns"),
        known => format!("the table has no column {column}; its other columns are {}", first_names(known)),
    }
}

fn no_value(usage: AttributeUse, attribute: &Attribute, subjects: &[String]) -> String {
    let names = first_names(subjects);
    let count = match subjects.len() {
        1 => "1 subject has".to_owned(),
        count => format!("{count} subjects have"),
    };
    let what = match usage {
        AttributeUse::Groups => "group",
        AttributeUse::Stratify => "value to stratify by",
    };
    let reason = match attribute {
        Attribute::Column(_) => format!("the {attribute} is empty for"),
        Attribute::Pattern(_) => format!("the {attribute} does not match"),
        Attribute::Labels(_) => "there is no label map of".to_owned(),
    };
    format!("{count} no {what}: {reason} {names}")
}

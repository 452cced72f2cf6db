//! Which run of a setting was not trained on a subject.

use std::collections::BTreeMap;

use dataset::split::Parts;

/// Subjects named in a message; further ones are only counted.
const MAX_NAMED: usize = 5;

/// A run and the subjects of each part of its split.
#[derive(Clone, Copy, Debug)]
pub struct FoldRun<'a> {
    /// The name of the run.
    pub name: &'a str,
    /// Its split.
    pub parts: &'a Parts,
}

/// Runs whose validation subjects do not give each subject one out-of-fold prediction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldsError {
    /// Subjects are validated by two runs.
    #[error("{first} and {second} both validate {}", listed(subjects))]
    Overlap {
        /// A run.
        first: String,
        /// Another run.
        second: String,
        /// The subjects.
        subjects: Vec<String>,
    },
    /// Subjects are validated by the run that was trained on them.
    #[error("{run} was trained on subjects that it validates: {}", listed(subjects))]
    Trained {
        /// The run.
        run: String,
        /// The subjects.
        subjects: Vec<String>,
    },
    /// A run validates nobody.
    #[error("{run} has no validation subjects")]
    Empty {
        /// The run.
        run: String,
    },
}

/// Returns the index of the run that predicts each subject out of fold: the one that validates it and was not trained on it.
///
/// # Errors
/// When a subject has two such runs, or a run was trained on a subject that it validates.
pub fn out_of_fold(runs: &[FoldRun]) -> Result<BTreeMap<String, usize>, FoldsError> {
    let mut by_subject: BTreeMap<String, usize> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let name = run.name.to_owned();
        if run.parts.val.is_empty() {
            return Err(FoldsError::Empty { run: name });
        }
        let is_trained = |subject: &&String| run.parts.train.contains(subject);
        let trained: Vec<String> = run.parts.val.iter().filter(is_trained).cloned().collect();
        if !trained.is_empty() {
            return Err(FoldsError::Trained { run: name, subjects: trained });
        }
        let other = run.parts.val.iter().find_map(|subject| by_subject.get(subject).copied());
        if let Some(other) = other {
            let is_shared = |subject: &&String| by_subject.get(*subject) == Some(&other);
            let subjects = run.parts.val.iter().filter(is_shared).cloned().collect();
            return Err(FoldsError::Overlap { first: runs[other].name.to_owned(), second: name, subjects });
        }
        by_subject.extend(run.parts.val.iter().map(|subject| (subject.clone(), index)));
    }
    Ok(by_subject)
}

/// Lists names, of many only the first.
pub fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    let named = names[..names.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more subjects") } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(train: &[&str], val: &[&str]) -> Parts {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Parts { train: owned(train), val: owned(val), test: Vec::new() }
    }

    fn error(splits: &[Parts]) -> String {
        let names = ["fold_0", "fold_1", "fold_2"];
        let runs: Vec<FoldRun> = names.iter().zip(splits).map(|(name, parts)| FoldRun { name, parts }).collect();
        out_of_fold(&runs).unwrap_err().to_string()
    }

    #[test]
    fn each_subject_is_predicted_by_the_run_that_validates_it() {
        let splits = [parts(&["b", "c"], &["a"]), parts(&["a"], &["b", "c"])];
        let runs: Vec<FoldRun> = splits.iter().map(|parts| FoldRun { name: "run", parts }).collect();
        let by_subject = out_of_fold(&runs).unwrap();
        assert_eq!(
            by_subject.into_iter().collect::<Vec<_>>(),
            [("a", 0), ("b", 1), ("c", 1)].map(|(a, i)| (a.to_owned(), i))
        );
    }

    #[test]
    fn overlaps_and_trained_subjects_are_named() {
        let overlap = [parts(&["c"], &["a", "b"]), parts(&["a"], &["c", "b"])];
        assert_eq!(error(&overlap), "fold_0 and fold_1 both validate b");
        let trained = [parts(&["a", "b"], &["b"])];
        assert_eq!(error(&trained), "fold_0 was trained on subjects that it validates: b");
        assert_eq!(error(&[parts(&["a"], &[])]), "fold_0 has no validation subjects");
        let many: Vec<String> = (0..8).map(|index| format!("s{index}")).collect();
        assert_eq!(listed(&many), "s0, s1, s2, s3, s4 and 3 more subjects");
    }
}

//! Split files: the subjects of each part by name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Parts, SplitError, SplitFile};

/// Reads a split of some of the subjects `names`, which are sorted.
///
/// # Errors
/// When the file cannot be read, is malformed, has no such fold, or its names are not those of subjects.
pub(super) fn read(file: &SplitFile, names: &[String]) -> Result<Parts, SplitError> {
    let SplitFile { path, index } = file;
    let text = std::fs::read_to_string(path).map_err(|source| SplitError::Io { path: path.clone(), source })?;
    let wrong = |source| SplitError::Json { path: path.clone(), source };
    // Windows editors write a byte-order mark.
    let content: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(wrong)?;
    let split = match (content, *index) {
        (Value::Array(folds), Some(index)) => {
            let count = folds.len();
            folds.into_iter().nth(index).ok_or(SplitError::FileIndex { path: path.clone(), index, count })?
        }
        (Value::Array(folds), None) => return Err(SplitError::NoIndex { path: path.clone(), count: folds.len() }),
        (_, Some(_)) => return Err(SplitError::OneSplit { path: path.clone() }),
        (split, None) => split,
    };
    let parts: Parts = serde_json::from_value(split).map_err(wrong)?;
    check_names(file, &parts, names)?;
    Ok(parts)
}

/// Checks that every name is that of a subject and listed once.
fn check_names(file: &SplitFile, parts: &Parts, names: &[String]) -> Result<(), SplitError> {
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut listed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (part, names) in [("train", &parts.train), ("val", &parts.val), ("test", &parts.test)] {
        for name in names {
            listed.entry(name).or_default().push(part);
        }
    }
    let unknown: Vec<String> =
        listed.keys().filter(|name| !known.contains(*name)).map(|&name| name.to_owned()).collect();
    if !unknown.is_empty() {
        let known = names.iter().take(3).cloned().collect();
        return Err(SplitError::Unknown { path: file.path.clone(), names: unknown, known });
    }
    let repeated: Vec<String> = listed
        .iter()
        .filter(|(_, parts)| parts.len() > 1)
        .map(|(name, parts)| format!("{name} in {}", parts.join(" and ")))
        .collect();
    if !repeated.is_empty() {
        return Err(SplitError::Repeated { path: file.path.clone(), names: repeated });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        (0..4).map(|index| format!("case_0{index}")).collect()
    }

    fn split(text: &str, index: Option<usize>) -> Result<Parts, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split.json");
        std::fs::write(&path, text).unwrap();
        read(&SplitFile { path, index }, &names()).map_err(|error| error.to_string())
    }

    #[test]
    fn unknown_and_repeated_names_of_a_file_are_reported() {
        let parts = split(r#"{"train": ["case_02", "case_00"], "val": ["case_01"]}"#, None).unwrap();
        assert_eq!((parts.train.len(), parts.val), (2, vec!["case_01".to_owned()]));
        let unknown = split(r#"{"train": ["case_9"], "val": ["case_01"]}"#, None).unwrap_err();
        assert!(
            unknown.ends_with("no such subjects: case_9; subjects of the dataset are case_00, case_01, case_02, …"),
            "{unknown}"
        );
        let repeated = split(r#"{"train": ["case_00", "case_01"], "val": ["case_01"]}"#, None).unwrap_err();
        assert!(repeated.contains("case_01 in train and val"), "{repeated}");
    }

    #[test]
    fn a_fold_of_nnunets_list_is_chosen_by_its_index() {
        let folds = "\u{feff}[{\"train\": [\"case_00\"], \"val\": [\"case_01\"]}, {\"train\": [\"case_02\"], \"val\": [\"case_03\"]}]";
        assert_eq!(split(folds, Some(1)).unwrap().val, ["case_03"]);
        let missing = split(folds, None).unwrap_err();
        assert!(missing.contains("it has 2 folds"), "{missing}");
        let beyond = split(folds, Some(2)).unwrap_err();
        assert!(beyond.contains("expected a fold index from 0 to 1, got 2"), "{beyond}");
        let single = split(r#"{"train": ["case_00"], "val": ["case_01"]}"#, Some(0)).unwrap_err();
        assert!(single.contains("one split"), "{single}");
        assert!(split("[]", Some(0)).unwrap_err().contains("it has no folds"));
    }
}

//! What a split has in its parts, in words.

use super::folds::by_value;
use super::{AttributeUse, Fold, Split, SplitError, error};
use crate::sources::Listing;

/// Describes the groups and what is stratified by, with the numbers of subjects; `None` if there is neither.
///
/// # Errors
/// When a subject has no value.
pub fn describe(split: &Split, listing: &Listing) -> Result<Option<String>, SplitError> {
    let mut descriptions = Vec::new();
    if let Some(groups) = split.groups() {
        let values = groups.values(AttributeUse::Groups, listing)?;
        let subjects = by_value(&values);
        let largest = subjects.values().map(Vec::len).max().unwrap_or(0);
        let noun = if largest == 1 { "subject" } else { "subjects" };
        descriptions.push(format!("{} groups by {groups}, of at most {largest} {noun}", subjects.len()));
    }
    if let Some(stratify) = split.stratify() {
        let values = stratify.values(AttributeUse::Stratify, listing)?;
        let subjects = by_value(&values);
        const MAX_SHOWN: usize = 8;
        let mut counts: Vec<String> =
            subjects.iter().map(|(value, names)| format!("{value} {}", names.len())).collect();
        if counts.len() > MAX_SHOWN {
            counts.truncate(MAX_SHOWN);
            counts.push("…".to_owned());
        }
        descriptions.push(format!("stratified by {stratify}: {}", counts.join(", ")));
    }
    Ok((!descriptions.is_empty()).then(|| descriptions.join("; ")))
}

/// Returns a warning about values that fewer subjects have than there are folds, which some folds therefore lack.
pub fn rare_values(split: &Split, listing: &Listing) -> Option<String> {
    let Split::Fold(Fold { count, stratify: Some(stratify), .. }) = split else { return None };
    let values = stratify.values(AttributeUse::Stratify, listing).ok()?;
    let subjects = by_value(&values);
    let rare = subjects.iter().filter(|(_, names)| names.len() < count.get());
    let rare: Vec<String> = rare.map(|(value, names)| format!("{value} ({})", names.len())).collect();
    (!rare.is_empty()).then(|| {
        format!(
            "the folds are stratified by the {stratify}, but these of its values have fewer subjects than there are folds ({count}): {}",
            error::first_names(&rare)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;

    fn listing(names: &[String]) -> Listing {
        let subject = |name: &String| Subject { name: name.clone(), images: Vec::new(), label: None };
        Listing { subjects: names.iter().map(subject).collect(), ..Listing::default() }
    }

    #[test]
    fn the_description_counts_groups_and_values() {
        let split: Split = serde_json::from_str(
            r#"{"fold": {"index": 0, "count": 3, "groups": {"pattern": "^.."}, "stratify": {"pattern": "^."}}}"#,
        )
        .unwrap();
        let names = ["a1_x", "a1_y", "a2_x", "a3_x", "b1_x"].map(str::to_owned);
        let description = describe(&split, &listing(&names)).unwrap().unwrap();
        assert_eq!(description, "4 groups by pattern ^.., of at most 2 subjects; stratified by pattern ^.: a 4, b 1");
        let warning = rare_values(&split, &listing(&names)).unwrap();
        assert!(warning.ends_with("have fewer subjects than there are folds (3): b (1)"), "{warning}");
        let plain = Split::Fold(Fold::new(0, 3.try_into().unwrap()));
        assert_eq!(describe(&plain, &listing(&names)).unwrap(), None);
    }
}

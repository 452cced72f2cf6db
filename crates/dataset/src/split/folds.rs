//! The folds of a cross-validation: which subjects validate together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::attribute::AttributeUse;
use super::{Fold, SplitError};
use crate::sources::Listing;
use random::{Purpose, Seed};

/// Returns the validation subjects of each fold. `names` are those of the subjects, sorted; `seed` is that of the
/// experiment.
pub(super) fn folds(
    fold: &Fold,
    seed: Seed,
    listing: &Listing,
    names: Vec<String>,
) -> Result<Vec<Vec<String>>, SplitError> {
    let (count, subjects) = (fold.count.get(), names.len());
    if count < 2 || count > subjects {
        return Err(SplitError::FoldCount { count, subjects });
    }
    let seed = fold.seed.map_or(seed, Seed);
    let strata =
        fold.stratify.as_ref().map(|attribute| attribute.values(AttributeUse::Stratify, listing)).transpose()?;
    if let (Some(attribute), Some(strata)) = (&fold.stratify, &strata)
        && by_value(strata).len() == subjects
    {
        return Err(SplitError::DistinctValues { attribute: attribute.clone(), subjects });
    }
    let Some(groups) = &fold.groups else {
        let mut names = shuffled(seed, names);
        if let Some(strata) = &strata {
            names.sort_by_key(|name| strata.get(name));
        }
        return Ok(dealt(names, count));
    };
    let values = groups.values(AttributeUse::Groups, listing)?;
    let groups = by_value(&values);
    if count > groups.len() {
        return Err(SplitError::GroupCount { count, groups: groups.len() });
    }
    let stratum = |name: &String| strata.as_ref().and_then(|strata| strata.get(name).cloned()).unwrap_or_default();
    Ok(distributed(seed, groups, count, stratum))
}

/// Shuffles items by the stream of splits.
pub(super) fn shuffled<T>(seed: Seed, mut sorted: Vec<T>) -> Vec<T> {
    seed.stream(Purpose::Split, 0, "", 0).shuffle(&mut sorted);
    sorted
}

/// Returns the subjects of each value.
pub(super) fn by_value(values: &BTreeMap<String, String>) -> BTreeMap<&String, Vec<&String>> {
    let mut subjects: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for (name, value) in values {
        subjects.entry(value).or_default().push(name);
    }
    subjects
}

/// Deals names to the folds in turn.
fn dealt(names: Vec<String>, count: usize) -> Vec<Vec<String>> {
    let mut folds = vec![Vec::new(); count];
    for (position, name) in names.into_iter().enumerate() {
        folds[position % count].push(name);
    }
    folds
}

/// Distributes groups, the largest first, to the fold that keeps the folds most equal: in their fractions of each stratum,
/// then in their numbers of subjects. Groups of one size are in random order.
fn distributed(
    seed: Seed,
    groups: BTreeMap<&String, Vec<&String>>,
    count: usize,
    stratum: impl Fn(&String) -> String,
) -> Vec<Vec<String>> {
    let mut groups = shuffled(seed, groups.into_values().collect());
    groups.sort_by_key(|group| Reverse(group.len()));
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    for name in groups.iter().flatten() {
        *totals.entry(stratum(name)).or_default() += 1.0;
    }
    let mut counts: Vec<BTreeMap<String, f64>> = vec![BTreeMap::new(); count];
    let mut folds: Vec<Vec<String>> = vec![Vec::new(); count];
    for group in groups {
        let mut added: BTreeMap<String, f64> = BTreeMap::new();
        for name in &group {
            *added.entry(stratum(name)).or_default() += 1.0;
        }
        // The increase of the sum over folds of squared fractions, which is smallest for equal fractions.
        let increase = |fold: usize| -> f64 {
            let of_stratum = |(stratum, added): (&String, &f64)| {
                let before = counts[fold].get(stratum).copied().unwrap_or(0.0);
                added * (2.0 * before + added) / (totals[stratum] * totals[stratum])
            };
            added.iter().map(of_stratum).sum()
        };
        let order = |a: &usize, b: &usize| {
            increase(*a).total_cmp(&increase(*b)).then_with(|| folds[*a].len().cmp(&folds[*b].len()))
        };
        let best = (0..count).min_by(order).expect("there are at least two folds");
        for (stratum, added) in added {
            *counts[best].entry(stratum).or_default() += added;
        }
        folds[best].extend(group.into_iter().cloned());
    }
    folds
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::sources::TableColumn;
    use crate::split::{Attribute, Split, parts};
    use crate::subject::Subject;

    fn listing(names: &[String], columns: &[(&str, &dyn Fn(usize) -> String)]) -> Listing {
        let subject = |name: &String| Subject { name: name.clone(), images: Vec::new(), label: None };
        let column = |(name, value): &(&str, &dyn Fn(usize) -> String)| TableColumn {
            name: (*name).to_owned(),
            values: names.iter().enumerate().map(|(index, name)| (name.clone(), value(index))).collect(),
        };
        Listing {
            subjects: names.iter().map(subject).collect(),
            columns: columns.iter().map(column).collect(),
            ..Listing::default()
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("case_{index:03}")).collect()
    }

    fn fold(count: usize) -> Fold {
        Fold { index: 0, count: NonZeroUsize::new(count).unwrap(), seed: Some(7), groups: None, stratify: None }
    }

    fn column(name: &str) -> Option<Attribute> {
        Some(Attribute::Column(name.to_owned()))
    }

    fn all_folds(fold: &Fold, listing: &Listing) -> Vec<Vec<String>> {
        let names = listing.subjects.iter().map(|subject| subject.name.clone()).collect();
        folds(fold, Seed(1), listing, names).unwrap()
    }

    /// Returns how many subjects of each value of a column each fold has.
    fn counts(folds: &[Vec<String>], value: impl Fn(usize) -> usize) -> Vec<BTreeMap<usize, usize>> {
        let index = |name: &String| name.trim_start_matches("case_").parse::<usize>().unwrap();
        let count = |fold: &Vec<String>| {
            let mut counts = BTreeMap::new();
            fold.iter().for_each(|name| *counts.entry(value(index(name))).or_default() += 1);
            counts
        };
        folds.iter().map(count).collect()
    }

    #[test]
    fn a_seed_of_the_folds_takes_the_place_of_that_of_the_experiment() {
        let listing = listing(&names(20), &[]);
        let split = |own: Option<u64>, seed: u64| {
            let split = Split::Fold(Fold { seed: own, ..fold(5) });
            parts(&split, Seed(seed), &listing).unwrap().val
        };
        assert_eq!(split(Some(3), 1), split(Some(3), 2));
        assert_eq!(split(Some(3), 1), split(None, 3));
        assert_ne!(split(None, 1), split(None, 2));
    }

    #[test]
    fn a_group_is_in_one_fold_and_folds_have_as_many_subjects_as_groups_allow() {
        // Groups of 1 to 4 subjects.
        let group = |index: usize| (index * index / 7) % 17;
        let listing = listing(&names(60), &[("patient", &|index| group(index).to_string())]);
        let folds = all_folds(&Fold { groups: column("patient"), ..fold(5) }, &listing);
        let mut of_group = BTreeMap::new();
        for (fold, counts) in counts(&folds, group).iter().enumerate() {
            for group in counts.keys() {
                assert_eq!(of_group.insert(*group, fold), None, "group {group} is in two folds");
            }
        }
        let sizes: Vec<usize> = folds.iter().map(Vec::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 60);
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 2, "{sizes:?}");
    }

    #[test]
    fn groups_of_one_subject_are_folds_without_groups() {
        let listing = listing(&names(23), &[]);
        let each = Some(serde_json::from_str(r#"{"pattern": ".*"}"#).unwrap());
        assert_eq!(all_folds(&Fold { groups: each, ..fold(4) }, &listing), all_folds(&fold(4), &listing));
    }

    #[test]
    fn stratified_folds_have_equal_shares_of_each_value_and_sizes_that_differ_by_at_most_one() {
        let site = |index: usize| [0, 0, 0, 1, 2, 0, 1][index % 7];
        let listing = listing(&names(53), &[("site", &|index| site(index).to_string())]);
        let folds = all_folds(&Fold { stratify: column("site"), ..fold(5) }, &listing);
        let counts = counts(&folds, site);
        for value in 0..3 {
            let of_value: Vec<usize> = counts.iter().map(|counts| counts.get(&value).copied().unwrap_or(0)).collect();
            assert!(of_value.iter().max().unwrap() - of_value.iter().min().unwrap() <= 1, "{value}: {of_value:?}");
        }
        assert!(folds.iter().all(|fold| (10..=11).contains(&fold.len())));
    }

    #[test]
    fn groups_can_be_stratified() {
        // 40 patients of 3 scans; a patient's scans are of one site.
        let (patient, site) = (|index: usize| index / 3, |index: usize| usize::from((index / 3).is_multiple_of(4)));
        let columns: [(&str, &dyn Fn(usize) -> String); 2] =
            [("patient", &|index| patient(index).to_string()), ("site", &|index| site(index).to_string())];
        let listing = listing(&names(120), &columns);
        let folds = all_folds(&Fold { groups: column("patient"), stratify: column("site"), ..fold(5) }, &listing);
        let of_site = counts(&folds, site);
        assert!(of_site.iter().all(|counts| counts[&0] == 18 && counts[&1] == 6), "{of_site:?}");
        let of_patient = counts(&folds, patient);
        assert!(of_patient.iter().flat_map(BTreeMap::values).all(|scans| *scans == 3));
    }

    #[test]
    fn more_folds_than_groups_and_nothing_to_stratify_by_are_errors() {
        let listing = listing(&names(6), &[("patient", &|index| (index / 2).to_string()), ("age", &|i| i.to_string())]);
        let error = |fold: Fold| folds(&fold, Seed(0), &listing, names(6)).unwrap_err().to_string();
        let message = error(Fold { groups: column("patient"), ..fold(4) });
        assert_eq!(message, "there are fewer groups (3) than folds (4)");
        let message = error(Fold { stratify: column("age"), ..fold(3) });
        assert!(message.starts_with("the column age has a different value for each of the 6 subjects"), "{message}");
    }
}

//! Caveats of a comparison in sentences.

use std::collections::BTreeMap;

use super::MAX_ITEMS;
use crate::comparison::{ComparedEpoch, Group, Setting, Subject};
use crate::format::{capitalized, count};
use crate::statistics::mean;

/// With fewer cases, bootstrap intervals are too narrow.
const FEW_CASES: usize = 10;

/// Returns all caveats of a group.
pub(super) fn warnings(group: &Group) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(selected_epoch(group));
    warnings.extend(excluded_runs(group));
    warnings.extend(incomplete_settings(group));
    warnings.extend(undefined_labels(group));
    warnings.extend(unpaired_cases(group));
    let num_cases = |setting: &Setting| setting.cases.len();
    let (min, max) = (group.settings.iter().map(num_cases).min(), group.settings.iter().map(num_cases).max());
    let (Some(min), Some(max)) = (min, max) else { return warnings };
    if min < max {
        warnings.push(format!(
            "{noun}s were scored on {min} to {max} cases: their means are over different cases, the differences over common \
             cases.",
            noun = capitalized(group.setting_noun())
        ));
    }
    if (2..FEW_CASES).contains(&min) {
        let cases = count(min, "case");
        warnings.push(format!("Bootstrap intervals over {cases} are too narrow; rely on the Wilcoxon tests."));
    }
    warnings
}

/// Warns of settings whose mean is over fewer labels than that of others.
fn undefined_labels(group: &Group) -> Option<String> {
    let undefined = group.labels.iter().enumerate().flat_map(|(index, label)| {
        let is_defined = move |setting: &Setting| setting.labels[index].mean.is_some();
        let differs = group.settings.iter().any(is_defined);
        let without = group.settings.iter().filter(move |setting| differs && !is_defined(setting));
        without.map(move |setting| format!("{label} of {}", setting.short_name))
    });
    let undefined: Vec<String> = undefined.collect();
    let more = undefined.len().saturating_sub(MAX_ITEMS);
    let names = undefined.iter().take(MAX_ITEMS).cloned().collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (title, noun) = (&group.metric.title, group.setting_noun());
    (!undefined.is_empty()).then(|| {
        format!(
            "{} is undefined in every case for {names}{more}: the mean of such a {noun} is over the other labels only, so \
             it is not comparable.",
            capitalized(title)
        )
    })
}

/// Warns of settings with failed, pruned or unfinished runs: the other runs may be better by selection.
fn incomplete_settings(group: &Group) -> Option<String> {
    let incomplete = group.settings.iter().filter(|setting| setting.num_incomplete > 0).map(|setting| {
        let all = setting.num_incomplete + setting.runs.len();
        format!("{} ({} of {all})", setting.short_name, setting.num_incomplete)
    });
    let incomplete: Vec<String> = incomplete.collect();
    let more = incomplete.len().saturating_sub(MAX_ITEMS);
    let names = incomplete.iter().take(MAX_ITEMS).cloned().collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!incomplete.is_empty()).then(|| {
        format!(
            "Some runs failed, were pruned or are not finished, so the scores of their settings may be too high: \
             {names}{more}."
        )
    })
}

/// Warns of cases that count in the means of settings but in no difference.
fn unpaired_cases(group: &Group) -> Option<String> {
    let against_best = || group.comparisons.iter().filter(|pair| pair.a == 0);
    let max = |label: usize| against_best().map(|pair| pair.unpaired_cases[label]).max().unwrap_or(0);
    let labels = group.labels.iter().enumerate().map(|(index, label)| (max(index), label));
    let unpaired: Vec<String> = labels
        .filter(|(cases, _)| *cases > 0)
        .map(|(cases, label)| format!("{label} in up to {}", count(cases, "case")))
        .collect();
    (!unpaired.is_empty()).then(|| {
        let noun = group.setting_noun();
        let (reason, fix) = match group.metric.name.as_str() {
            "dice" | "jaccard" => (
                format!("the reference has no such class, and one {noun} predicted some voxels of it"),
                "; `empty: one` in `metrics` defines the score for both",
            ),
            _ => ("the class is missing in the reference or in one of the predictions".to_owned(), ""),
        };
        format!(
            "Some scores are defined in only one of two {noun}s ({}): {reason}. They count in that {noun}'s mean but in \
             no difference{fix}.",
            unpaired.join(", ")
        )
    })
}

/// Warns that the best epoch was selected on the cases that it is scored on.
fn selected_epoch(group: &Group) -> Option<String> {
    if group.epoch == ComparedEpoch::Last || group.subject != Subject::Runs {
        return None;
    }
    let included = group.runs.iter().filter(|run| run.setting.is_some() && run.run.monitor() != "train_loss");
    let selected = included.filter_map(|run| run.scores.as_ref()).filter(|scores| scores.num_scored_epochs > 1);
    let gains: Vec<f64> = selected
        .clone()
        .filter_map(|scores| Some(group.metric.advantage(scores.mean.mean? - scores.last_mean?)))
        .collect();
    let gain = mean(gains)?;
    let num_epochs = || selected.clone().map(|scores| scores.num_scored_epochs);
    let (min, max) = (num_epochs().min()?, num_epochs().max()?);
    let epochs = if min == max { max.to_string() } else { format!("{min} to {max}") };
    let size = group.metric.quantity(gain.abs());
    let gain = match (size == group.metric.quantity(0.0), gain < 0.0) {
        (true, _) => "as good as".to_owned(),
        (false, true) => format!("{size} worse than"),
        (false, false) => format!("{size} better than"),
    };
    let uneven = if min == max { "" } else { "; runs with more scored epochs gain more" };
    Some(format!(
        "The best of {epochs} scored epochs was selected on the same cases that it is scored on, so the scores are \
         optimistic (on average {gain} the last epoch{uneven}). `--epoch last` compares the last epochs; only a test \
         split that was used for no selection gives an unbiased score."
    ))
}

fn excluded_runs(group: &Group) -> Option<String> {
    let reasons: Vec<&str> = group.runs.iter().filter_map(|run| run.exclusion.as_deref()).collect();
    if reasons.is_empty() {
        return None;
    }
    let mut counts = BTreeMap::new();
    for reason in &reasons {
        let kind = if reason.starts_with("repeats") { "repeats another run with the same seed" } else { reason };
        *counts.entry(kind).or_insert(0usize) += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(kind, number)| format!("{kind} ({number})")).collect();
    let runs = if reasons.len() == 1 { "1 run is".to_owned() } else { format!("{} runs are", reasons.len()) };
    Some(format!("{runs} excluded from all means: {}.", counts.join(", ")))
}

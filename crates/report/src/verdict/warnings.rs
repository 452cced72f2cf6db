//! What to keep in mind before believing a comparison, in plain sentences.

use std::collections::BTreeMap;

use super::{TOLD, count, three};
use crate::comparison::{ComparedEpoch, Group, Setting};
use crate::statistics::mean;

/// An interval of fewer cases is too narrow.
const FEW_CASES: usize = 10;

/// All of them.
pub fn of(group: &Group) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(selection(group));
    warnings.extend(left_out(group));
    warnings.extend(lost(group));
    warnings.extend(one_sided(group));
    let cases = |setting: &Setting| setting.cases.len();
    let (fewest, most) = (group.settings.iter().map(cases).min(), group.settings.iter().map(cases).max());
    let (Some(fewest), Some(most)) = (fewest, most) else { return warnings };
    if fewest < most {
        warnings.push(format!(
            "Settings were validated on {fewest} to {most} cases, so their means are not of the same cases; the differences are."
        ));
    }
    if (2..FEW_CASES).contains(&fewest) {
        let fewest = count(fewest, "case");
        warnings.push(format!("Bootstrap intervals of {fewest} are too narrow; the tests are the better guide."));
    }
    warnings
}

/// Settings of which some runs did not come through: what is left is a choice, and flatters.
fn lost(group: &Group) -> Option<String> {
    let told = group.settings.iter().filter(|setting| setting.lost > 0).map(|setting| {
        let all = setting.lost + setting.rows.len();
        format!("{} ({} of {all})", setting.short, setting.lost)
    });
    let told: Vec<String> = told.collect();
    let more = told.len().saturating_sub(TOLD);
    let names = told.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!told.is_empty()).then(|| {
        format!("Runs failed, were pruned or are not done, so these settings are judged by those that came through: {names}{more}.")
    })
}

/// Cases that the table of settings counts and no difference does.
fn one_sided(group: &Group) -> Option<String> {
    let against_best = || group.comparisons.iter().filter(|pair| pair.a == 0);
    let most = |label: usize| against_best().map(|pair| pair.one_sided[label]).max().unwrap_or(0);
    let labels = group.labels.iter().enumerate().map(|(place, label)| (most(place), label));
    let told: Vec<String> = labels
        .filter(|(cases, _)| *cases > 0)
        .map(|(cases, label)| format!("{label} in up to {}", count(cases, "case")))
        .collect();
    (!told.is_empty()).then(|| {
        format!(
            "Some scores are defined in one of two settings only ({}): the class is not there, and one setting found \
             some of it nevertheless. They are in that setting's mean and in no difference; `empty: one` in `metrics` \
             defines them all.",
            told.join(", ")
        )
    })
}

/// The best epoch was chosen on the cases that it is scored on.
fn selection(group: &Group) -> Option<String> {
    if group.epoch == ComparedEpoch::Last {
        return None;
    }
    let counted = group.rows.iter().filter(|row| row.setting.is_some() && row.run.monitor() != "train_loss");
    let chosen = counted.filter_map(|row| row.chosen.as_ref()).filter(|chosen| chosen.choices > 1);
    let gains: Vec<f64> = chosen.clone().filter_map(|chosen| Some(chosen.mean.mean? - chosen.last?)).collect();
    let gain = mean(gains)?;
    let (fewest, most) = (chosen.clone().map(|c| c.choices).min()?, chosen.map(|c| c.choices).max()?);
    let among = if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
    let side = if gain < 0.0 { "below" } else { "above" };
    let uneven = if fewest == most { "" } else { ", and runs with more to choose from look better" };
    Some(format!(
        "The best of {among} scored epochs was chosen on the very cases that it is scored on, so scores flatter \
         (on average {} {side} the last epoch{uneven}). `--epoch last` compares the last epochs; a test split \
         that took part in no choice is the honest number.",
        three(gain.abs())
    ))
}

fn left_out(group: &Group) -> Option<String> {
    let reasons: Vec<&str> = group.rows.iter().filter_map(|row| row.left_out.as_deref()).collect();
    if reasons.is_empty() {
        return None;
    }
    let mut counts = BTreeMap::new();
    for reason in &reasons {
        let kind = if reason.starts_with("repeats") { "repeats of another run with the same seed" } else { reason };
        *counts.entry(kind).or_insert(0usize) += 1;
    }
    let words: Vec<String> = counts.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
    Some(format!(
        "{} in no mean: {}.",
        if reasons.len() == 1 { "1 run is".to_owned() } else { format!("{} runs are", reasons.len()) },
        words.join(", ")
    ))
}

//! The conclusion in one sentence.

use super::significance::{is_significantly_better, is_significantly_lower};
use crate::comparison::{Comparison, Group};

/// Returns the headline of a group with several settings. `against_best` has the comparisons of the first setting.
pub(super) fn headline(group: &Group, against_best: &[&Comparison]) -> String {
    let (best, num_others) = (group.settings[0].short_name.clone(), group.settings.len() - 1);
    let means = || group.settings.iter().filter_map(|setting| setting.mean.mean);
    if means().all(|mean| mean == 0.0) {
        return "Every setting has a mean Dice of 0.".to_owned();
    }
    if means().count() == group.settings.len() && means().all(|mean| Some(mean) == group.settings[0].mean.mean) {
        return "All settings have the same mean Dice.".to_owned();
    }
    // The highest mean may be over easier cases.
    if let Some(pair) = against_best.iter().find(|pair| is_significantly_lower(&pair.mean)) {
        let other = group.settings[pair.b].short_name.clone();
        return format!(
            "{best} has the highest mean Dice, but {other} is better on the cases that both were scored on."
        );
    }
    let num_unpaired = num_others - against_best.len();
    if num_unpaired > 0 {
        return format!(
            "{best} leads, but {num_unpaired} of the {num_others} other settings share no validation cases with it."
        );
    }
    let unclear = against_best.iter().filter(|pair| !is_significantly_better(group, pair));
    let unclear: Vec<String> = unclear.map(|pair| group.settings[pair.b].short_name.clone()).collect();
    match unclear.len() {
        0 if num_others == 1 => format!("{best} is significantly better than the other setting."),
        0 => format!("{best} is significantly better than each of the {num_others} other settings."),
        1 if num_others == 1 => format!("{best} leads, but its lead over the other setting is not significant."),
        count if count == num_others => {
            format!("{best} leads, but its lead over each of the {num_others} others is not significant.")
        }
        1 | 2 => format!("{best} leads; its lead over {} is not significant.", unclear.join(" and ")),
        count => format!("{best} leads; its lead over {count} of the {num_others} other settings is not significant."),
    }
}

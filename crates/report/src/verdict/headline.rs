//! The conclusion in one sentence.

use super::significance::{is_significantly_better, is_significantly_lower};
use crate::comparison::{Comparison, Group};

/// Returns the headline of a group with several settings. `against_best` has the comparisons of the first setting.
pub(super) fn headline(group: &Group, against_best: &[&Comparison]) -> String {
    let (best, num_others) = (group.settings[0].short_name.clone(), group.settings.len() - 1);
    let noun = group.setting_noun();
    let extreme = if group.metric.is_higher_better() { "highest" } else { "lowest" };
    let means = || group.settings.iter().filter_map(|setting| setting.mean.mean);
    if group.metric.is_higher_better() && means().all(|mean| mean == 0.0) {
        return format!("Every {noun} has a mean {} of 0.", group.metric.title);
    }
    if means().count() == group.settings.len() && means().all(|mean| Some(mean) == group.settings[0].mean.mean) {
        return format!("All {noun}s have the same mean {}.", group.metric.title);
    }
    // The highest mean may be over easier cases.
    if let Some(pair) = against_best.iter().find(|pair| is_significantly_lower(&pair.mean)) {
        let other = group.settings[pair.b].short_name.clone();
        return format!(
            "{best} has the {extreme} mean {}, but {other} is better on the cases that both were scored on.",
            group.metric.title
        );
    }
    let num_unpaired = num_others - against_best.len();
    if num_unpaired > 0 {
        return format!("{best} leads, but {num_unpaired} of the {num_others} other {noun}s share no cases with it.");
    }
    let unclear = against_best.iter().filter(|pair| !is_significantly_better(group, pair));
    let unclear: Vec<String> = unclear.map(|pair| group.settings[pair.b].short_name.clone()).collect();
    match unclear.len() {
        0 if num_others == 1 => format!("{best} is significantly better than the other {noun}."),
        0 => format!("{best} is significantly better than each of the {num_others} other {noun}s."),
        1 if num_others == 1 => format!("{best} leads, but its lead over the other {noun} is not significant."),
        count if count == num_others => {
            format!("{best} leads, but its lead over each of the {num_others} others is not significant.")
        }
        1 | 2 => format!("{best} leads; its lead over {} is not significant.", unclear.join(" and ")),
        count => format!("{best} leads; its lead over {count} of the {num_others} other {noun}s is not significant."),
    }
}

//! Texts for people: scores, intervals, counts and truncated names.

use metrics::{Metric, ScoreColumn};

use crate::comparison::Estimate;
use crate::runs::ComparedMetric;
use crate::statistics::ConfidenceInterval;

/// Formats an estimate as in `0.842 (95 % CI 0.801 to 0.871)` or `3.21 mm (95 % CI 2.90 to 3.60 mm)`.
pub fn estimate_text(metric: &ComparedMetric, estimate: &Estimate) -> String {
    let mean = estimate.mean.map_or_else(|| "undefined".to_owned(), |mean| metric.quantity(mean));
    mean + &interval_text(metric, estimate.interval)
}

/// Formats an interval as in ` (95 % CI 0.801 to 0.871)`; empty without an interval.
pub(crate) fn interval_text(metric: &ComparedMetric, interval: Option<ConfidenceInterval>) -> String {
    let text =
        |ConfidenceInterval { low, high }| format!(" (95 % CI {} to {})", metric.number(low), metric.quantity(high));
    interval.map(text).unwrap_or_default()
}

/// Formats a number with the given number of decimals, and zero without a sign.
pub fn decimals(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| c == '0' || c == '.') => digits.to_owned(),
        _ => text,
    }
}

/// Formats a number in plain notation, or in scientific notation if that is clearly shorter.
pub fn number(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if plain.len() <= scientific.len() + 2 { plain } else { scientific }
}

/// Formats a value of a column of scores or losses, such as `val_hd95_mean`, with its unit.
pub fn column_value(column: &str, value: f64, declared: &[Metric]) -> String {
    let Some(column) = ScoreColumn::of(column, declared) else { return decimals(value, 4) };
    let number = decimals(value, column.unit.decimals());
    format!("{number} {}", column.unit.symbol()).trim_end().to_owned()
}

/// Returns a text with its first letter in upper case.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Formats a p-value as in `0.031` or `< 0.001`.
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Formats a count with its noun, as in `1 case` or `2 cases`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Truncates a text to a number of characters; a truncated text ends with an ellipsis.
pub fn truncate(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign() {
        assert_eq!([-0.0004, -0.0006, -10.0].map(|value| decimals(value, 3)), ["0.000", "-0.001", "-10.000"]);
        assert_eq!([-0.0, -0.04, -0.06].map(|value| decimals(value, 1)), ["0.0", "0.0", "-0.1"]);
        assert_eq!(decimals(-0.2, 0), "0");
    }

    #[test]
    fn a_number_is_plain_unless_scientific_notation_is_clearly_shorter() {
        assert_eq!([5e-4, 1e-4, 2e-5, 1e-8, 3000.0].map(number), ["0.0005", "0.0001", "2e-5", "1e-8", "3000"]);
    }

    #[test]
    fn a_truncated_text_ends_with_an_ellipsis() {
        assert_eq!(truncate("0001 short", 22), "0001 short");
        assert_eq!(truncate(&"x".repeat(40), 10), format!("{}…", "x".repeat(9)));
    }
}

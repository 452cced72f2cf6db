//! Texts for people: scores, intervals, counts and truncated names.

use crate::comparison::Estimate;
use crate::statistics::ConfidenceInterval;

/// Formats an estimate as in `0.842 (95 % CI 0.801 to 0.871)`.
pub fn estimate_text(estimate: &Estimate) -> String {
    let mean = estimate.mean.map_or_else(|| "undefined".to_owned(), three_decimals);
    mean + &interval_text(estimate.interval)
}

/// Formats an interval as in ` (95 % CI 0.801 to 0.871)`; empty without an interval.
pub(crate) fn interval_text(interval: Option<ConfidenceInterval>) -> String {
    let text =
        |ConfidenceInterval { low, high }| format!(" (95 % CI {} to {})", three_decimals(low), three_decimals(high));
    interval.map(text).unwrap_or_default()
}

/// Formats a score with three decimals, and zero without a sign.
pub fn three_decimals(score: f64) -> String {
    let text = format!("{score:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
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
        assert_eq!((three_decimals(-0.0004), three_decimals(-0.0006)), ("0.000".to_owned(), "-0.001".to_owned()));
    }

    #[test]
    fn a_truncated_text_ends_with_an_ellipsis() {
        assert_eq!(truncate("0001 short", 22), "0001 short");
        assert_eq!(truncate(&"x".repeat(40), 10), format!("{}…", "x".repeat(9)));
    }
}

//! Widths of texts in the program's own font.

use plotters::prelude::*;

use crate::appearance::use_own_font;

/// Returns the width of a text in pixels.
pub(super) fn width(text: &str, letters: u32) -> u32 {
    use_own_font();
    let measured = ("sans-serif", letters).into_font().box_size(text);
    // Letters are about half as wide as high.
    measured.map_or(text.chars().count() as u32 * letters / 2, |(width, _)| width)
}

/// Splits a text into lines of at most `max` pixels, between words where possible.
pub(super) fn wrapped(text: &str, letters: u32, max: u32) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().expect("there is a first line");
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, letters) <= max {
            *lines.last_mut().expect("there is a first line") = longer;
            continue;
        }
        lines.retain(|line| !line.is_empty());
        lines.extend(broken(word, letters, max));
    }
    lines
}

/// Splits a word into parts of at most `max` pixels, or of one letter.
fn broken(word: &str, letters: u32, max: u32) -> Vec<String> {
    let mut parts = vec![String::new()];
    for letter in word.chars() {
        let longer = format!("{}{letter}", parts.last().map_or("", String::as_str));
        match parts.last_mut() {
            Some(last) if last.is_empty() || width(&longer, letters) <= max => *last = longer,
            _ => parts.push(letter.to_string()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words_and_within_words_that_are_too_long() {
        assert_eq!(wrapped("lesion precision global", 20, 340), ["lesion precision global"]);
        assert_eq!(wrapped("lesion precision global", 20, 150), ["lesion precision", "global"]);
        let lines = wrapped("a intrahepatic_portal_vein_and_branches b", 20, 150);
        assert!(lines.len() >= 3 && lines.iter().all(|line| width(line, 20) <= 150), "{lines:?}");
        let letters = |lines: &[String]| lines.concat().replace(' ', "");
        assert_eq!(letters(&lines), "aintrahepatic_portal_vein_and_branchesb");
        assert_eq!(wrapped("", 20, 150), [""]);
        assert_eq!(wrapped("WWW", 20, 1), ["W", "W", "W"]);
    }
}

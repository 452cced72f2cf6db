//! Lines that are broken at commas.

/// Maximum length of a line in characters, without its name.
const MAX_LINE: usize = 100;

/// Breaks a line after commas, but not inside a list of numbers; the second line and later ones are indented.
pub(super) fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in parts(line) {
        let last = lines.last_mut().expect("there is a line");
        if !last.trim().is_empty() && last.chars().count() + part.trim_end().chars().count() > MAX_LINE {
            lines.push(format!("  {part}"));
        } else {
            last.push_str(part);
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Splits a line after the commas that it may be broken at.
fn parts(line: &str) -> Vec<&str> {
    let is_of_numbers = |open: usize| {
        let content = line[open + 1..].split([']', '[']).next().unwrap_or_default();
        !content.is_empty() && !content.contains(char::is_alphabetic)
    };
    let (mut parts, mut start, mut open) = (Vec::new(), 0, None);
    for (index, character) in line.char_indices() {
        match character {
            '[' => open = Some(index),
            ']' => open = None,
            ' ' if line[..index].ends_with(',') && !open.is_some_and(is_of_numbers) => {
                parts.push(&line[start..=index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_after_commas() {
        assert_eq!(wrapped("constant"), ["constant"]);
        assert_eq!(
            parts("a [1, 2], b [[1, 2], [3, 4]], c [d: 1, e]"),
            ["a [1, 2], ", "b [[1, 2], ", "[3, 4]], ", "c [d: 1, ", "e]"]
        );
        let line = format!("{}, {}, c", "a".repeat(60), "b".repeat(60));
        assert_eq!(wrapped(&line), [format!("{},", "a".repeat(60)), format!("  {}, c", "b".repeat(60))]);
    }
}

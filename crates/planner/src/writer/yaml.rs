//! Lines of YAML with comments.

use std::fmt::Display;

/// The maximum length of a line with a comment.
const WIDTH: usize = 120;

/// Writes YAML line by line.
#[derive(Default)]
pub(super) struct Writer(String);

impl Writer {
    /// Adds a line.
    pub fn line(&mut self, line: impl Display) {
        self.0 += &format!("{line}\n");
    }

    /// Adds an empty line.
    pub fn blank(&mut self) {
        self.0.push('\n');
    }

    /// Adds a comment, wrapped into lines; `indent` is the number of spaces before it.
    pub fn comment(&mut self, indent: usize, comment: impl AsRef<str>) {
        let start = format!("{}#", " ".repeat(indent));
        let mut line = start.clone();
        for word in comment.as_ref().split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > start.len() {
                self.line(&line);
                line.clone_from(&start);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    /// Adds lines with more indentation.
    pub fn indented(&mut self, indent: usize, lines: &str) {
        for line in lines.lines() {
            self.line(format!("{}{line}", " ".repeat(indent)));
        }
    }

    /// Returns the text.
    pub fn finish(self) -> String {
        self.0
    }
}

/// Formats a list, such as `[32, 64]`.
pub(super) fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    format!("[{}]", values.join(", "))
}

/// Formats a list of lists.
pub(super) fn lists<T: Display + Copy>(values: &[[T; 3]]) -> String {
    list(values.iter().map(|value| list(value.iter())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_wrapped_between_words() {
        let mut text = Writer::default();
        text.comment(2, "word ".repeat(30));
        let text = text.finish();
        assert!(
            text.lines().count() == 2 && text.lines().all(|line| line.len() <= WIDTH && line.starts_with("  # word"))
        );
    }

    #[test]
    fn lists_are_in_flow_style() {
        assert_eq!(lists(&[[1, 1, 1], [2, 2, 1]]), "[[1, 1, 1], [2, 2, 1]]");
    }
}

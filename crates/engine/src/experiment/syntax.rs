//! What the YAML parser finds wrong, in a user's words.

use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Location};

use super::problem::{Problem, SourceSpan, SourceText};

/// Tags that YAML itself knows; another one would ask for something that nobody does here.
const TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "seq", "map"];

/// The bytes of a location that the parser reports.
pub(super) fn span_of(location: &Location, text: &str) -> Range<usize> {
    let span = location.span();
    let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) else {
        // The scanner's own errors know a line and a column only.
        let line_start: usize =
            text.split_inclusive('\n').take(location.line().saturating_sub(1) as usize).map(str::len).sum();
        let before = text[line_start..].chars().take(location.column().saturating_sub(1) as usize);
        let start = line_start + before.map(char::len_utf8).sum::<usize>();
        return start..start;
    };
    let start = (start as usize).min(text.len());
    let end = (start + length as usize).min(text.len());
    let written = text.get(start..end).unwrap_or("").trim_end();
    start..start + written.len()
}

/// The parser's error as a problem.
pub(super) fn problem(error: &Error, source: &Arc<SourceText>) -> Problem {
    let error = error.without_snippet();
    let location = error.location().map(|location| {
        let span = span_of(&location, &source.text);
        let next = source.text[span.start..].chars().next().map_or(0, char::len_utf8);
        SourceSpan { source: source.clone(), span: span.start..span.end.max(span.start + next) }
    });
    let on_tab = location.as_ref().is_some_and(|location| {
        let (line, _) = location.line_and_column();
        source.text.lines().nth(line - 1).is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'))
    });
    let (message, help) = told(error);
    let help = if on_tab { Some("YAML is indented by spaces; replace the tab") } else { help };
    Problem { help: help.map(str::to_owned), ..Problem::at(location, message) }
}

/// What is wrong, and the way out.
fn told(error: &Error) -> (String, Option<&'static str>) {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("key `{key}` stands here twice"), Some("keep one of them"))
        }
        Error::DuplicateMappingKey { .. } => ("a key stands here twice".to_owned(), Some("keep one of them")),
        Error::MultipleDocuments { .. } => (
            "expected one document, got several".to_owned(),
            Some("a line `---` begins another document; write each into a file of its own"),
        ),
        Error::NonFiniteFloat { value, .. } => (format!("expected a finite number, got `{value}`"), None),
        Error::NullIntoString { .. } => ("expected a word as key, got nothing".to_owned(), None),
        Error::Unexpected { expected: "string scalar", .. } => {
            ("expected a word as key, got a list or a map".to_owned(), None)
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("an alias stands inside of what it stands for".to_owned(), Some("write the value out"))
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => too_deep(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            ("the file is too large, with its aliases written out".to_owned(), Some("write fewer aliases or values"))
        }
        Error::AliasError { error, .. } => told(error),
        error => {
            let text = error.to_string();
            if text.contains("recursion limit") {
                return too_deep();
            }
            let text = text.split(" at line ").next().unwrap_or(&text).trim_end_matches('.');
            (format!("not readable as YAML: {text}"), None)
        }
    }
}

fn too_deep() -> (String, Option<&'static str>) {
    ("lists and maps stand too deep inside each other".to_owned(), Some("no experiment nests deeper than 64 levels"))
}

/// The problem of a tag that means something to other programs only.
pub(super) fn unknown_tag(tag: &str, location: SourceSpan) -> Option<Problem> {
    let own = tag.strip_prefix("tag:yaml.org,2002:").or_else(|| tag.strip_prefix("!!"));
    if own.is_some_and(|own| TAGS.contains(&own)) {
        return None;
    }
    let problem = Problem::at(Some(location), format!("the tag `{tag}` means nothing here"));
    Some(problem.help("remove it; values have their types by themselves"))
}

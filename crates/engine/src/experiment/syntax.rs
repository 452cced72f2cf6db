//! YAML syntax errors, in the user's terms.

use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Location};

use super::problem::{Problem, SourceSpan, SourceText};

/// The tags of YAML's core schema; others are not supported.
const TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "seq", "map"];

/// Returns the byte range of a location that the parser reports.
pub(super) fn span_of(location: &Location, text: &str) -> Range<usize> {
    let span = location.span();
    let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) else {
        // Errors of the scanner have a line and a column only.
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

/// Converts an error of the parser into a problem.
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
    let (message, help) = describe(error);
    let help = if on_tab { Some("YAML is indented with spaces; replace the tab") } else { help };
    Problem { help: help.map(str::to_owned), ..Problem::at(location, message) }
}

/// Returns what is wrong and how to fix it.
fn describe(error: &Error) -> (String, Option<&'static str>) {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("duplicate key `{key}`"), Some("keep one of them"))
        }
        Error::DuplicateMappingKey { .. } => ("duplicate key".to_owned(), Some("keep one of them")),
        Error::MultipleDocuments { .. } => (
            "expected one document, got several".to_owned(),
            Some("a line `---` starts another document; write each document into a file of its own"),
        ),
        Error::NonFiniteFloat { value, .. } => (format!("expected a finite number, got `{value}`"), None),
        Error::NullIntoString { .. } => ("expected text as the key, got nothing".to_owned(), None),
        Error::Unexpected { expected: "string scalar", .. } => {
            ("expected text as the key, got a list or a map".to_owned(), None)
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("an alias refers to a value that contains it".to_owned(), Some("write the value out"))
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => too_deep(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            ("the file is too large once its aliases are expanded".to_owned(), Some("use fewer aliases or values"))
        }
        Error::AliasError { error, .. } => describe(error),
        error => {
            let text = error.to_string();
            if text.contains("recursion limit") {
                return too_deep();
            }
            let text = text.split(" at line ").next().unwrap_or(&text).trim_end_matches('.');
            (format!("invalid YAML: {text}"), None)
        }
    }
}

fn too_deep() -> (String, Option<&'static str>) {
    ("lists and maps are nested too deeply".to_owned(), Some("use at most 64 levels"))
}

/// Returns the problem of a tag outside of YAML's core schema.
pub(super) fn unknown_tag(tag: &str, location: SourceSpan) -> Option<Problem> {
    let own = tag.strip_prefix("tag:yaml.org,2002:").or_else(|| tag.strip_prefix("!!"));
    if own.is_some_and(|own| TAGS.contains(&own)) {
        return None;
    }
    let problem = Problem::at(Some(location), format!("unsupported tag `{tag}`"));
    Some(problem.help("remove it; the type of a value is inferred"))
}

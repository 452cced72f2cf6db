//! The problem of a dotted path through another component than the chosen one.

use super::change::Change;
use super::keys::{Keys, join};
use super::problem::{Problem, SourceSpan};
use super::tree::{ANY_CHOICE, Value};

/// Returns the problem of a path that names the component `other` where `chosen` is chosen; `rest` is the path below it.
///
/// The help has two ways out: the path of the chosen component, and the whole map for the other one.
pub(super) fn other_choice(
    change: &Change,
    location: Option<SourceSpan>,
    path: &str,
    chosen: &str,
    other: &str,
    rest: &[&str],
) -> Problem {
    let keys = Keys::experiment();
    let below = |component: &str| [&[path, component][..], rest].concat().join(".");
    let (same, any) = (below(chosen), below(ANY_CHOICE));
    let syntax = Syntax::of(change);
    let keep = match rest {
        [] if keys.is_map(&same) => {
            format!("to change {chosen}, write {}", syntax.assign(&join(&same, "KEY"), "VALUE"))
        }
        [] => format!("to change {chosen}, write {}", syntax.assign(&same, "VALUE")),
        _ if keys.contains(&same) => {
            format!(
                "to change {chosen}, write {}, or `{any}` for whichever is chosen",
                syntax.assign(&same, &syntax.value)
            )
        }
        [key, ..] => format!("{chosen} has no `{key}`"),
    };
    let whole = syntax.whole(path, &component(&syntax.value, path, other, rest));
    Problem::at(location, format!("`{path}` is `{chosen}`, not `{other}`"))
        .help(format!("{keep}; to use {other} instead, write {whole}"))
}

/// Returns the map of a component with one value at a path; other keys that it must have are left open.
fn component(value: &str, path: &str, name: &str, rest: &[&str]) -> String {
    let inner = rest.iter().enumerate().rev().fold(value.to_owned(), |inner, (index, key)| {
        let at = join(&join(path, name), &rest[..index].join("."));
        let others = Keys::experiment().required(at.trim_end_matches('.')).into_iter().filter(|other| other != key);
        let others: String = others.map(|other| format!(", {other}: ...")).collect();
        format!("{{{key}: {inner}{others}}}")
    });
    format!("{{{name}: {inner}}}")
}

/// How a change was written, and so how to write another.
struct Syntax {
    option: Option<&'static str>,
    /// The value as it was written.
    value: String,
}

impl Syntax {
    fn of(change: &Change) -> Self {
        let SourceSpan { source, span } = &change.key_location;
        let option = match source.is_argument() {
            true if source.text.starts_with("--grid ") => Some("--grid"),
            true => Some("--set"),
            false => None,
        };
        let value = match (option, change.value.written()) {
            (Some("--set"), _) => source.text.get(span.end + 1..).unwrap_or_default().to_owned(),
            (_, Some(written)) => written.to_owned(),
            _ if matches!(&change.value.value, Value::Map(entries) if entries.is_empty()) => "{}".to_owned(),
            _ => "...".to_owned(),
        };
        Self { option, value }
    }

    /// Writes a value for the key at a dotted path.
    fn assign(&self, path: &str, value: &str) -> String {
        match self.option {
            Some(option) => format!("`{option} {path}={value}`"),
            None => format!("`{path}`"),
        }
    }

    /// Writes a whole map as the value of a key.
    fn whole(&self, path: &str, map: &str) -> String {
        match self.option {
            Some(option) => format!("`{option} '{path}={map}'`"),
            None => format!("`{map}` as a value of `{path}`"),
        }
    }
}

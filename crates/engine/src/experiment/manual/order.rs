//! The order of keys and components: that of the types, which the schema does not keep.

use crate::experiment::keys::Keys;
use crate::experiment::problem::SourceSpan;
use crate::experiment::problem::SourceText;
use crate::experiment::spec::Experiment;
use crate::experiment::tree::{Node, Value};
use crate::experiment::typed::allowed_names;

/// A key that no type has.
const NO_KEY: &str = "?";

/// Returns the keys or components at a dotted path, in the order of their type.
///
/// The parser knows it: an experiment with an unknown key at that path is an error that lists the known ones.
pub(super) fn names_at(path: &str) -> Option<&'static [&'static str]> {
    let source = SourceText::new("", "");
    let location = SourceSpan { source, span: 0..0 };
    let node = |value: Value| Node {
        value,
        source: location.source.clone(),
        key_span: Some(location.span.clone()),
        value_span: location.span.clone(),
    };
    let unknown = node(Value::Map(vec![(NO_KEY.to_owned(), node(Value::Map(Vec::new())))]));
    let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    let tree = parts.iter().enumerate().rev().fold(unknown, |inner, (index, part)| {
        let is_list = index > 0 && Keys::experiment().is_list(&parts[..index].join("."));
        node(if is_list { Value::List(vec![inner]) } else { Value::Map(vec![((*part).to_owned(), inner)]) })
    });
    allowed_names::<Experiment>(&tree)
}

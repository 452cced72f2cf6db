//! Required keys that a change removed, such as `--set loss=null`.

use super::change::Change;
use super::parse_error::missing_key;
use super::problem::Problems;
use super::tree::{Node, Value};

/// Moves the problem of a missing key to the change that removed the key.
pub(super) fn located_at_removal<'a>(
    problems: Problems,
    root: &Node,
    changes: impl Iterator<Item = &'a Change> + Clone,
) -> Problems {
    let problems = problems.0.into_iter().map(|mut problem| {
        let is_cause = |change: &&Change| {
            let key = root.resolve_choices(&change.key);
            let (parent, name) = key.rsplit_once('.').unwrap_or(("", &key));
            let parent =
                parent.split('.').filter(|part| !part.is_empty()).try_fold(root, |node, part| node.child(part));
            let location = parent.map(Node::location);
            change.value.value == Value::Null
                && problem.message == missing_key(name)
                && location.is_some_and(|parent| problem.location.as_ref().is_some_and(|own| own.is_same(&parent)))
        };
        if let Some(change) = changes.clone().find(is_cause) {
            problem.location = Some(change.value.location());
            problem.help = Some("it is required: give it another value instead of `null`".to_owned());
        }
        problem
    });
    Problems(problems.collect())
}

#[cfg(test)]
mod tests {
    use crate::experiment::load::load;
    use crate::experiment::load::tests::VALID;

    /// Returns the source line and the marked text of each problem after `--set` arguments.
    fn marked(sets: &[&str]) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, VALID).unwrap();
        let sets: Vec<_> = sets.iter().map(|set| set.parse().unwrap()).collect();
        let problems = load(&path, &sets).unwrap_err().0;
        let location = |problem: crate::experiment::problem::Problem| {
            let location = problem.location.unwrap();
            (location.source.text.clone(), location.source.text[location.span.clone()].to_owned())
        };
        problems.into_iter().map(location).collect()
    }

    #[test]
    fn a_required_key_that_an_argument_removed_is_marked_there() {
        let set = |text: &str| (format!("--set {text}"), "null".to_owned());
        assert_eq!(marked(&["loss=null"]), [set("loss=null")]);
        assert_eq!(marked(&["train.epochs=null", "seed=null"]), [set("train.epochs=null")]);
        assert_eq!(marked(&["optimizer.*.learning_rate=null"]), [set("optimizer.*.learning_rate=null")]);
    }

    #[test]
    fn a_key_that_was_never_written_is_missing_in_the_file() {
        let problems = marked(&["loss.tversky.alpha=0.3", "seed=null"]);
        assert!(problems.iter().all(|(_, marked)| marked != "null"), "{problems:?}");
    }
}

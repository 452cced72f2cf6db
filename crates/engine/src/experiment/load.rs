//! Reads an experiment from files and arguments.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use super::change::{Change, SetArgument};
use super::keys::Keys;
use super::label_names::{LabelNames, reversed_labels};
use super::merge::merge;
use super::problem::{Problem, Problems, SourceSpan, SourceText};
use super::removed::located_at_removal;
use super::spec::Experiment;
use super::tree::{MAX_TEXT_LENGTH, Node, Value};
use super::typed::read_with_labels;

/// The maximum number of files in a chain of `extends`.
const MAX_FILES: usize = 64;

/// A parsed experiment with the source location of each value.
#[derive(Clone, Debug)]
pub struct Document {
    /// The path of the file.
    pub path: PathBuf,
    /// The text of the file.
    pub text: String,
    /// The experiment, with defaults for keys that are not written.
    pub experiment: Experiment,
    /// The merged YAML tree, without defaults.
    pub tree: serde_yaml::Value,
    /// The merged YAML tree with source locations.
    pub root: Node,
}

impl Document {
    /// Returns the source location of the value at a dotted path; if it is not written, of the innermost map around it.
    /// Of a component that an argument or a sweep file changed, it is the location of the change.
    pub fn location(&self, path: &str) -> SourceSpan {
        let (node, is_written) = self.deepest(path);
        let keys = Keys::experiment();
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let is_component = keys.choices(path).or_else(|| keys.choices(parent)).is_some();
        if is_written && is_component { node.blamed_location() } else { node.location() }
    }

    /// Returns the source location of the key at a dotted path; if it is not written, of the innermost map around it.
    pub fn key_location(&self, path: &str) -> SourceSpan {
        self.deepest(path).0.key_location()
    }

    /// Returns the value at a dotted path, if it is written.
    pub fn node(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(&self.root, |node, part| node.child(part))
    }

    /// Returns the value at a dotted path, or the innermost map around it, and whether the value is written.
    fn deepest(&self, path: &str) -> (&Node, bool) {
        let mut node = &self.root;
        for part in path.split('.') {
            match node.child(part) {
                Some(child) => node = child,
                None => return (node, false),
            }
        }
        (node, true)
    }
}

/// Reads an experiment file and the files that it extends, and applies the `--set` arguments.
///
/// # Errors
/// Every problem that can be found without the dataset.
pub fn load(path: &Path, sets: &[SetArgument]) -> Result<Document, Problems> {
    Base::read(path, None, sets)?.document(&[])
}

/// An experiment file before its values are parsed, from which many experiments can be made.
#[derive(Clone, Debug)]
pub struct Base {
    path: PathBuf,
    text: String,
    root: Node,
    /// The changes by `--set` arguments, which are applied to `root`.
    sets: Vec<Change>,
}

impl Base {
    /// Reads an experiment file and the files that it extends, and applies the `--set` arguments. `referenced_at` is
    /// where the file's name is written.
    ///
    /// # Errors
    /// If a file is not YAML or a `--set` cannot be applied.
    pub fn read(path: &Path, referenced_at: Option<SourceSpan>, sets: &[SetArgument]) -> Result<Self, Problems> {
        let (mut root, text) = with_base(path, referenced_at, &mut Vec::new())?;
        if let Some(node) = root.child("experiment") {
            let problem = Problem::at(Some(node.key_location()), "this is a sweep file, not an experiment");
            return Err(problem.help("`runner sweep FILE` trains its runs").into());
        }
        let (mut applied, mut problems) = (Vec::new(), Vec::new());
        for set in sets {
            match Change::from_set(set).and_then(|change| change.apply(&mut root).map(|()| change)) {
                Ok(change) => applied.push(change),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self { path: path.to_owned(), text, root, sets: applied })
    }

    /// Returns a dotted path with each `*` replaced by the component that is chosen there.
    pub fn resolve_choices(&self, path: &str) -> String {
        self.root.resolve_choices(path)
    }

    /// Returns the value of `name`.
    pub fn name(&self) -> Option<String> {
        match &self.root.child("name")?.value {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Returns where `name` is written, in a file or in a `--set` argument.
    pub fn name_location(&self) -> Option<SourceSpan> {
        self.root.child("name").map(Node::location)
    }

    /// Returns the experiment with some changes applied.
    ///
    /// # Errors
    /// Every problem that can be found without the dataset.
    pub fn document(&self, changes: &[Change]) -> Result<Document, Problems> {
        let mut root = self.root.clone();
        let problems: Vec<Problem> = changes.iter().filter_map(|change| change.apply(&mut root).err()).collect();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let experiment = experiment_of(&root)
            .map_err(|problems| located_at_removal(problems, &root, self.sets.iter().chain(changes)))?;
        let (path, text) = (self.path.clone(), self.text.clone());
        Document { path, text, experiment, tree: root.to_yaml(), root }.with_references()
    }
}

/// Parses an experiment from a text as if read from a file of that name. `extends` is not supported.
///
/// # Errors
/// Every problem of the text.
pub fn parse(name: &str, text: &str) -> Result<Document, Problems> {
    let root = Node::parse(&SourceText::new(name, text))?;
    let experiment = experiment_of(&root)?;
    Document { path: name.into(), text: text.to_owned(), experiment, tree: root.to_yaml(), root }.with_references()
}

/// Reads a file and the files that it extends, and returns the tree and the text of the file; `referenced_at` is where its
/// name is written.
fn with_base(
    path: &Path,
    referenced_at: Option<SourceSpan>,
    chain: &mut Vec<PathBuf>,
) -> Result<(Node, String), Problem> {
    let text = read_text(path, referenced_at.clone())?;
    let identity = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if chain.contains(&identity) {
        let names: Vec<String> = chain.iter().chain([&identity]).map(|file| file_name(file)).collect();
        return Err(Problem::at(referenced_at, format!("circular `extends`: {}", names.join(" -> ")))
            .help("remove one of these `extends`"));
    }
    if chain.len() == MAX_FILES {
        let message = format!("more than {MAX_FILES} files extend each other");
        return Err(Problem::at(referenced_at, message).help("extend fewer files"));
    }
    chain.push(identity);
    let mut node = Node::parse(&SourceText::new(path.display().to_string(), text.as_str()))?;
    let Value::Map(entries) = &mut node.value else {
        return Err(Problem::at(Some(node.location()), "expected a map of keys at the top of the file"));
    };
    let Some(index) = entries.iter().position(|(key, _)| key == "extends") else { return Ok((node, text)) };
    let (_, extends) = entries.remove(index);
    let Value::Text(name) = &extends.value else {
        return Err(Problem::at(Some(extends.location()), "expected the name of another experiment file"));
    };
    let base_path = path.parent().unwrap_or(Path::new("")).join(values::home_expanded(name));
    let (mut base, _) = with_base(&base_path, Some(extends.location()), chain)?;
    merge(&mut base, node, "");
    Ok((base, text))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Reads a text file of the user; `referenced_at` is where its name is written.
///
/// # Errors
/// If the file does not exist, is too long or is not UTF-8.
pub fn read_text(path: &Path, referenced_at: Option<SourceSpan>) -> Result<String, Problem> {
    let name = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Problem::at(referenced_at.clone(), format!("{name} does not exist")),
        _ => Problem::at(referenced_at.clone(), format!("cannot read {name}: {error}")),
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        // A device or a pipe may be endless, or block forever.
        let kind = if metadata.is_dir() { "a folder" } else { "a pipe or a device" };
        return Err(Problem::at(referenced_at, format!("{name} is {kind}, expected an experiment file")));
    }
    if metadata.len() > MAX_TEXT_LENGTH as u64 {
        let message = format!("{name} has {} bytes, expected a file of at most 1 MiB", metadata.len());
        return Err(Problem::at(referenced_at, message).help("is it an experiment file?"));
    }
    let bytes = fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| Problem::at(referenced_at, format!("{name} is not UTF-8 text")))
}

/// Parses the experiment. On an error, parses each section separately, in order to report all errors.
fn experiment_of(root: &Node) -> Result<Experiment, Problems> {
    if !matches!(root.value, Value::Map(_)) {
        return Err(Problem::at(Some(root.location()), "expected a map of keys at the top of the file").into());
    }
    let reversed = reversed_labels(root);
    if !reversed.is_empty() {
        return Err(Problems(reversed));
    }
    let labels = LabelNames::of_experiment(root);
    read_with_labels::<Experiment>(root, &labels).map(Experiment::with_volume_interval).map_err(|first| {
        let mut problems = section_problems(root, &labels);
        let is_reported = |location: &SourceSpan| {
            problems.iter().any(|problem| problem.location.as_ref().is_some_and(|p| p.span == location.span))
        };
        if !first.location.as_ref().is_some_and(is_reported) || problems.is_empty() {
            problems.push(first);
        }
        problems.sort_by_key(|problem| {
            problem.location.as_ref().map(|location| (location.source.is_change, location.span.start))
        });
        Problems(problems)
    })
}

/// Parses the value of a key as the type of the field of [`Experiment`] of that name.
macro_rules! sections {
    ($($field:ident)*) => {
        #[cfg(test)]
        const SECTIONS: &[&str] = &[$(stringify!($field)),*];

        fn section_problem(name: &str, node: &Node, labels: &LabelNames) -> Option<Problem> {
            /// Infers the type of a field.
            fn read_like<'de, T: Deserialize<'de>>(
                _: fn(&Experiment) -> &T,
                node: &'de Node,
                labels: &'de LabelNames,
            ) -> Option<Problem> {
                read_with_labels::<T>(node, labels).err()
            }
            match name {
                $(stringify!($field) => read_like(|experiment: &Experiment| &experiment.$field, node, labels),)*
                _ => None,
            }
        }
    };
}

sections! {
    extends name seed device data preprocess augment sampler patch_augment queue model loss optimizer schedule train validate
    inference postprocess metrics checkpoint
}

fn section_problems(root: &Node, labels: &LabelNames) -> Vec<Problem> {
    let Value::Map(entries) = &root.value else { return Vec::new() };
    let mut problems = Vec::new();
    for (key, node) in entries {
        match &node.value {
            // Parse each step of a chain separately.
            Value::List(items) if ["preprocess", "augment", "patch_augment"].contains(&key.as_str()) => {
                let problem = |item| read_with_labels::<transforms::Transform>(item, labels).err();
                problems.extend(items.iter().filter_map(problem));
            }
            _ => problems.extend(section_problem(key, node, labels)),
        }
    }
    problems
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The shortest valid experiment.
    pub const VALID: &str = "\
data: { source: { phantom: {} } }
sampler: { uniform: { patch: [32, 32, 32] } }
model: { unet: { widths: [8, 16] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
train: { epochs: 2 }
";

    #[test]
    fn a_short_document_gets_its_defaults() {
        let document = parse("a.yaml", VALID).unwrap();
        assert_eq!(document.experiment.seed, 42);
    }

    #[test]
    fn every_field_is_a_section() {
        let schema = serde_json::to_value(schemars::schema_for!(Experiment)).unwrap();
        let mut fields: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut sections = SECTIONS.to_vec();
        fields.sort_unstable();
        sections.sort_unstable();
        assert_eq!(fields, sections);
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float_and_others_are_quoted_as_written() {
        let with = |epochs: &str| parse("a.yaml", &VALID.replace("epochs: 2", &format!("epochs: {epochs}")));
        assert_eq!(with("1e2").unwrap().experiment.train.epochs.get(), 100);
        for (written, message, help) in [
            ("1.5e0", "expected a whole number of at least 1, got `1.5e0`", None),
            ("-1e1", "expected a whole number of at least 1, got `-1e1`", None),
            ("'7'", "got the text `7`", Some("remove the quotes")),
            ("\"\u{2212}3\"", "got the text", Some("write -3, with a hyphen as the minus sign")),
            ("0x10g", "got the text `0x10g`", None),
        ] {
            let problems = with(written).unwrap_err();
            assert!(problems.0[0].message.contains(message), "{problems}");
            assert_eq!(problems.0[0].help.as_deref(), help, "{written}");
        }
        let rate =
            |rate: &str| parse("a.yaml", &VALID.replace("learning_rate: 1e-4", &format!("learning_rate: {rate}")));
        assert_eq!(rate("1e-400").unwrap_err().to_string(), "expected a number above 0, got 1e-400");
        assert_eq!(rate("'0,1'").unwrap_err().0[0].help.as_deref(), Some("write 0.1, with a decimal point"));
        let patches = format!("{VALID}validate: {{ patches: no }}\n");
        let problems = parse("a.yaml", &patches).unwrap_err();
        assert_eq!(problems.0[0].help.as_deref(), Some("write `false`; in YAML 1.2, `no` is text"));
    }

    #[test]
    fn one_number_stands_for_all_axes() {
        let short = format!(
            "{}inference: {{ window: 16 }}\npreprocess: [{{ resample: {{ spacing_mm: 2 }} }}, {{ crop: {{ start: 4 }} }}, {{ crop_or_pad: {{ shape: 64 }} }}]\n\
             augment: [{{ elastic_deformation: {{ max_displacement_mm: 4, num_control_points: 5 }} }}, {{ flip: {{ probabilities: 0.5 }} }}]\n",
            VALID.replace("[32, 32, 32]", "32")
        );
        let long = format!(
            "{VALID}inference: {{ window: [16, 16, 16] }}\npreprocess: [{{ resample: {{ spacing_mm: [2, 2, 2] }} }}, {{ crop: {{ start: [4, 4, 4] }} }}, {{ crop_or_pad: {{ shape: [64, 64, 64] }} }}]\n\
             augment: [{{ elastic_deformation: {{ max_displacement_mm: [4, 4, 4], num_control_points: [5, 5, 5] }} }}, {{ flip: {{ probabilities: [0.5, 0.5, 0.5] }} }}]\n"
        );
        assert_eq!(parse("a.yaml", &short).unwrap().experiment, parse("a.yaml", &long).unwrap().experiment);
        let two = parse("a.yaml", &VALID.replace("[32, 32, 32]", "[32, 32]")).unwrap_err();
        assert_eq!(two.to_string(), "expected one value, or a list of 3 for x, y and z, got 2 items");
    }

    #[test]
    fn a_problem_of_a_map_is_located_at_the_argument_that_changed_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, VALID).unwrap();
        let document = load(&path, &["data.source.phantom.subjects=3".parse().unwrap()]).unwrap();
        let marked = |path: &str| {
            let location = document.location(path);
            location.source.text[location.span].to_owned()
        };
        assert_eq!(
            [marked("data.source"), marked("data.source.phantom"), marked("data"), marked("sampler")],
            ["3", "3", "data", "sampler"]
        );
    }

    #[test]
    fn a_tilde_is_the_home_folder() {
        let home = std::env::home_dir().unwrap();
        let text = VALID.replace("phantom: {}", "msd: { root: ~/data }");
        let document = parse("a.yaml", &text).unwrap();
        let json = serde_json::to_value(&document.experiment.data.source).unwrap();
        assert_eq!(json["msd"]["root"], home.join("data").display().to_string());
    }

    #[test]
    fn errors_in_two_sections_are_reported_together() {
        let text = VALID.replace("dice: {}", "dise: {}").replace("epochs: 2", "epochs: two");
        assert_eq!(parse("a.yaml", &text).unwrap_err().0.len(), 2);
    }

    #[test]
    fn circular_extends_is_an_error_that_names_the_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "extends: b.yaml\n").unwrap();
        fs::write(folder.path().join("b.yaml"), "extends: a.yaml\n").unwrap();
        let problems = load(&folder.path().join("a.yaml"), &[]).unwrap_err();
        assert!(problems.0[0].message.contains("a.yaml -> b.yaml -> a.yaml"), "{problems}");
    }

    #[test]
    fn a_problem_in_the_base_file_has_a_location_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("base.yaml"), VALID.replace("epochs: 2", "epochs: two")).unwrap();
        fs::write(folder.path().join("a.yaml"), "extends: base.yaml\nseed: 7\n").unwrap();
        let problems = load(&folder.path().join("a.yaml"), &[]).unwrap_err();
        let location = problems.0[0].location.clone().unwrap();
        assert!(location.source.name.ends_with("base.yaml"));
        assert_eq!(&location.source.text[location.span], "two");
    }

    #[test]
    fn the_plain_tree_parses_to_the_same_experiment() {
        let document = parse("a.yaml", VALID).unwrap();
        let again = parse("tree.yaml", &serde_yaml::to_string(&document.tree).unwrap()).unwrap();
        assert_eq!(again.experiment, document.experiment);
    }

    #[test]
    fn the_written_experiment_loads_to_the_same_experiment() {
        let text = format!(
            "{VALID}augment: [{{ maybe: {{ probability: 0.5, steps: [{{ gamma: {{ log_gamma: 0.1 }} }}] }} }}]\n"
        );
        let experiment = parse("a.yaml", &text).unwrap().experiment;
        assert_eq!(parse("plan.yaml", &experiment.to_yaml()).unwrap().experiment, experiment);
    }

    #[test]
    fn a_missing_file_and_a_folder_are_problems() {
        assert!(load(Path::new("no/such.yaml"), &[]).is_err());
        assert!(load(Path::new("src"), &[]).is_err());
    }
}

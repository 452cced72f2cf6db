//! Validation: rules between values, which a type alone cannot express. All problems are reported together.
//!
//! [`check_document`] needs the experiment only, [`index_dataset`] also lists the dataset, [`summarize_dataset`] also reads
//! the headers of its files, and [`check()`] makes the plan.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::load::Document;
use super::median_spacing;
use super::plan::Plan;
use super::problem::{Problem, Problems};

mod assemble;
mod background;
mod chain;
mod channels;
pub mod data;
mod fine_tuning;
mod inference;
mod loss_weights;
mod names;
mod network;
mod patch;
mod previous;
mod sampler;
pub(in crate::experiment) mod scores;
mod sizes;
mod targets;
mod training;

pub use data::{DatasetIndex, DatasetSummary, index_dataset, summarize_dataset};
pub(super) use names::column_name;
pub use names::{NAME_HELP, is_folder_name};
pub use sizes::check_volume;

use nn::devices::DeviceName;

/// The environment of a run, determined by the caller.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The cache folder, with preprocessed volumes and phantoms.
    pub cache_dir: PathBuf,
    /// The machine's memory in bytes, if known.
    pub memory_bytes: Option<u64>,
}

/// Makes a plan: checks first the rules that need no data, then those that need the headers of the dataset.
///
/// `device` replaces the device of the experiment.
///
/// # Errors
/// All problems that were found.
pub fn check(source: &Document, environment: &Environment, device: Option<DeviceName>) -> Result<Plan, Problems> {
    // The patch is checked together with the volumes; if these are unknown, by itself.
    let without_volumes = |problems: Problems| {
        let mut diagnostics = Diagnostics { problems: problems.0, ..Diagnostics::new(source) };
        patch::check(&mut diagnostics, &BTreeMap::new());
        Problems(diagnostics.problems)
    };
    let mut warnings = check_rules(source).finish().map_err(without_volumes)?;
    let mut summary = summarize_dataset(source, &environment.cache_dir).map_err(without_volumes)?;
    warnings.append(&mut summary.warnings);
    let source = with_median_spacings(source, &summary);
    assemble::assemble(&source, summary, warnings, environment, device)
}

/// Returns the experiment with the median spacings of its training subjects.
fn with_median_spacings<'a>(source: &'a Document, summary: &DatasetSummary) -> Cow<'a, Document> {
    let mut source = Cow::Borrowed(source);
    if median_spacing::is_pending(&source.experiment) {
        let grids = summary.parts.train.iter().filter_map(|name| summary.grids.get(name)).copied().collect();
        median_spacing::resolve(&mut source.to_mut().experiment, summary.channels, grids);
    }
    source
}

/// Collects the problems and warnings of one experiment.
pub(crate) struct Diagnostics<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Diagnostics<'a> {
    fn new(document: &'a Document) -> Self {
        Self { document, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Adds files of the dataset that cannot be read, as one problem.
    fn unreadable(&mut self, messages: Vec<String>) {
        if let Some(message) = grouped("files cannot be read", &messages) {
            let location = self.document.location("data.source");
            self.problems
                .push(Problem::at(Some(location), message).help("fix or remove the file").failure().in_dataset());
        }
    }

    /// Adds what is wrong with files of the dataset, as one problem; `several` is the heading of several messages.
    fn files(&mut self, several: &str, messages: Vec<String>, help: &str) {
        if let Some(message) = grouped(several, &messages) {
            let location = self.document.location("data.source");
            self.problems.push(Problem::at(Some(location), message).help(help).in_dataset());
        }
    }

    /// Adds a problem at the value of a dotted path.
    fn problem(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let location = self.document.location(path);
        self.problems.push(Problem::at(Some(location), message).help(help));
    }

    /// Adds a problem at the key of a dotted path.
    fn key_problem(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let location = self.document.key_location(path);
        self.problems.push(Problem::at(Some(location), message).help(help));
    }

    /// Adds violations below a dotted path.
    fn violations(&mut self, path: &str, violations: Vec<scores::Violation>) {
        for violation in violations {
            let path = format!("{path}.{}", violation.path);
            if violation.at_key {
                self.key_problem(&path, violation.message, violation.help);
            } else {
                self.problem(&path, violation.message, violation.help);
            }
        }
    }

    /// Adds what a network, loss or optimizer reports about its keys, which are below a dotted path.
    fn component(&mut self, path: &str, diagnostics: Vec<nn::Diagnostic>) {
        for diagnostic in diagnostics {
            match diagnostic {
                nn::Diagnostic::Problem { key, message, help } => self.problem(&format!("{path}.{key}"), message, help),
                nn::Diagnostic::Warning(message) => self.warning(message),
            }
        }
    }

    fn warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    fn finish(self) -> Result<Vec<String>, Problems> {
        if self.problems.is_empty() { Ok(self.warnings) } else { Err(Problems(self.problems)) }
    }
}

/// Returns messages of one kind under a heading: the first few, and the number of the others. `None` if there are none.
fn grouped(heading: &str, messages: &[String]) -> Option<String> {
    const MAX_SHOWN: usize = 5;
    if messages.len() < 2 {
        return messages.first().cloned();
    }
    let shown = messages.iter().take(MAX_SHOWN).cloned();
    let more = messages.len().saturating_sub(MAX_SHOWN);
    let rest = (more > 0).then(|| format!("and {more} more; `runner check --data` lists all"));
    Some([format!("{} {heading}:", messages.len())].into_iter().chain(shown).chain(rest).collect::<Vec<_>>().join("\n"))
}

/// Checks all rules that need no data, and returns warnings.
///
/// # Errors
/// All problems that were found.
pub fn check_document(document: &Document) -> Result<Vec<String>, Problems> {
    let mut diagnostics = check_rules(document);
    patch::check(&mut diagnostics, &BTreeMap::new());
    diagnostics.finish()
}

/// Checks all rules that need no data, except for the patch.
fn check_rules(document: &Document) -> Diagnostics<'_> {
    let mut diagnostics = Diagnostics::new(document);
    names::check(&mut diagnostics);
    targets::check(&mut diagnostics);
    chain::check(&mut diagnostics);
    previous::check(&mut diagnostics);
    background::check(&mut diagnostics);
    network::check(&mut diagnostics);
    inference::check(&mut diagnostics);
    training::check(&mut diagnostics);
    sampler::check(&mut diagnostics);
    sizes::check(&mut diagnostics);
    diagnostics
}

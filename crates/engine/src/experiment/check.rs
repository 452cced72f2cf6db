//! Rules between values: what a type alone cannot see, told all at once, each with its place.
//!
//! [`document`] needs the document alone; [`outline`] lists the data, [`survey`] reads headers too, and [`check()`] makes the plan.

use std::path::PathBuf;

use super::load::Document;
use super::plan::Plan;
use super::problem::{Problem, Problems};

mod assemble;
mod chain;
pub mod data;
mod inference;
mod names;
mod network;
mod sampler;
pub(in crate::experiment) mod scores;
mod sizes;
mod training;

pub use data::{Outline, Survey, outline, survey};
pub(super) use names::column_name;
pub use names::{NAME_HELP, is_folder_name};
pub use sizes::volume;

use nn::device::DeviceName;

/// What the machine gives to a run, read by the caller.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The folder of preprocessed volumes and phantoms.
    pub cache_dir: PathBuf,
    /// Bytes of the machine's memory, where that is known.
    pub memory_bytes: Option<u64>,
}

/// Makes a plan of a document: first the rules that need no data, then those that need headers.
///
/// `device` replaces the one that the document names.
///
/// # Errors
/// Every rule that is broken, each with its place.
pub fn check(source: &Document, surroundings: &Surroundings, device: Option<DeviceName>) -> Result<Plan, Problems> {
    let mut warnings = document(source)?;
    let mut survey = survey(source, &surroundings.cache_dir)?;
    warnings.append(&mut survey.warnings);
    assemble::assemble(source, survey, warnings, surroundings, device)
}

/// Collects what is found in one document.
pub(crate) struct Findings<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl<'a> Findings<'a> {
    fn new(document: &'a Document) -> Self {
        Self { document, problems: Vec::new(), warnings: Vec::new() }
    }

    /// A file of the source that cannot be read.
    fn unreadable(&mut self, message: String) {
        let place = self.document.place("data.source");
        self.problems.push(Problem::at(Some(place), message).help("mend or remove the file").failure().in_data());
    }

    /// Files of the source that do not fit each other, and a way out.
    fn unfit(&mut self, message: String, help: &str) {
        let place = self.document.place("data.source");
        self.problems.push(Problem::at(Some(place), message).help(help).in_data());
    }

    /// A problem at the value of a dotted path, with a way out.
    fn problem(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = self.document.place(path);
        self.problems.push(Problem::at(Some(place), message).help(help));
    }

    /// A problem at the key of a dotted path, with a way out.
    fn key_problem(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = self.document.key_place(path);
        self.problems.push(Problem::at(Some(place), message).help(help));
    }

    /// Broken rules below a dotted path.
    fn faults(&mut self, path: &str, faults: Vec<scores::Fault>) {
        for fault in faults {
            let path = format!("{path}.{}", fault.path);
            if fault.at_key {
                self.key_problem(&path, fault.message, fault.help);
            } else {
                self.problem(&path, fault.message, fault.help);
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

/// Checks all rules that need no data; gives warnings in plain sentences.
///
/// # Errors
/// Every rule that is broken, each with its place.
pub fn document(document: &Document) -> Result<Vec<String>, Problems> {
    let mut findings = Findings::new(document);
    names::check(&mut findings);
    chain::check(&mut findings);
    network::check(&mut findings);
    inference::check(&mut findings);
    training::check(&mut findings);
    sampler::check(&mut findings);
    sizes::check(&mut findings);
    findings.finish()
}

//! Dataset checks: faults and suspicious values in the files of a dataset.
//!
//! `read` summarizes each subject, a few subjects at a time, and reports faults of single files: unreadable files, voxels
//! that are not finite, label maps on another grid than their images. The `CHECKS` report missing `files`, and compare subjects
//! by their summaries: `duplicates` and leaks, `spacing`, `extent`, `intensity` and `labels`. The statistics in `outliers` are robust: a few
//! faulty subjects do not change them.

mod duplicates;
mod extent;
mod files;
mod finding;
mod intensity;
mod labels;
mod outliers;
mod read;
mod spacing;
mod summary;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use finding::{CheckReport, Finding, Severity};
use summary::Summary;

use crate::samplers::Sampler;
use crate::sources::{Generator, Listing};
use crate::split::Parts;
use transforms::Transform;
use volume::Label;

/// A rule over all subjects of a dataset.
type Check = fn(&[Summary], &Dataset) -> Vec<Finding>;

/// The rules that compare subjects, one file each. To add one, write its file and add it here.
const CHECKS: &[Check] =
    &[files::check, extent::check, spacing::check, intensity::check, labels::check, duplicates::check];

/// Maximum number of subjects in memory at a time, so that memory does not grow with the number of cores.
const MAX_SUBJECTS_IN_MEMORY: usize = 4;

/// A dataset and how an experiment uses it.
#[derive(Debug)]
pub struct Dataset<'a> {
    /// Every subject, in sorted order, and the files that are missing or unused.
    pub listing: &'a Listing,
    /// The generator of synthetic subjects, which are generated rather than read.
    pub generator: Option<&'a dyn Generator>,
    /// Which subjects train, validate and test.
    pub parts: &'a Parts,
    /// The subjects that would validate in the other folds, by the fold's index.
    pub other_folds: BTreeMap<usize, Vec<String>>,
    /// The declared labels above background, with their names.
    pub labels: &'a [(Label, String)],
    /// The label of voxels that nobody annotated.
    pub ignore: Option<Label>,
    /// The preprocess chain: labels are checked after it has mapped them.
    pub chain: &'a [Transform],
    /// If true, files in different axis orders are read into one orientation.
    pub reorients: bool,
    /// How patches are sampled.
    pub sampler: &'a Sampler,
    /// The patterns of the files of weight maps.
    pub weight_maps: Vec<&'a str>,
    /// If true, patches are sampled from validation subjects too.
    pub samples_val: bool,
}

/// Reads every subject and returns all findings, in an order that does not depend on the number of threads.
///
/// `progress` receives the number of subjects that have been read and the total.
pub fn examine(dataset: &Dataset, progress: &mut (dyn FnMut(usize, usize) + Send)) -> CheckReport {
    let mut summaries = summaries(dataset, progress);
    let mut findings: Vec<Finding> =
        summaries.iter_mut().flat_map(|summary| std::mem::take(&mut summary.findings)).collect();
    findings.extend(CHECKS.iter().flat_map(|check| check(&summaries, dataset)));
    CheckReport::new(summaries.len(), findings)
}

/// Returns the summary of every subject, sorted by name.
fn summaries(dataset: &Dataset, progress: &mut (dyn FnMut(usize, usize) + Send)) -> Vec<Summary> {
    let total = dataset.listing.subjects.len();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::with_capacity(total), progress));
    let work = || {
        while let Some(subject) = dataset.listing.subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let summary = read::read(dataset, subject);
            let mut done = done.lock().expect("reporting progress does not panic");
            done.0.push(summary);
            let count = done.0.len();
            (done.1)(count, total);
        }
    };
    // Not rayon's threads: a waiting one would start another subject, and memory would grow without bound.
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let workers = MAX_SUBJECTS_IN_MEMORY.min(rayon::current_num_threads()).min(total);
        if (0..workers).map_while(spawn).count() == 0 {
            work();
        }
    });
    let (mut summaries, _) = done.into_inner().expect("reporting progress does not panic");
    summaries.sort_by(|a, b| a.name.cmp(&b.name));
    summaries
}

#[cfg(test)]
mod tests;

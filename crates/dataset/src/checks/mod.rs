//! The dataset doctor: what is wrong with the voxels of a dataset, and what looks as if it were.
//!
//! `read` makes a small summary of each subject, a handful of subjects at a time, and finds what one subject alone
//! shows: files that cannot be read, voxels that are no numbers, label maps elsewhere than their images. All other rules
//! are functions over the summaries, since they compare subjects: `sameness` (leaks), `spacing`, `extent`, `intensity`
//! and `labels`. What is unusual is told by medians (`spread`), which a few sick subjects do not move.

mod extent;
mod finding;
mod intensity;
mod labels;
mod read;
mod sameness;
mod spacing;
mod spread;
mod summary;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use finding::{Finding, Report, Severity};
use summary::Summary;

use crate::samplers::Sampler;
use crate::sources::Generator;
use crate::split::Parts;
use crate::subject::Subject;
use transforms::Transform;
use volume::Label;

/// Subjects whose voxels are held at one time, so that memory does not grow with the processors.
const HANDFUL: usize = 4;

/// A dataset, and what training will ask of it.
#[derive(Debug)]
pub struct Dataset<'a> {
    /// Every subject, in sorted order.
    pub subjects: &'a [Subject],
    /// The generator of synthetic subjects, which are generated rather than read.
    pub generator: Option<&'a dyn Generator>,
    /// Which subjects train, validate and test.
    pub parts: &'a Parts,
    /// The subjects that would validate in the other folds, by the fold's index.
    pub other_folds: BTreeMap<usize, Vec<String>>,
    /// The declared labels above background, with their names.
    pub labels: &'a [(Label, String)],
    /// The preprocess chain: the labels that count are those that it makes of the files'.
    pub chain: &'a [Transform],
    /// How patches are drawn.
    pub sampler: &'a Sampler,
    /// Whether patches are drawn from validation subjects too.
    pub samples_val: bool,
}

/// Reads every subject and tells what is found, in an order that does not depend on the number of threads.
///
/// `tell` hears how many subjects are read, and of how many.
pub fn examine(dataset: &Dataset, tell: &mut (dyn FnMut(usize, usize) + Send)) -> Report {
    let mut summaries = summaries(dataset, tell);
    let mut findings: Vec<Finding> =
        summaries.iter_mut().flat_map(|summary| std::mem::take(&mut summary.findings)).collect();
    findings.extend(extent::check(&summaries));
    findings.extend(spacing::check(&summaries));
    findings.extend(intensity::check(&summaries));
    findings.extend(labels::check(&summaries, dataset));
    findings.extend(sameness::check(&summaries, dataset.parts));
    Report::new(summaries.len(), findings)
}

/// The summary of every subject, in order.
fn summaries(dataset: &Dataset, tell: &mut (dyn FnMut(usize, usize) + Send)) -> Vec<Summary> {
    let total = dataset.subjects.len();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::with_capacity(total), tell));
    // Threads of their own rather than rayon's: one that waits there begins another subject, without bound.
    std::thread::scope(|scope| {
        for _ in 0..HANDFUL.min(rayon::current_num_threads()).min(total) {
            scope.spawn(|| {
                while let Some(subject) = dataset.subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let summary = read::read(dataset, subject);
                    let mut done = done.lock().expect("telling of progress does not panic");
                    done.0.push(summary);
                    let count = done.0.len();
                    (done.1)(count, total);
                }
            });
        }
    });
    let (mut summaries, _) = done.into_inner().expect("telling of progress does not panic");
    summaries.sort_by(|a, b| a.name.cmp(&b.name));
    summaries
}

#[cfg(test)]
mod tests;

//! Why training could not go on.

use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::input::{ComputeError, InputError};
use dataset::cache::CacheError;
use dataset::patch::Patch;
use dataset::queue::QueueError;
use nn::device::DeviceError;
use nn::weights::WeightsError;
use run_folder::folder::RunError;

/// Why training could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A subject's files cannot be used.
    #[error("subject {subject} cannot be prepared")]
    Subject {
        /// The subject's name.
        subject: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run folder cannot be written.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// The training subjects do not teach a step of the chain what it needs.
    #[error("{step} cannot learn from the training subjects: {reason}")]
    Learn {
        /// The step.
        step: &'static str,
        /// Why.
        reason: String,
    },
    /// A patch cannot be cut.
    #[error("patch {index} of subject {subject} cannot be made")]
    Patch {
        /// The subject's name.
        subject: String,
        /// Which of its patches.
        index: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Files are not what they were when the run began.
    #[error("{} have changed since the run began, such as {}; bring the data back as it was, or start a new run", files(.0), .0[0].display())]
    InputsChanged(Vec<PathBuf>),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(CacheError),
    /// The queue ended.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A patch does not fit the network.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Weights do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device failed in the middle of its work.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It was told to stop in the middle of a volume.
    #[error("stopped")]
    Stopped,
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A listener could not write what happened.
    #[error("the run's records cannot be written")]
    Record(#[from] std::io::Error),
    /// Training left the finite numbers.
    #[error(
        "{what} is not finite in step {step}, epoch {epoch}; {}; its patches: {}",
        way_out(patches),
        describe(patches)
    )]
    NotFinite {
        /// The loss or the gradient.
        what: &'static str,
        /// The epoch, counted from 1.
        epoch: usize,
        /// Steps since the start of the run, counted from 1.
        step: usize,
        /// The patches of the step.
        patches: Vec<Patch>,
    },
}

fn files(paths: &[PathBuf]) -> String {
    if let [_] = paths { "1 input file".to_owned() } else { format!("{} input files", paths.len()) }
}

/// Characters of the draws of a patch in a message; an elastic field has thousands.
const LONGEST_DRAWS: usize = 400;

/// Subjects, patch indices and draws, and which patches hold values that are no finite numbers.
fn describe(patches: &[Patch]) -> String {
    let describe = |patch: &Patch| {
        let voxels = match num_not_finite(patch) {
            0 => String::new(),
            voxels => format!(" ({voxels} of its values are not finite)"),
        };
        let mut draws = patch.draws.to_string();
        if draws.chars().count() > LONGEST_DRAWS {
            draws = draws.chars().take(LONGEST_DRAWS).chain(['…']).collect();
        }
        format!("{} #{} at {:?}{voxels} {draws}", patch.subject, patch.index, patch.start)
    };
    patches.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn way_out(patches: &[Patch]) -> &'static str {
    if patches.iter().any(|patch| num_not_finite(patch) > 0) {
        "mend the image, or the step of the chain that makes such values; `runner check --data` looks at all images"
    } else {
        "lower the learning rate, or set train.clip_gradient_norm"
    }
}

fn num_not_finite(patch: &Patch) -> usize {
    patch.image.iter().filter(|value| !value.is_finite()).count()
}

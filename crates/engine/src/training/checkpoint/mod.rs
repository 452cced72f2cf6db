//! Checkpoints: the state that a run is resumed from, and the best weights.
//!
//! The whole state of a run is one file, `last.state.safetensors`, which is replaced atomically: no crash can leave
//! weights of one step with moments of another. The one before is kept as `last-1.state.safetensors`, in case the
//! latest cannot be read. `last.safetensors` and `best.safetensors` have only weights, for `predict` and other programs.
//! All have a checksum. Random generators need no state: every stream is named by its purpose.

mod best;
mod files;
mod infinite_float;
mod schedule;
mod state;

pub use best::keep_best;
pub use files::{LatestCheckpoint, latest};
pub(super) use schedule::CheckpointSchedule;
pub use state::{BestEpoch, CheckpointError, State, TrainingProgress};

//! A training run in its folder: records, manifest, stop flag, and how it ended.
//!
//! [`manifest`] writes the folder's description of the run, [`resume`] reads what it is resumed with, [`RunSession`] trains:
//! it makes phantoms, opens the records, calls the training loop with its listeners, catches panics, and writes into the
//! manifest how the run ended.

mod command_line;
mod error;
mod git;
pub mod manifest;
mod moved_data;
mod recorder;
pub mod resume;
mod session;

pub use command_line::shell_command;
pub use error::{FailedRun, RunSessionError, error_chain};
pub use git::GitState;
pub use moved_data::{MovedDataError, check_same_content, with_moved_data_help};
pub use session::{RunOutcome, RunSession, SavePatches, latest_checkpoint};

//! `runner devices`: what this binary and this machine offer.

use super::{CliError, Exit};
use nn::device;

/// Prints a line for each device, and how to get those that this binary lacks.
pub fn execute() -> Result<Exit, CliError> {
    for device in device::available() {
        say!("{:<18} {}", device.name.to_string(), device.description);
    }
    Ok(Exit::Done)
}

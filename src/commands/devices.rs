//! `runner devices`: the devices of this binary and this machine.

use super::Execute;
use crate::terminal::{CliError, Exit};
use nn::devices;

/// List the devices that this binary and this machine offer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runner devices")]
pub struct DevicesArgs {}

impl Execute for DevicesArgs {
    /// Prints a line for each device, and how to get those that this binary lacks.
    fn execute(&self) -> Result<Exit, CliError> {
        for device in devices::available() {
            outln!("{:<18} {}", device.name.to_string(), device.description);
        }
        Ok(Exit::Done)
    }
}

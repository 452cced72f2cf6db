//! `runner explain`: the reference of an experiment's keys.

use clap::Args;

use super::Execute;
use crate::terminal::{CliError, Exit, output};
use engine::experiment::manual::Manual;

/// Explain a key or a section of an experiment: its values, default and meaning.
///
/// docs/experiment.md has the same text for all keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner explain
  runner explain sampler.label
  runner explain train.epochs
  runner explain RandomFlip")]
pub struct ExplainArgs {
    /// Key, section or component, such as `sampler.label`, `learning_rate` or `flip` [default: an overview]. A name that
    /// occurs in several places is listed with the path of each.
    key: Option<String>,
}

impl Execute for ExplainArgs {
    /// Prints the text about the key.
    fn execute(&self) -> Result<Exit, CliError> {
        let manual = Manual::experiment();
        let Some(key) = &self.key else {
            output::text(manual.overview());
            return Ok(Exit::Done);
        };
        match manual.find(key) {
            Ok(topics) => match &topics[..] {
                [(_, topic)] => output::text(manual.explain(*topic)),
                topics => output::text(manual.list(key, topics)),
            },
            Err(near) => {
                let help = near.map_or_else(
                    || "`runner explain` lists the sections".to_owned(),
                    |near| format!("did you mean `runner explain {near}`?"),
                );
                return Err(CliError::problem(format!("an experiment has no key `{key}`"), help));
            }
        }
        Ok(Exit::Done)
    }
}

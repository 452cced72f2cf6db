//! The subcommands: one file each, registered in `subcommands!`.
//!
//! A subcommand is a struct of arguments that implements [`Execute`]. Its doc comment and its `after_help` are what
//! `runner help NAME` prints. To add one, write its file, and add a `mod` line and a line to the registry below.

mod arguments;
mod cache;
mod check;
mod compare;
mod completions;
mod devices;
mod evaluate;
mod explain;
mod export;
mod import;
mod numbers;
mod options;
mod parity;
mod patches;
mod phantom;
mod plan;
mod plots;
mod predict;
mod report;
mod reproduce;
mod run;
mod schema;
mod select;
mod sweep;
mod training;
mod transform;
mod view;

use clap::Parser;

use crate::terminal::{CliError, Exit, output};
use options::{
    CacheOptions, ExperimentOptions, MovedDataOptions, check_moved_data, moved_data_error, with_moved_data_help,
};

/// A subcommand with its arguments.
trait Execute {
    /// Runs the subcommand. Results go to stdout, progress and log lines to stderr.
    ///
    /// # Errors
    /// A problem that the user can fix, or a failure of the environment.
    fn execute(&self) -> Result<Exit, CliError>;
}

/// Declares the subcommands, in the order in which `runner --help` lists them.
macro_rules! subcommands {
    ($($name:ident($module:ident::$arguments:ident)),+ $(,)?) => {
        #[derive(Debug, clap::Subcommand)]
        enum Command {
            $($name($module::$arguments)),+
        }

        impl Command {
            fn execute(&self) -> Result<Exit, CliError> {
                match self {
                    $(Self::$name(arguments) => arguments.execute()),+
                }
            }
        }
    };
}

subcommands! {
    Plan(plan::PlanArgs),
    Run(run::RunArgs),
    Sweep(sweep::SweepArgs),
    Report(report::ReportArgs),
    Compare(compare::CompareArgs),
    Select(select::SelectArgs),
    Reproduce(reproduce::ReproduceArgs),
    Check(check::CheckArgs),
    Parity(parity::ParityArgs),
    Patches(patches::PatchesArgs),
    Evaluate(evaluate::EvaluateArgs),
    Predict(predict::PredictArgs),
    Import(import::ImportArgs),
    Transform(transform::TransformArgs),
    View(view::ViewArgs),
    Export(export::ExportArgs),
    Phantom(phantom::PhantomArgs),
    Devices(devices::DevicesArgs),
    Schema(schema::SchemaArgs),
    Explain(explain::ExplainArgs),
    Cache(cache::CacheArgs),
    Completions(completions::CompletionsArgs),
}

/// The examples below `runner --help`.
const EXAMPLES: &str = "\
Examples:
  runner check experiments/quickstart.yaml        validate an experiment, without training
  runner run experiments/quickstart.yaml          train it
  runner report runs                              compare all runs
  runner help run                                 options and examples of a command";

/// A declarative experiment runner for 3D medical image segmentation.
#[derive(Debug, Parser)]
#[command(name = "runner", version, long_version = long_version(), propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Parses the arguments of this process; ends the process if they are wrong or ask for help.
    pub fn from_arguments() -> Self {
        arguments::parse(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    /// Runs the subcommand.
    ///
    /// # Errors
    /// A problem that the user can fix, or a failure of the environment.
    pub fn execute(&self) -> Result<Exit, CliError> {
        match self.command.execute()? {
            Exit::Done if output::is_lost() => {
                Err(CliError::Failure("not all results could be written to stdout".to_owned()))
            }
            exit => Ok(exit),
        }
    }
}

/// Returns the version and the backends that this binary was built with.
fn long_version() -> String {
    format!("{}\nfeatures: {}", env!("CARGO_PKG_VERSION"), nn::devices::features().join(", "))
}

//! Arguments, and one file per subcommand.
//!
//! Only this module and `main.rs` read the environment or the terminal, and only they print: results
//! to stdout, progress and log to stderr.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Writes a line of results to stdout.
macro_rules! say {
    ($($argument:tt)*) => { $crate::commands::output::line(format_args!($($argument)*)) };
}

mod bar;
mod cache;
mod check;
mod completions;
mod contact_sheet;
mod devices;
mod error;
mod evaluate;
mod output;
mod parity;
mod patches;
mod phantom;
mod plots;
mod predict;
mod provenance;
mod report;
mod reproduce;
mod run;
mod schema;
mod sweep;
mod table;
mod training;
mod transform;
mod view;
mod volume_files;

pub use error::{CliError, Exit};

use dataset::cache::Cache;
use engine::experiment::check::Environment;
use engine::experiment::load::{Document, SetArgument};
use engine::experiment::plan::Plan;
use nn::device::DeviceName;
use values::Bytes;
use volume::memory::memory_limit_bytes;

/// A declarative experiment runner for 3D medical image segmentation.
#[derive(Debug, Parser)]
#[command(name = "runner", version, long_version = long_version(), propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train what an experiment file declares.
    Run(run::Arguments),
    /// Train many runs: an experiment with alternatives.
    Sweep(sweep::Arguments),
    /// Compare runs: a table, statistics, plots and a page.
    Report(report::Arguments),
    /// Repeat the first steps of a run and say whether they give the same numbers.
    Reproduce(reproduce::Arguments),
    /// Check an experiment and print its plan, without training.
    Check(check::Arguments),
    /// Compare devices: the same batch and steps on each.
    Parity(parity::Arguments),
    /// Show the patches that training would see.
    Patches(patches::Arguments),
    /// Score a trained run, or any two folders of label maps.
    Evaluate(evaluate::Arguments),
    /// Predict the label maps of new images with a trained run.
    Predict(predict::Arguments),
    /// Take one image through an experiment's transforms.
    Transform(transform::Arguments),
    /// Show an image with its labels: an animation, a contact sheet or a page.
    View(view::Arguments),
    /// Write a dataset of synthetic abdomens.
    Phantom(phantom::Arguments),
    /// Show what this binary and this machine offer.
    Devices,
    /// Print the JSON Schema of an experiment or a sweep.
    Schema(schema::Arguments),
    /// List or clear preprocessed volumes.
    Cache(cache::Arguments),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
}

/// What every command takes that takes an experiment.
#[derive(Debug, Args)]
pub struct Common {
    /// Change one key, such as `--set optimizer.adam.learning_rate=1e-3`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<SetArgument>,
    /// Where the network runs: auto, flex, libtorch:cpu, libtorch:cuda:N, cuda:N, rocm:N or wgpu:N.
    #[arg(long, env = "RUNNER_DEVICE")]
    device: Option<DeviceName>,
    /// The folder of all runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs_dir: PathBuf,
    #[command(flatten)]
    cache: CacheFolder,
    /// Print nothing but results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

impl Common {
    /// The plan of a document on this machine.
    fn plan(&self, document: &Document) -> Result<Plan, CliError> {
        self.cache.plan(document, self.device)
    }
}

/// Where preprocessed volumes and phantoms lie.
#[derive(Debug, Args)]
pub struct CacheFolder {
    /// The folder of preprocessed volumes and phantoms; by default `runner` in the user's cache folder.
    #[arg(long, value_name = "DIR", env = "RUNNER_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// How large preprocessed volumes may grow on disk, such as 500MB or 2TB; by default 200GB. What was not used for the longest time leaves first.
    #[arg(long, value_name = "SIZE", env = "RUNNER_CACHE_LIMIT")]
    cache_limit: Option<Bytes>,
}

/// How large the cache may grow where nothing was said.
const CACHE_LIMIT: Bytes = Bytes(200_000_000_000);

impl CacheFolder {
    /// The plan of a document on a device of this machine, its phantoms below the folder.
    fn plan(&self, document: &Document, device: Option<DeviceName>) -> Result<Plan, CliError> {
        let environment = Environment { cache_dir: self.path(), memory_bytes: memory_limit_bytes() };
        Ok(engine::experiment::check::check(document, &environment, device)?)
    }

    /// The preprocessed volumes below the folder.
    fn open(&self) -> Cache {
        Cache::new(&self.path()).with_limit(self.limit())
    }

    fn limit(&self) -> Bytes {
        self.cache_limit.unwrap_or(CACHE_LIMIT)
    }

    /// The limit as an argument for another process, where it was given.
    fn limit_argument(&self) -> Vec<String> {
        self.cache_limit.iter().flat_map(|limit| ["--cache-limit".to_owned(), limit.0.to_string()]).collect()
    }

    /// The folder, where it was named.
    fn given(&self) -> Option<PathBuf> {
        self.cache_dir.clone()
    }

    fn path(&self) -> PathBuf {
        let from_environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.cache_dir
            .clone()
            .or_else(|| from_environment("XDG_CACHE_HOME").map(|folder| folder.join("runner")))
            .or_else(|| from_environment("HOME").map(|home| home.join(".cache").join("runner")))
            .unwrap_or_else(|| PathBuf::from(".cache"))
    }
}

/// Does what the arguments say.
///
/// # Errors
/// A problem that the user can mend, or a failure of the world.
pub fn execute(arguments: Arguments) -> Result<Exit, CliError> {
    match execute_command(arguments.command)? {
        Exit::Done if output::is_lost() => {
            Err(CliError::Failure("not all results could be written to stdout".to_owned()))
        }
        exit => Ok(exit),
    }
}

fn execute_command(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(arguments) => run::execute(arguments),
        Command::Sweep(arguments) => sweep::execute(&arguments),
        Command::Report(arguments) => report::execute(&arguments),
        Command::Reproduce(arguments) => reproduce::execute(&arguments),
        Command::Check(arguments) => check::execute(&arguments),
        Command::Parity(arguments) => parity::execute(&arguments),
        Command::Patches(arguments) => patches::execute(&arguments),
        Command::Evaluate(arguments) => evaluate::execute(&arguments),
        Command::Predict(arguments) => predict::execute(&arguments),
        Command::Transform(arguments) => transform::execute(&arguments),
        Command::View(arguments) => view::execute(&arguments),
        Command::Phantom(arguments) => phantom::execute(&arguments),
        Command::Devices => devices::execute(),
        Command::Schema(arguments) => schema::execute(&arguments),
        Command::Cache(arguments) => cache::execute(&arguments),
        Command::Completions(arguments) => completions::execute(&arguments),
    }
}

/// The version and the backends that this binary was built with.
fn long_version() -> String {
    format!("{}\nfeatures: {}", env!("CARGO_PKG_VERSION"), nn::device::features().join(", "))
}

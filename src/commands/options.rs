//! Options that several subcommands share.

use std::path::PathBuf;

use clap::Args;
use etcetera::BaseStrategy;

use crate::terminal::CliError;
use dataset::cache::Cache;
use engine::experiment::check::Environment;
use engine::experiment::load::{Document, SetArgument};
use engine::experiment::plan::Plan;
use engine::run::{MovedDataError, check_same_content};
use nn::devices::DeviceName;
use run_folder::manifest::Manifest;
use run_folder::plan_keys::{PLACES, is_place};
use values::Bytes;
use volume::memory::memory_limit_bytes;

/// Options of every subcommand that reads an experiment file.
#[derive(Debug, Args)]
pub struct ExperimentOptions {
    /// Override one key of the experiment, such as `--set train.epochs=3`; repeatable. In a dotted path, `*` is
    /// whichever component is chosen: `--set 'optimizer.*.learning_rate=1e-3'`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<SetArgument>,
    /// Device that runs the network: auto, flex, libtorch:cpu, libtorch:cuda:N, cuda:N, rocm:N or wgpu:N.
    #[arg(long, env = "RUNNER_DEVICE")]
    pub device: Option<DeviceName>,
    /// Folder of all runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs_dir: PathBuf,
    #[command(flatten)]
    pub cache: CacheOptions,
    /// Print only results, warnings and errors.
    #[arg(long)]
    pub quiet: bool,
}

impl ExperimentOptions {
    /// Checks an experiment and returns its plan on this machine.
    pub fn plan(&self, document: &Document) -> Result<Plan, CliError> {
        self.cache.plan(document, self.device)
    }
}

/// Option of subcommands that read the data of a run again.
#[derive(Debug, Args)]
pub struct MovedDataOptions {
    /// New place of the run's data if it was moved or renamed, such as `--set data.source.msd.root=/data/Task03_Liver`;
    /// repeatable. The files must have the same content as before.
    #[arg(long, value_name = "KEY=VALUE", requires = "run")]
    pub set: Vec<SetArgument>,
}

/// Checks that the files of some subjects of a run have the content that it recorded, if `--set` says that they moved.
pub fn check_moved_data<'a>(
    set: &[SetArgument],
    plan: &Plan,
    manifest: &Manifest,
    names: impl IntoIterator<Item = &'a String>,
    cache: &CacheOptions,
) -> Result<(), CliError> {
    if !set.iter().any(|set| is_place(&set.key)) {
        return Ok(());
    }
    check_same_content(plan, &manifest.inputs, names, &cache.open().root).map_err(moved_data_error)
}

/// Converts an error of data that moved: other data is a problem that the user can fix.
pub fn moved_data_error(error: MovedDataError) -> CliError {
    match error {
        MovedDataError::Read(error) => CliError::failure(&error),
        MovedDataError::Differs(_) => CliError::problem(error.to_string(), "name the same data with `--set`"),
    }
}

/// Adds to problems with the files of a run's data how to say that they moved.
pub fn with_moved_data_help(error: CliError, document: &Document) -> CliError {
    match error {
        CliError::Problems(problems) => engine::run::with_moved_data_help(problems, document).into(),
        error => error,
    }
}

impl MovedDataOptions {
    /// Checks that only places are set.
    pub fn check(&self) -> Result<(), CliError> {
        match self.set.iter().find(|set| !is_place(&set.key)) {
            None => Ok(()),
            Some(set) => Err(CliError::problem(
                format!("the run's `{}` cannot be changed here", set.key),
                format!("only the place of its data can be: {}", PLACES.join(", ")),
            )),
        }
    }
}

/// Options of every subcommand that uses the cache of preprocessed volumes and phantoms.
#[derive(Debug, Args)]
pub struct CacheOptions {
    /// Folder of preprocessed volumes and phantoms [default: `runner` in the user's cache folder].
    #[arg(long, value_name = "DIR", env = "RUNNER_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Disk space for preprocessed volumes, such as 500MB or 2TB [default: 200GB]. Least recently used entries are
    /// evicted first.
    #[arg(long, value_name = "SIZE", env = "RUNNER_CACHE_LIMIT")]
    cache_limit: Option<Bytes>,
}

/// Default of `--cache-limit`.
const DEFAULT_LIMIT: Bytes = Bytes(200_000_000_000);

impl CacheOptions {
    /// Checks an experiment and returns its plan on a device of this machine.
    pub fn plan(&self, document: &Document, device: Option<DeviceName>) -> Result<Plan, CliError> {
        Ok(engine::experiment::check::check(document, &self.environment(), device)?)
    }

    /// Returns the cache folder and the memory of this machine.
    pub fn environment(&self) -> Environment {
        Environment { cache_dir: self.path(), memory_bytes: memory_limit_bytes() }
    }

    /// Opens the cache of preprocessed volumes.
    pub fn open(&self) -> Cache {
        Cache::new(&self.path()).with_limit(self.limit())
    }

    /// Returns the disk space that preprocessed volumes may take.
    pub fn limit(&self) -> Bytes {
        self.cache_limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Returns `--cache-limit` as arguments for another process, empty if it was not set.
    pub fn limit_argument(&self) -> Vec<String> {
        self.cache_limit.iter().flat_map(|limit| ["--cache-limit".to_owned(), limit.0.to_string()]).collect()
    }

    /// Returns the folder if it was set.
    pub fn explicit_path(&self) -> Option<PathBuf> {
        self.cache_dir.clone()
    }

    /// Returns the folder: the one that was set, else the platform's cache folder for this user.
    ///
    /// That is `$XDG_CACHE_HOME/runner` or `~/.cache/runner` on Linux, `~/Library/Caches/runner` on macOS and
    /// `%LOCALAPPDATA%\runner` on Windows. For a user without a home it is `.cache` in the working folder.
    pub fn path(&self) -> PathBuf {
        let of_user = || Some(etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("runner"));
        self.cache_dir.clone().or_else(of_user).unwrap_or_else(|| PathBuf::from(".cache"))
    }
}

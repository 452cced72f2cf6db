//! Exit codes of subcommands, and their errors on stderr.

use std::io::{ErrorKind, IsTerminal};

use dataset::load::LoadError;
use engine::experiment::problem::{Problem, Problems, RenderOptions, render};
use engine::run::error_chain;
use run_folder::folder::RunError;
use volume::io::ImageError;

/// The outcome of a subcommand without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Done,
    /// A negative result: a check found faults, a comparison differs, a sweep has failed runs.
    No,
    /// Interrupted by the user, after a checkpoint.
    Stopped,
    /// Another process has locked the run; only workers of a sweep end like this.
    Held,
}

impl Exit {
    /// Returns the exit code: 0 done, 1 negative result, 130 stopped.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Stopped => 130,
            Self::Held => sweep::claim::HELD_EXIT_CODE,
        }
    }
}

/// Why a subcommand could not do its work.
#[derive(Debug)]
pub enum CliError {
    /// Problems of an experiment file, each with file, line and column.
    Problems(Problems),
    /// Another problem that the user can fix.
    Problem {
        /// What is wrong.
        message: String,
        /// How to fix it.
        help: Option<String>,
    },
    /// A failure of the environment: a disk, a device, a broken file.
    Failure(String),
    /// A bug of this program.
    Bug(String),
}

impl CliError {
    /// Converts an error and its causes into a failure.
    pub fn failure(error: &dyn std::error::Error) -> Self {
        Self::Failure(error_chain(error))
    }

    /// Converts an error of an image file: a wrong path is a problem that the user can fix, a damaged file a failure.
    pub fn image(error: &ImageError) -> Self {
        match error.is_wrong_path() {
            true => Self::Problem { message: error.to_string(), help: None },
            false => Self::failure(error),
        }
    }

    /// Converts an error of a subject's files; see [`CliError::image`].
    pub fn load(error: &LoadError) -> Self {
        match error {
            LoadError::File(error) => Self::image(error),
            error => Self::Failure(error.to_string()),
        }
    }

    /// Makes a problem with a message and how to fix it.
    pub fn problem(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Problem { message: message.into(), help: Some(help.into()) }
    }

    /// Returns what went wrong, without positions and help.
    pub fn message(&self) -> String {
        match self {
            Self::Problems(problems) => problems.to_string(),
            Self::Problem { message, .. } | Self::Failure(message) | Self::Bug(message) => message.clone(),
        }
    }

    /// Returns the exit code: 2 for a problem, 3 for a failure of the environment, 101 for a bug.
    pub fn code(&self) -> u8 {
        match self {
            Self::Problems(problems) if problems.0.iter().all(|problem| problem.is_failure) => 3,
            Self::Problems(_) | Self::Problem { .. } => 2,
            Self::Failure(_) => 3,
            Self::Bug(_) => 101,
        }
    }

    /// Prints the error to stderr, with colours if that is a terminal.
    pub fn print(self) {
        let is_terminal = std::io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let drawing = RenderOptions { width: columns.unwrap_or(100), colour: is_terminal && !no_colour, unicode: true };
        eprint!("{}", render(&self.into_problems(), drawing));
    }

    fn into_problems(self) -> Problems {
        match self {
            Self::Problems(problems) => problems,
            Self::Problem { message, help: Some(help) } => Problem::at(None, message).help(help).into(),
            Self::Problem { message, help: None } | Self::Failure(message) => Problem::at(None, message).into(),
            Self::Bug(message) => {
                let help = "this is a bug; please report it together with the command and its output";
                Problem::at(None, message).help(help).into()
            }
        }
    }
}

impl From<Problems> for CliError {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

/// Converts an error of a run folder: a folder in use, or one that is no run, is a problem that the user can fix.
pub fn run_error(error: RunError) -> CliError {
    match error {
        RunError::Locked { .. } | RunError::Invalid { .. } => {
            CliError::Problem { message: error.to_string(), help: None }
        }
        RunError::Read { ref source, .. }
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            CliError::problem(error.to_string(), "name the folder of a run, such as runs/quickstart/latest")
        }
        RunError::Read { .. } | RunError::Write { .. } => CliError::failure(&error),
    }
}

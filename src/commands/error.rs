//! How a command ends, and with which exit code.

use engine::experiment::problem::Problems;

/// A command that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done,
    /// The answer is no: a check found faults.
    No,
    /// Ctrl-C stopped it, after a checkpoint.
    Stopped,
    /// Another process holds the run; only a sweep's worker ends like this.
    Held,
}

/// A command that could not do what it was asked.
#[derive(Debug)]
pub enum CliError {
    /// Problems of an experiment file, each with its place.
    Problems(Problems),
    /// Another problem that the user can mend, and the way out.
    Problem {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// A failure of the world: a disk, a device, a broken file.
    Failure(String),
    /// A bug of this program.
    Bug(String),
}

impl CliError {
    /// A bug, from what a panic said.
    pub fn bug(panic: &(dyn std::any::Any + Send)) -> Self {
        Self::Bug(format!("the program met a bug: {}", dataset::queue::panic_message(panic)))
    }

    /// A failure, with everything that caused it.
    pub fn failure(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Errors that show their cause already do not show it twice.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::Failure(message)
    }

    /// What went wrong, without places and ways out.
    pub fn message(&self) -> String {
        match self {
            Self::Problems(problems) => problems.to_string(),
            Self::Problem { message, .. } | Self::Failure(message) | Self::Bug(message) => message.clone(),
        }
    }

    /// A problem, and the way out.
    pub fn problem(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Problem { message: message.into(), help: Some(help.into()) }
    }

    /// The exit code: 2 for the user to mend, 3 for the world, 101 for us.
    pub fn code(&self) -> u8 {
        match self {
            Self::Problems(problems) if problems.0.iter().all(|problem| problem.is_failure) => 3,
            Self::Problems(_) | Self::Problem { .. } => 2,
            Self::Failure(_) => 3,
            Self::Bug(_) => 101,
        }
    }
}

impl From<Problems> for CliError {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl Exit {
    /// The exit code of INTERFACE: 0 done, 1 no, 130 stopped.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Stopped => 130,
            Self::Held => sweep::local::HELD,
        }
    }
}

//! Why the subjects of a source cannot be listed.

use std::path::PathBuf;

/// Why subjects cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// `dataset.json` is malformed.
    #[error("{path}: {reason}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// Listed files do not exist.
    #[error("{listed_in}: {count} of the listed files do not exist, such as {examples}", listed_in = listed_in.display(), count = missing.len(), examples = examples(missing))]
    Missing {
        /// The file that lists them.
        listed_in: PathBuf,
        /// The files.
        missing: Vec<PathBuf>,
    },
    /// A pattern is malformed or matches no file.
    #[error("pattern {pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A subject lacks a channel or its label.
    #[error("subject {subject} ({file}): {reason}", file = file.display())]
    Incomplete {
        /// Its name.
        subject: String,
        /// Its first image.
        file: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The table is malformed.
    #[error("{path}: line {line}: {reason}", path = path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What was expected and what was found.
        reason: String,
    },
    /// Two subjects have the same name.
    #[error("two subjects have the name {name}: {first} and {second}; rename one of the files", first = first.display(), second = second.display())]
    Repeated {
        /// The name.
        name: String,
        /// The first image of one.
        first: PathBuf,
        /// The first image of the other.
        second: PathBuf,
    },
    /// A subject's name is no valid file name.
    #[error("subject {name:?} ({file}): a name must not be empty, longer than 200 bytes, start with a dot or contain a slash or a control character", file = file.display())]
    Name {
        /// The name.
        name: String,
        /// Its first image.
        file: PathBuf,
    },
    /// There are no subjects.
    #[error("{source_name}: it contains no subjects", source_name = source_name.display())]
    Empty {
        /// The folder or file.
        source_name: PathBuf,
    },
}

fn examples(missing: &[PathBuf]) -> String {
    missing.iter().take(3).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

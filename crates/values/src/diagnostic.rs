//! Problems and warnings from the validation of a component's keys.

/// A problem or warning about the keys of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// The experiment cannot run.
    Problem {
        /// Dotted path of the key below the component, such as `widths.2`.
        key: String,
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },
    /// The experiment runs, but probably not as intended.
    Warning(String),
}

impl Diagnostic {
    /// Returns a problem with a key of the component.
    pub fn problem(key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Problem { key: key.into(), message: message.into(), help: help.into() }
    }
}

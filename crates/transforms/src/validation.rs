//! Rules for keys and recorded parameters that several transforms have in common.

/// An invalid key of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// The key below the transform's name; [`ITSELF`] is the transform.
    pub key: &'static str,
    /// The expected and the actual value.
    pub message: String,
    /// How to fix it.
    pub help: Option<&'static str>,
}

/// The key of a problem with the transform as a whole, and of randomness that no key disables.
pub const ITSELF: &str = "";

impl KeyProblem {
    /// Returns a problem without help.
    pub fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into(), help: None }
    }

    /// Adds how to fix it.
    #[must_use]
    pub fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// Returns the problem of a key unless a condition holds.
pub(crate) fn require(condition: bool, key: &'static str, message: impl FnOnce() -> String) -> Option<KeyProblem> {
    (!condition).then(|| KeyProblem::new(key, message()))
}

/// Returns the keys whose condition is true.
pub(crate) fn keys_where(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, condition)| *condition).map(|(key, _)| *key).collect()
}

/// Maximum displacement by recorded parameters, in voxels or millimetres.
pub(crate) const MAX_DISPLACEMENT: f64 = 1e6;

/// Checks that recorded values are within limits, both included.
pub(crate) fn within(name: &str, values: &[f64], [low, high]: [f64; 2]) -> Result<(), String> {
    match values.iter().find(|value| !(low..=high).contains(*value)) {
        None => Ok(()),
        Some(value) if high == f64::MAX => Err(format!("expected {name} of at least {low}, got {value}")),
        Some(value) => Err(format!("expected {name} between {low} and {high}, got {value}")),
    }
}

/// Checks the number of recorded values.
pub(crate) fn same_count(name: &str, count: usize, expected: usize) -> Result<(), String> {
    if count == expected { Ok(()) } else { Err(format!("expected {expected} {name}, got {count}")) }
}

/// Checks a recorded axis.
pub(crate) fn valid_axis(axis: usize) -> Result<(), String> {
    if axis < 3 { Ok(()) } else { Err(format!("expected the axis 0 (x), 1 (y) or 2 (z), got {axis}")) }
}

/// Returns the axes x, y and z, the default of keys.
pub(crate) fn all_axes() -> Vec<usize> {
    vec![0, 1, 2]
}

/// Checks the key `axes`, a list of axes to choose from.
pub(crate) fn validate_axes(axes: &[usize]) -> Option<KeyProblem> {
    if axes.is_empty() {
        return Some(KeyProblem::new("axes", "expected at least one axis to choose from, got none"));
    }
    let unknown = axes.iter().find(|axis| **axis > 2)?;
    Some(KeyProblem::new("axes", format!("expected axes 0 (x), 1 (y) or 2 (z), got {unknown}")))
}

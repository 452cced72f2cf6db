//! Sampling the parameters of a chain, and validating parameters from a file.

use crate::{Incoming, Transform, TransformParams};
use random::Rng;
use volume::Grid;

/// The parameters of a transform that samples none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoParams;

/// Samples the parameters of a chain, step by step. Shapes do not depend on them, so each step's incoming grid is known.
pub fn sample_params(chain: &[Transform], rng: &mut Rng, incoming: &Incoming) -> Vec<TransformParams> {
    let mut incoming = *incoming;
    let sample = |step: &Transform| {
        let params = step.component().sample_params(rng, &incoming);
        incoming.grid = step.outgoing_grid(&params, &incoming.grid);
        params
    };
    chain.iter().map(sample).collect()
}

/// Recorded parameters that their step cannot have sampled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("draws.{path} of {step}: {reason}")]
pub struct InvalidParams {
    /// Their index in the list of parameters; with nested steps a dotted path.
    pub path: String,
    /// The name of the step.
    pub step: &'static str,
    /// The expected and the actual value.
    pub reason: String,
}

/// Validates the parameters of a chain, which a user may have edited, and returns the grid after the chain.
///
/// # Errors
/// When a step cannot have sampled its parameters; the error names the first such step.
pub fn validate_params(
    chain: &[Transform],
    params: &[TransformParams],
    incoming: &Incoming,
) -> Result<Grid, InvalidParams> {
    validate_steps(chain, params, *incoming, "")
}

fn validate_steps(
    chain: &[Transform],
    params: &[TransformParams],
    mut incoming: Incoming,
    path: &str,
) -> Result<Grid, InvalidParams> {
    for (index, (step, params)) in chain.iter().zip(params).enumerate() {
        let path = format!("{path}{index}");
        let invalid = |reason| InvalidParams { path: path.clone(), step: step.name(), reason };
        incoming.grid = match step.component().applied(params).map_err(invalid)? {
            Some((steps, params)) => validate_steps(steps, params, incoming, &format!("{path}.{}.", step.name()))?,
            None => {
                step.component().validate_params(params, &incoming).map_err(invalid)?;
                step.outgoing_grid(params, &incoming.grid)
            }
        };
    }
    Ok(incoming.grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    fn incoming() -> Incoming {
        Incoming { grid: Grid { shape: [16, 16, 8], affine: Affine::IDENTITY }, channels: 2 }
    }

    fn message(step: &str, params: &str) -> String {
        let chain: Vec<Transform> = vec![serde_json::from_str(step).unwrap()];
        let params: Vec<TransformParams> = vec![serde_json::from_str(params).unwrap()];
        validate_params(&chain, &params, &incoming()).unwrap_err().to_string()
    }

    #[test]
    fn edited_parameters_are_reported_by_path_and_value() {
        let affine = r#"{"affine": {"scales": [0.9, 1.1]}}"#;
        let elastic = r#"{"elastic_deformation": {"num_control_points": [5, 5, 5]}}"#;
        let ghosting = r#"{"ghosting": {}}"#;
        let swap = r#"{"swap": {"patch": [4, 4, 4]}}"#;
        for (step, params, expected) in [
            (
                affine,
                r#"{"affine": {"scales": [1, 0, 1], "degrees": [0, 0, 0], "translation_mm": [0, 0, 0]}}"#,
                "draws.0 of affine: expected scales between 0.001 and 1000, got 0",
            ),
            (affine, r#""nothing""#, "draws.0 of affine: these are the parameters of another step"),
            (
                elastic,
                r#"{"elastic_deformation": [[0, 0, 0]]}"#,
                "draws.0 of elastic_deformation: expected 125 control points, got 1",
            ),
            (
                ghosting,
                r#"{"ghosting": {"num_ghosts": 4, "axis": 3, "intensity": 1, "restore": null}}"#,
                "draws.0 of ghosting: expected the axis 0 (x), 1 (y) or 2 (z), got 3",
            ),
            (
                swap,
                r#"{"swap": [[[0, 0, 0], [12, 12, 5]]]}"#,
                "draws.0 of swap: expected blocks that start at [12, 12, 4] or before, got [12, 12, 5]",
            ),
            (
                r#"{"one_of": [{"flip": {"probabilities": [1, 0, 0]}}]}"#,
                r#"{"one_of": [1, {"flip": [true, false, false]}]}"#,
                "draws.0 of one_of: expected one of 1 steps, counted from 0, got 1",
            ),
            (
                r#"{"maybe": {"probability": 1, "steps": [{"gamma": {"log_gamma": 1}}]}}"#,
                r#"{"maybe": [{"gamma": [1]}]}"#,
                "draws.0.maybe.0 of gamma: expected 2 exponents, one per channel, got 1",
            ),
            (
                r#"{"motion": {}}"#,
                r#"{"motion": {"times": [1.5], "degrees": [[0, 0, 0]], "translation_mm": [[0, 0, 0]]}}"#,
                "draws.0 of motion: expected times between 0 and 1, got 1.5",
            ),
        ] {
            assert_eq!(message(step, params), expected);
        }
    }
}

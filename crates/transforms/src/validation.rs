//! Whether a recorded draw can be one of a step. Draws that were just made always are; those of a file need not be,
//! for a person may have edited them, or the disk.

use super::{Incoming, Transform, TransformParams};
use volume::Grid;

/// A draw that its step cannot have drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("draws.{path} of {step}: {reason}")]
pub struct InvalidParams {
    /// Its place among the draws, with dots.
    pub path: String,
    /// The step.
    pub step: &'static str,
    /// Expected and got.
    pub reason: String,
}

/// The farthest that a draw may move a voxel, in voxels or millimetres.
const FARTHEST: f64 = 1e6;

/// Checks the draws of a chain, which may come from anywhere, and gives the grid after it.
///
/// # Errors
/// Names the first draw that its step cannot have drawn.
pub fn validate_params(
    chain: &[Transform],
    draws: &[TransformParams],
    incoming: &Incoming,
) -> Result<Grid, InvalidParams> {
    check_steps(chain, draws, *incoming, "")
}

fn check_steps(
    chain: &[Transform],
    draws: &[TransformParams],
    mut incoming: Incoming,
    path: &str,
) -> Result<Grid, InvalidParams> {
    for (index, (step, drawn)) in chain.iter().zip(draws).enumerate() {
        let path = format!("{path}{index}");
        let misfit = |reason| InvalidParams { path: path.clone(), step: step.name(), reason };
        incoming.grid = match (step, drawn) {
            (Transform::Maybe(_), TransformParams::Maybe(None)) => incoming.grid,
            (Transform::Maybe(maybe), TransformParams::Maybe(Some(draws))) => {
                same_count("draws", draws.len(), maybe.steps.len()).map_err(misfit)?;
                check_steps(&maybe.steps, draws, incoming, &format!("{path}.maybe."))?
            }
            (Transform::OneOf(steps), TransformParams::OneOf(chosen, drawn)) => {
                let Some(step) = steps.get(*chosen) else {
                    return Err(misfit(format!("expected one of {} steps, counted from 0, got {chosen}", steps.len())));
                };
                let (step, drawn) = (std::slice::from_ref(step), std::slice::from_ref(&**drawn));
                check_steps(step, drawn, incoming, &format!("{path}.one_of."))?
            }
            _ => {
                check_step(step, drawn, &incoming).map_err(misfit)?;
                step.outgoing(drawn, &incoming.grid)
            }
        };
    }
    Ok(incoming.grid)
}

/// What keeps a draw from being one of a step without steps inside.
fn check_step(step: &Transform, drawn: &TransformParams, incoming: &Incoming) -> Result<(), String> {
    let shape = incoming.grid.shape;
    if !step.is_kind(drawn) {
        return Err("it is the draw of another step".to_owned());
    }
    match (step, drawn) {
        (Transform::Affine(_), TransformParams::Affine(draw)) => {
            within("scales", &draw.scales, [1e-3, 1e3])?;
            within("degrees", &draw.degrees, [-FARTHEST, FARTHEST])?;
            within("translation_mm", &draw.translation_mm, [-FARTHEST, FARTHEST])
        }
        (Transform::Noise(_), TransformParams::Noise(draw)) => {
            within("std", &[draw.std], [0.0, f64::MAX])?;
            within("mean", &[draw.mean], [f64::MIN, f64::MAX])
        }
        (Transform::Gamma(_), TransformParams::Gamma(exponents)) => {
            same_count("exponents", exponents.len(), incoming.channels)
        }
        (Transform::Blur(_), TransformParams::Blur(draw)) => within("the standard deviations", &draw.0, [0.0, 1e3]),
        (Transform::BiasField(step), TransformParams::BiasField(draw)) => {
            same_count("coefficients", draw.0.len(), step.num_coefficients())
        }
        (Transform::CropOrPad(_), TransformParams::CropOrPad(draw)) => {
            let starts = draw.0.unwrap_or_default().map(|start| start as f64);
            within("the start", &starts, [-FARTHEST, FARTHEST])
        }
        (Transform::ElasticDeformation(step), TransformParams::ElasticDeformation(draw)) => {
            same_count("control points", draw.0.len(), step.num_control_points.iter().product())?;
            within("the displacements", draw.0.as_flattened(), [-FARTHEST, FARTHEST])
        }
        (Transform::Anisotropy(_), TransformParams::Anisotropy(draw)) => {
            axis(draw.axis)?;
            within("downsampling", &[draw.downsampling], [1.0, FARTHEST])
        }
        (Transform::Swap(step), TransformParams::Swap(draw)) => {
            let most: [usize; 3] = std::array::from_fn(|axis| shape[axis] - step.size(shape)[axis]);
            let is_outside = |start: &&[usize; 3]| (0..3).any(|axis| start[axis] > most[axis]);
            match draw.0.as_flattened().iter().find(is_outside) {
                None => Ok(()),
                Some(start) => Err(format!("expected blocks that start at {most:?} or before, got {start:?}")),
            }
        }
        (Transform::Ghosting(_), TransformParams::Ghosting(draw)) => {
            axis(draw.axis)?;
            within("restore", draw.restore.as_slice(), [0.0, 1.0])
        }
        (Transform::Spike(_), TransformParams::Spike(draw)) => {
            // A share of 1 would be one place beyond the last.
            within("positions", draw.positions.as_flattened(), [0.0, 1.0f64.next_down()])
        }
        (Transform::Motion(_), TransformParams::Motion(draw)) => {
            same_count("degrees", draw.degrees.len(), draw.times.len())?;
            same_count("translation_mm", draw.translation_mm.len(), draw.times.len())?;
            within("times", &draw.times, [0.0, 1.0])
        }
        (Transform::ForegroundNormalize(_), TransformParams::ForegroundNormalize(draw)) => {
            same_count("channels", draw.0.as_ref().map_or(0, Vec::len), incoming.channels)
        }
        (Transform::HistogramStandardization(_), TransformParams::HistogramStandardization(draw)) => {
            same_count("channels", draw.0.as_ref().map_or(0, Vec::len), incoming.channels)
        }
        // Any flip and no draw at all are possible.
        _ => Ok(()),
    }
}

fn within(what: &str, values: &[f64], [low, high]: [f64; 2]) -> Result<(), String> {
    match values.iter().find(|value| !(low..=high).contains(*value)) {
        None => Ok(()),
        Some(value) if high == f64::MAX => Err(format!("expected {what} of at least {low}, got {value}")),
        Some(value) => Err(format!("expected {what} between {low} and {high}, got {value}")),
    }
}

fn same_count(what: &str, count: usize, expected: usize) -> Result<(), String> {
    if count == expected { Ok(()) } else { Err(format!("expected {expected} {what}, got {count}")) }
}

fn axis(axis: usize) -> Result<(), String> {
    if axis < 3 { Ok(()) } else { Err(format!("expected the axis 0 (x), 1 (y) or 2 (z), got {axis}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    fn incoming() -> Incoming {
        Incoming { grid: Grid { shape: [16, 16, 8], affine: Affine::IDENTITY }, channels: 2 }
    }

    fn message(step: &str, drawn: &str) -> String {
        let chain: Vec<Transform> = vec![serde_json::from_str(step).unwrap()];
        let draws: Vec<TransformParams> = vec![serde_json::from_str(drawn).unwrap()];
        validate_params(&chain, &draws, &incoming()).unwrap_err().to_string()
    }

    #[test]
    fn an_edited_draw_is_told_by_its_place_and_number() {
        let affine = r#"{"affine": {"scales": [0.9, 1.1]}}"#;
        let elastic = r#"{"elastic_deformation": {"num_control_points": [5, 5, 5]}}"#;
        let ghosting = r#"{"ghosting": {}}"#;
        let swap = r#"{"swap": {"patch": [4, 4, 4]}}"#;
        for (step, drawn, expected) in [
            (
                affine,
                r#"{"affine": {"scales": [1, 0, 1], "degrees": [0, 0, 0], "translation_mm": [0, 0, 0]}}"#,
                "draws.0 of affine: expected scales between 0.001 and 1000, got 0",
            ),
            (affine, r#""nothing""#, "draws.0 of affine: it is the draw of another step"),
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
                "draws.0.maybe.0 of gamma: expected 2 exponents, got 1",
            ),
            (
                r#"{"motion": {}}"#,
                r#"{"motion": {"times": [1.5], "degrees": [[0, 0, 0]], "translation_mm": [[0, 0, 0]]}}"#,
                "draws.0 of motion: expected times between 0 and 1, got 1.5",
            ),
        ] {
            assert_eq!(message(step, drawn), expected);
        }
    }
}

//! Which preprocessing nnU-Net has.

use serde_json::Value;

use super::refusals::{Refusals, TRAIN_AGAIN, differences, in_words};
use crate::normalization::{MIN_STD, Scheme};
use crate::plans::Intensities;
use crate::preprocessing::{SEPARATE_AXIS, resample_rules};
use engine::experiment::spec::{Experiment, Orientation};
use engine::preprocessing::FittedPreprocessing;
use transforms::Transform;

/// nnU-Net's preprocessing of a run: crop to the non-zero region, normalization, resampling.
#[derive(Debug)]
pub(super) struct Preprocessing {
    /// Whether volumes are reoriented to RAS.
    pub reorients: bool,
    /// How each channel is normalized.
    pub schemes: Vec<Scheme>,
    /// How volumes are resampled; `None` if they are not.
    pub resampling: Option<Resampling>,
}

/// The step `resample`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resampling {
    /// Millimetres along x, y and z; `None` for a kept axis.
    pub spacing: [Option<f64>; 3],
    /// nnU-Net's `force_separate_z`.
    pub forces_separate_axis: Option<bool>,
}

/// nnU-Net's order of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    Cropped,
    Normalized,
    Resampled,
}

const ORDER: &str = "nnU-Net crops to the voxels that are not 0, then normalizes, then resamples";

/// Reads the preprocessing of a run; what nnU-Net lacks is refused.
pub(super) fn preprocessing(
    experiment: &Experiment,
    fitted: &FittedPreprocessing,
    channels: usize,
    refusals: &mut Refusals,
) -> Preprocessing {
    let mut reader =
        Reader { channels, schemes: vec![None; channels], resampling: None, phase: Phase::Start, refusals };
    let mut reorients = experiment.data.orientation != Orientation::Stored;
    // The fitted chain has a step before those of the experiment if volumes are reoriented.
    let offset = fitted.chain.len() - experiment.preprocess.len();
    for (index, step) in experiment.preprocess.iter().enumerate() {
        if index == 0 && step.name() == "to_canonical" {
            reorients = true;
            continue;
        }
        let params = fitted.fitted.get(&(index + offset));
        let params = params.and_then(|params| serde_json::to_value(params).ok()).unwrap_or_default();
        reader.read(&format!("preprocess.{index}.{}", step.name()), step, &params[step.name()]);
    }
    if !experiment.preprocess.iter().any(|step| step.name() == "crop_to_nonzero") {
        let message = "nnU-Net crops every scan to the voxels that are not 0";
        reader.refusals.add(
            "preprocess",
            message,
            format!("{TRAIN_AGAIN} with `crop_to_nonzero: {{}}` as the first step"),
        );
    }
    let schemes = reader.schemes.into_iter().map(|scheme| scheme.unwrap_or(Scheme::Unchanged)).collect();
    Preprocessing { reorients, schemes, resampling: reader.resampling }
}

/// Reads steps one by one.
struct Reader<'a> {
    channels: usize,
    schemes: Vec<Option<Scheme>>,
    resampling: Option<Resampling>,
    phase: Phase,
    refusals: &'a mut Refusals,
}

impl Reader<'_> {
    fn read(&mut self, key: &str, step: &Transform, fitted: &Value) {
        let settings = settings(step);
        match step.name() {
            "crop_to_nonzero" => self.enter(Phase::Cropped, key, self.phase == Phase::Start),
            "z_normalize" | "rescale_intensity" | "foreground_normalize" => {
                self.enter(Phase::Normalized, key, self.phase < Phase::Resampled);
                self.normalization(key, step.name(), settings, fitted);
            }
            "resample" => {
                self.enter(Phase::Resampled, key, self.phase < Phase::Resampled);
                self.resample(key, &settings);
            }
            name => {
                self.refusals.add(key, format!("nnU-Net has no step `{name}`"), format!("{TRAIN_AGAIN} without it"))
            }
        }
    }

    fn enter(&mut self, phase: Phase, key: &str, is_in_order: bool) {
        if !is_in_order {
            self.refusals.add(key, ORDER, format!("{TRAIN_AGAIN} with each step once and in this order"));
        }
        self.phase = self.phase.max(phase);
    }

    fn normalization(&mut self, key: &str, name: &'static str, settings: Value, fitted: &Value) {
        let stated = settings["channels"].as_array().map(|channels| channels.iter().filter_map(Value::as_u64));
        let changed: Vec<usize> =
            stated.map_or((0..self.channels).collect(), |stated| stated.map(|channel| channel as usize).collect());
        let schemes = match name {
            "foreground_normalize" => foreground(&settings["statistics"], fitted),
            _ => match scheme(name, &settings, changed.len()) {
                Ok(scheme) => vec![scheme; changed.len()],
                Err((class, expected)) => {
                    let words = in_words(&expected);
                    let message = format!("nnU-Net's {class} has {words}");
                    return self.refusals.add(key, message, format!("{TRAIN_AGAIN} with {words}"));
                }
            },
        };
        if schemes.len() != changed.len() {
            let message = format!("it has statistics of {} channels instead of {}", schemes.len(), changed.len());
            return self.refusals.add(key, message, "state `statistics` for each channel");
        }
        if schemes.contains(&Scheme::UnitRange) && changed.len() > 1 {
            let message = "nnU-Net rescales each channel from its own range, and this step from the range of all";
            self.refusals.add(
                key,
                message,
                format!("{TRAIN_AGAIN} with a step for each channel, such as `channels: [0]`"),
            );
        }
        let masked = schemes.contains(&Scheme::ZScore(true));
        if masked && self.schemes.iter().any(Option::is_some) {
            let message = "nnU-Net's mask is that of the intensities before any channel is normalized";
            let help =
                format!("{TRAIN_AGAIN} with this step before the other normalizations, for all its channels at once");
            self.refusals.add(key, message, help);
        }
        for (channel, scheme) in changed.into_iter().zip(schemes) {
            if self.schemes[channel].replace(scheme).is_some() {
                let message = format!("channel {channel} is normalized twice, and by nnU-Net once");
                self.refusals.add(key, message, format!("{TRAIN_AGAIN} with one step for the channel"));
            }
        }
    }

    fn resample(&mut self, key: &str, settings: &Value) {
        let mut expected = resample_rules();
        for chosen in ["spacing_mm", "separate_axis"] {
            if let Some(value) = settings.get(chosen) {
                expected[chosen] = value.clone();
            }
        }
        let differences = differences(settings, &with_defaults("resample", &expected));
        if !differences.is_empty() {
            let words = in_words(&differences);
            let message = format!("nnU-Net resamples with {words}");
            return self.refusals.add(key, message, format!("{TRAIN_AGAIN} with {words}"));
        }
        // A median that was computed is `{ median: [x, y, z] }`.
        let spacing = settings["spacing_mm"].get("median").unwrap_or(&settings["spacing_mm"]);
        let separate = settings.get("separate_axis").and_then(Value::as_str);
        self.resampling = Some(Resampling {
            spacing: std::array::from_fn(|axis| spacing[axis].as_f64()),
            forces_separate_axis: SEPARATE_AXIS
                .iter()
                .find(|(_, word)| separate == Some(*word))
                .map(|(forced, _)| *forced),
        });
    }
}

/// The most similar normalization of nnU-Net, and the settings in which a step differs from it.
type NoScheme = (&'static str, Vec<(String, Value)>);

/// Returns the normalization of nnU-Net that a step is; else the most similar one.
fn scheme(name: &str, settings: &Value, channels: usize) -> Result<Scheme, NoScheme> {
    let known = [Scheme::ZScore(false), Scheme::ZScore(true), Scheme::UnitRange, Scheme::Bytes];
    let candidates = known.into_iter().filter_map(|scheme| {
        let (step, mut expected) = scheme.step().filter(|(step, _)| *step == name)?;
        if let Some(stated) = settings.get("channels") {
            expected["channels"] = stated.clone();
        }
        let mut differences = differences(settings, &with_defaults(step, &expected));
        // Of one channel, it does not matter whether channels are normalized together, and without a smallest divisor
        // constant intensities are an error here.
        let is_without_effect = |key: &str| match key {
            "per_channel" => channels == 1,
            MIN_STD => settings.get(MIN_STD).is_none(),
            _ => false,
        };
        differences.retain(|(key, _)| !is_without_effect(key));
        Some((scheme, differences))
    });
    // Of equally similar ones, the one with the same mask and the same source of its range.
    let distance = |(_, differences): &(Scheme, Vec<(String, Value)>)| {
        (differences.iter().any(|(key, _)| ["mask", "from"].contains(&key.as_str())), differences.len())
    };
    let (scheme, differences) = candidates.min_by_key(distance).expect("each step has a scheme");
    if differences.is_empty() { Ok(scheme) } else { Err((scheme.class(), differences)) }
}

/// Returns the scheme of each channel of `foreground_normalize`, whose statistics are stated or fitted.
fn foreground(stated: &Value, fitted: &Value) -> Vec<Scheme> {
    let statistics = stated.as_array().or_else(|| fitted.as_array());
    statistics.into_iter().flatten().filter_map(Intensities::from_statistics).map(Scheme::Foreground).collect()
}

/// Returns the settings of a step with every default.
fn settings(step: &Transform) -> Value {
    serde_json::to_value(step).map(|mut step_as_map| step_as_map[step.name()].take()).unwrap_or_default()
}

/// Returns settings of a step as a step has them that was read from a file.
fn with_defaults(name: &str, written: &Value) -> Value {
    let step: Option<Transform> = serde_json::from_value(serde_json::json!({ name: written })).ok();
    step.map_or_else(|| written.clone(), |step| settings(&step))
}

#[cfg(test)]
mod tests;

//! nnU-Net's normalizations as steps of an experiment.

use serde_json::{Value, json};

use crate::ImportError;
use crate::plans::{Configuration, Intensities, Plans};
use crate::preprocessing::unsupported;

/// How a channel is normalized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scheme {
    /// By the training set's foreground.
    Foreground(Intensities),
    /// By its own mean and standard deviation; inside the non-zero region if true.
    ZScore(bool),
    /// To the range from 0 to 1.
    UnitRange,
    /// From the range of bytes to that from 0 to 1.
    Bytes,
    /// Not at all.
    Unchanged,
}

/// nnU-Net's classes.
const CT: &str = "CTNormalization";
const Z_SCORE: &str = "ZScoreNormalization";
const UNIT_RANGE: &str = "RescaleTo01Normalization";
const BYTES: &str = "RGBTo01Normalization";
const UNCHANGED: &str = "NoNormalization";

/// The key of `z_normalize` that decides what constant intensities become.
pub(crate) const MIN_STD: &str = "min_std";

impl Scheme {
    fn new(plans: &Plans, configuration: &Configuration, channel: usize) -> Result<Self, ImportError> {
        match configuration.normalization_schemes[channel].as_str() {
            CT => plans.intensities(channel).map(Self::Foreground).ok_or_else(|| {
                ImportError::problem(
                    format!(
                        "plans.json has no foreground_intensity_properties_per_channel of channel {channel}, \
                         which {CT} needs"
                    ),
                    "use the plans.json that nnU-Net wrote beside the folds",
                )
            }),
            Z_SCORE => Ok(Self::ZScore(configuration.use_mask_for_norm.get(channel).copied().unwrap_or(false))),
            UNIT_RANGE => Ok(Self::UnitRange),
            BYTES => Ok(Self::Bytes),
            UNCHANGED => Ok(Self::Unchanged),
            name => Err(unsupported(
                "normalization",
                name,
                &format!("{CT}, {Z_SCORE}, {UNIT_RANGE}, {BYTES} and {UNCHANGED}"),
            )),
        }
    }

    /// Returns the name of nnU-Net's class.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Foreground(_) => CT,
            Self::ZScore(_) => Z_SCORE,
            Self::UnitRange => UNIT_RANGE,
            Self::Bytes => BYTES,
            Self::Unchanged => UNCHANGED,
        }
    }

    /// Returns the name of a channel for which nnU-Net plans this normalization.
    pub fn channel_name(&self) -> &'static str {
        match self {
            Self::Foreground(_) => "CT",
            Self::ZScore(_) => "zscore",
            Self::UnitRange => "rescale_to_0_1",
            Self::Bytes => "rgb_to_0_1",
            Self::Unchanged => "noNorm",
        }
    }

    /// Returns the step for one channel: its name and its settings but `channels`.
    pub fn step(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::Foreground(intensities) => {
                Some(("foreground_normalize", json!({ "statistics": [intensities.statistics()] })))
            }
            Self::ZScore(is_masked) => {
                let mut settings = json!({ "ddof": 0, "per_channel": true, MIN_STD: 1e-8 });
                if *is_masked {
                    settings["mask"] = json!({ "nonzero": {} });
                    settings["outside"] = "unchanged".into();
                }
                Some(("z_normalize", settings))
            }
            Self::UnitRange => Some(("rescale_intensity", json!({ "to": [0, 1] }))),
            Self::Bytes => Some(("rescale_intensity", json!({ "from": [0, 255], "to": [0, 1] }))),
            Self::Unchanged => None,
        }
    }

    /// Returns whether channels of both schemes are normalized by one step.
    fn joins(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Foreground(_), Self::Foreground(_)) => true,
            // The range is that of all channels of the step.
            (Self::UnitRange, Self::UnitRange) => false,
            _ => self == other,
        }
    }
}

impl Intensities {
    /// Returns the element of `foreground_normalize.statistics`.
    fn statistics(&self) -> Value {
        let Self { mean, std, percentile_00_5, percentile_99_5 } = self;
        json!({ "low": percentile_00_5, "high": percentile_99_5, "mean": mean, "std": std })
    }

    /// Creates the intensities of an element of `foreground_normalize.statistics`; `None` if it lacks one of the
    /// numbers.
    pub fn from_statistics(statistics: &Value) -> Option<Self> {
        let number = |name: &str| statistics[name].as_f64();
        Some(Self {
            mean: number("mean")?,
            std: number("std")?,
            percentile_00_5: number("low")?,
            percentile_99_5: number("high")?,
        })
    }
}

/// Returns the steps that normalize the channels, one for all channels of a scheme.
pub(crate) fn normalization(
    plans: &Plans,
    configuration: &Configuration,
    channels: usize,
) -> Result<Vec<Value>, ImportError> {
    let stated = configuration.normalization_schemes.len();
    if stated != channels {
        return Err(ImportError::problem(
            format!("plans.json normalizes {stated} channels, but dataset.json declares {channels}"),
            "use the plans.json and the dataset.json that nnU-Net wrote beside the folds",
        ));
    }
    let schemes =
        (0..channels).map(|channel| Scheme::new(plans, configuration, channel)).collect::<Result<Vec<_>, _>>()?;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for channel in 0..channels {
        match groups.iter_mut().find(|group| schemes[group[0]].joins(&schemes[channel])) {
            Some(group) => group.push(channel),
            None => groups.push(vec![channel]),
        }
    }
    // The mask is that of the voxels that are not 0, which other normalizations change.
    groups.sort_by_key(|group| schemes[group[0]] != Scheme::ZScore(true));
    let step = |group: &Vec<usize>| {
        let (name, mut settings) = schemes[group[0]].step()?;
        let statistics = group.iter().filter_map(|channel| match &schemes[*channel] {
            Scheme::Foreground(intensities) => Some(intensities.statistics()),
            _ => None,
        });
        let statistics: Vec<Value> = statistics.collect();
        if !statistics.is_empty() {
            settings["statistics"] = statistics.into();
        }
        if group.len() < channels {
            settings["channels"] = json!(group);
        }
        Some(json!({ name: settings }))
    };
    Ok(groups.iter().filter_map(step).collect())
}

//! `plans.json`, as nnU-Net 2.0 to 2.8 writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ImportError;
use crate::classes::{NETWORKS, PlannedNetwork};

/// nnU-Net's class of labels.
pub(crate) const LABEL_MANAGER: &str = "LabelManager";

/// What is used of `plans.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Plans {
    pub dataset_name: String,
    pub plans_name: String,
    pub image_reader_writer: String,
    pub transpose_forward: Vec<usize>,
    #[serde(default)]
    pub label_manager: Option<String>,
    /// [`Intensities`] by channel; earlier versions call channels modalities. Only those of CT are used.
    #[serde(default, alias = "foreground_intensity_properties_by_modality")]
    foreground_intensity_properties_per_channel: BTreeMap<String, Value>,
    configurations: BTreeMap<String, Map<String, Value>>,
}

/// Statistics of a channel's foreground in the training set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intensities {
    pub mean: f64,
    pub std: f64,
    pub percentile_00_5: f64,
    pub percentile_99_5: f64,
}

/// What is used of a configuration. Lists have nnU-Net's axes.
#[derive(Debug, Deserialize)]
pub(crate) struct Configuration {
    #[serde(default)]
    pub preprocessor_name: Option<String>,
    pub batch_size: usize,
    pub patch_size: Vec<usize>,
    pub spacing: Vec<f64>,
    pub normalization_schemes: Vec<String>,
    #[serde(default)]
    pub use_mask_for_norm: Vec<bool>,
    #[serde(default)]
    pub resampling_fn_data: Option<String>,
    #[serde(default)]
    pub resampling_fn_data_kwargs: Resampling,
    #[serde(default)]
    pub resampling_fn_probabilities: Option<String>,
    #[serde(default)]
    pub resampling_fn_probabilities_kwargs: Resampling,
    #[serde(default)]
    pub batch_dice: bool,
    #[serde(default)]
    pub previous_stage: Option<String>,
    #[serde(default)]
    pub architecture: Option<Architecture>,
    /// The architecture in plans of nnU-Net 2.0 to 2.3.
    #[serde(flatten)]
    pub old: OldArchitecture,
}

/// The arguments of a resampling function.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resampling {
    #[serde(default)]
    pub is_seg: Option<bool>,
    #[serde(default)]
    pub order: Option<u32>,
    #[serde(default)]
    pub order_z: Option<u32>,
    #[serde(default)]
    pub force_separate_z: Option<bool>,
    #[serde(default)]
    pub separate_z_anisotropy_threshold: Option<f64>,
    // Arguments of `resample_torch_fornnunet`, whose name is refused.
    #[serde(default)]
    pub num_threads: Option<Value>,
    #[serde(default)]
    pub memefficient_seg_resampling: Option<Value>,
    #[serde(default)]
    pub mode: Option<Value>,
    #[serde(default)]
    pub aniso_axis_mode: Option<Value>,
}

/// The class of the network and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Architecture {
    pub network_class_name: String,
    pub arch_kwargs: Map<String, Value>,
    /// The arguments whose values are names of classes.
    #[serde(default, rename = "_kw_requires_import")]
    pub kw_requires_import: Vec<String>,
}

/// How plans of nnU-Net 2.0 to 2.3 describe the network.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OldArchitecture {
    #[serde(default, rename = "UNet_class_name")]
    class_name: Option<String>,
    #[serde(default, rename = "UNet_base_num_features")]
    base_num_features: Option<u64>,
    #[serde(default)]
    unet_max_num_features: Option<u64>,
    #[serde(default)]
    n_conv_per_stage_encoder: Option<Vec<u64>>,
    #[serde(default)]
    n_conv_per_stage_decoder: Option<Vec<u64>>,
    #[serde(default)]
    pool_op_kernel_sizes: Option<Value>,
    #[serde(default)]
    conv_kernel_sizes: Option<Value>,
}

/// The maximum number of configurations that inherit from each other.
const MAX_INHERITANCE: usize = 16;

impl Plans {
    /// Parses the text of `plans.json`, whose path is for messages.
    pub fn parse(text: &str, path: &str) -> Result<Self, ImportError> {
        serde_json::from_str(text).map_err(|error| invalid(path, &error.to_string()))
    }

    /// Returns a configuration with what it inherits from others.
    pub fn configuration(&self, name: &str, path: &str) -> Result<Configuration, ImportError> {
        let mut merged = Map::new();
        let mut next = Some(name.to_owned());
        for _ in 0..MAX_INHERITANCE {
            let Some(current) = next.take() else { break };
            let Some(configuration) = self.configurations.get(&current) else {
                let known = self.configurations.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(invalid(
                    path,
                    &format!("it has no configuration {current}; its configurations are {known}"),
                ));
            };
            for (key, value) in configuration {
                merged.entry(key.clone()).or_insert_with(|| value.clone());
            }
            next = configuration.get("inherits_from").and_then(Value::as_str).map(str::to_owned);
        }
        if next.is_some() {
            return Err(invalid(path, &format!("the configurations that {name} inherits from form a circle")));
        }
        serde_json::from_value(Value::Object(merged))
            .map_err(|error| invalid(path, &format!("configuration {name}: {error}")))
    }

    /// Returns the statistics of a channel.
    pub fn intensities(&self, channel: usize) -> Option<Intensities> {
        let properties = self.foreground_intensity_properties_per_channel.get(&channel.to_string())?;
        Intensities::deserialize(properties).ok()
    }
}

impl Configuration {
    /// Returns the class of the network and its arguments, which plans of earlier versions state in other keys.
    pub fn architecture(&self, path: &str) -> Result<Architecture, ImportError> {
        if let Some(architecture) = &self.architecture {
            return Ok(architecture.clone());
        }
        self.old.convert().ok_or_else(|| {
            invalid(path, "it has neither `architecture` nor all keys of the network that earlier versions wrote")
        })
    }
}

impl OldArchitecture {
    fn convert(&self) -> Option<Architecture> {
        let class = self.class_name.as_deref()?;
        let Some(class) = NETWORKS.into_iter().find(|known| known.name == class) else {
            return Some(Architecture { network_class_name: class.to_owned(), ..Architecture::default() });
        };
        let convolutions = self.n_conv_per_stage_encoder.clone()?;
        let (base, max) = (self.base_num_features?, self.unet_max_num_features?);
        let width = |level: usize| {
            2u64.checked_pow(level as u32).and_then(|factor| base.checked_mul(factor)).unwrap_or(max).min(max)
        };
        let kernel_sizes = self.conv_kernel_sizes.clone()?;
        let network = PlannedNetwork {
            class,
            dimensions: kernel_sizes.get(0).and_then(Value::as_array).map_or(3, Vec::len),
            widths: (0..convolutions.len()).map(width).collect(),
            kernel_sizes,
            strides: self.pool_op_kernel_sizes.clone()?,
            convolutions,
            decoder_convolutions: self.n_conv_per_stage_decoder.clone()?,
            norm: "instance".to_owned(),
            activation: "leaky_relu".to_owned(),
        };
        network.architecture()
    }
}

/// Makes the problem of a plans file that cannot be used.
fn invalid(path: &str, reason: &str) -> ImportError {
    ImportError::problem(format!("{path}: {reason}"), "use the plans.json that nnU-Net wrote beside the folds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(configurations: Value) -> Plans {
        let text = serde_json::json!({
            "dataset_name": "Dataset001_A", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2], "configurations": configurations,
            "foreground_intensity_properties_by_modality": {
                "0": { "mean": 1.5, "std": 2.0, "percentile_00_5": -3.0, "percentile_99_5": 4.0, "median": 1.0 }
            },
        });
        Plans::parse(&text.to_string(), "plans.json").unwrap()
    }

    const BASE: &str = r#"{ "batch_size": 2, "patch_size": [8, 8, 8], "spacing": [1, 1, 1],
        "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [false] }"#;

    #[test]
    fn a_configuration_inherits_what_it_does_not_state() {
        let base: Value = serde_json::from_str(BASE).unwrap();
        let plans = plans(serde_json::json!({
            "a": base, "b": { "inherits_from": "a", "batch_size": 4 }, "c": { "inherits_from": "b", "spacing": [3, 1, 1] },
        }));
        let configuration = plans.configuration("c", "plans.json").unwrap();
        assert_eq!((configuration.batch_size, configuration.patch_size), (4, vec![8, 8, 8]));
        assert_eq!(configuration.spacing, [3.0, 1.0, 1.0]);
        assert_eq!(plans.intensities(0).unwrap().percentile_00_5, -3.0);
        assert_eq!(plans.intensities(1), None);
        let error = plans.configuration("d", "plans.json").unwrap_err().to_string();
        assert_eq!(error, "plans.json: it has no configuration d; its configurations are a, b, c");
    }

    #[test]
    fn a_circle_of_inheritance_is_a_problem() {
        let plans = plans(serde_json::json!({ "a": { "inherits_from": "b" }, "b": { "inherits_from": "a" } }));
        assert!(plans.configuration("a", "plans.json").unwrap_err().to_string().contains("circle"));
    }

    #[test]
    fn the_network_of_old_plans_is_restated() {
        let mut configuration: Value = serde_json::from_str(BASE).unwrap();
        let old = serde_json::json!({
            "UNet_class_name": "ResidualEncoderUNet", "UNet_base_num_features": 32, "unet_max_num_features": 100,
            "n_conv_per_stage_encoder": [1, 3, 4], "n_conv_per_stage_decoder": [1, 1],
            "num_pool_per_axis": [2, 2, 2], "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
            "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3], [3, 3, 3]],
        });
        configuration.as_object_mut().unwrap().extend(old.as_object().unwrap().clone());
        let plans = plans(serde_json::json!({ "a": configuration }));
        let architecture = plans.configuration("a", "p").unwrap().architecture("p").unwrap();
        assert!(architecture.network_class_name.ends_with(".ResidualEncoderUNet"));
        assert_eq!(architecture.arch_kwargs["features_per_stage"], serde_json::json!([32, 64, 100]));
        assert_eq!(architecture.arch_kwargs["n_blocks_per_stage"], serde_json::json!([1, 3, 4]));
        let mut other: Value = serde_json::from_str(BASE).unwrap();
        other["UNet_class_name"] = "MyUNet".into();
        let other = self::plans(serde_json::json!({ "a": other })).configuration("a", "p").unwrap();
        assert_eq!(other.architecture("p").unwrap().network_class_name, "MyUNet");
        let none = plans_without_network().configuration("a", "p").unwrap().architecture("p").unwrap_err();
        assert!(none.to_string().contains("neither `architecture`"), "{none}");
    }

    fn plans_without_network() -> Plans {
        plans(serde_json::json!({ "a": serde_json::from_str::<Value>(BASE).unwrap() }))
    }
}

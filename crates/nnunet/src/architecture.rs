//! nnU-Net's network as the key `model` of an experiment.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::ImportError;
use crate::axes::Axes;
use crate::classes::{ACTIVATIONS, EPSILON, NEGATIVE_SLOPE, NETWORKS, NORMS, NetworkClass, PACKAGE};
use crate::plans::Architecture;

/// A network of nnU-Net.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Network {
    /// The keys of `model.unet`, with axes in the order of image files; the normalization is that of the plans.
    pub unet: Value,
    /// The number of levels of the encoder.
    pub levels: usize,
    /// Whether convolutions have biases.
    pub has_bias: bool,
    /// Whether dropout is part of the network; it has no effect on predictions.
    pub has_dropout: bool,
}

/// The arguments that are understood; of those in the second list, a value other than nothing is refused.
const ARGUMENTS: &[&str] = &[
    "n_stages",
    "features_per_stage",
    "conv_op",
    "kernel_sizes",
    "strides",
    "n_conv_per_stage",
    "n_blocks_per_stage",
    "n_conv_per_stage_decoder",
    "conv_bias",
    "norm_op",
    "norm_op_kwargs",
    "dropout_op",
    "dropout_op_kwargs",
    "nonlin",
    "nonlin_kwargs",
    "deep_supervision",
    "input_channels",
    "num_classes",
];
const REFUSED_ARGUMENTS: &[&str] = &["nonlin_first", "block", "bottleneck_channels", "stem_channels"];

impl Network {
    /// Translates the network of a configuration.
    ///
    /// # Errors
    /// When it is not one of nnU-Net's U-Nets, or has an argument that ours lacks; both are named.
    pub fn new(architecture: &Architecture, axes: &Axes) -> Result<Self, ImportError> {
        let Architecture { network_class_name, arch_kwargs, .. } = architecture;
        let class = network_class_name.rsplit('.').next().unwrap_or_default();
        let known = NETWORKS.into_iter().find(|known| known.name == class && network_class_name.starts_with(PACKAGE));
        let NetworkClass { encoder, per_stage, .. } = known.ok_or_else(|| {
            ImportError::problem(
                format!("the network is {network_class_name}"),
                "only nnU-Net's PlainConvUNet and ResidualEncoderUNet can be imported",
            )
        })?;
        let arguments = Arguments { values: arch_kwargs, axes };
        arguments.check_names()?;
        let levels = arguments.levels()?;
        let mut decoder_convolutions = arguments.per_level("n_conv_per_stage_decoder", levels - 1)?;
        // nnU-Net's first level of the decoder is the deepest.
        decoder_convolutions.reverse();
        let mut unet = json!({
            "widths": arguments.per_level("features_per_stage", levels)?,
            "kernel_sizes": arguments.sizes("kernel_sizes", levels)?,
            "strides": arguments.sizes("strides", levels)?,
            "convs_per_level": arguments.per_level(per_stage, levels)?,
            "decoder_convs_per_level": decoder_convolutions,
            "norm": arguments.norm()?,
            "activation": arguments.activation()?,
            "downsample": "strided_conv",
            "upsample": "transposed_conv",
            "initialization": "he",
        });
        if encoder != "plain" {
            unet["encoder"] = encoder.into();
        }
        // With fewer levels there is no loss below the full resolution.
        if levels >= 3 {
            unet["deep_supervision"] = true.into();
        }
        let has_bias = arch_kwargs.get("conv_bias").and_then(Value::as_bool).unwrap_or(false);
        let has_dropout = arch_kwargs.get("dropout_op").is_some_and(|value| !value.is_null());
        Ok(Self { unet, levels, has_bias, has_dropout })
    }
}

/// The arguments of a network class.
struct Arguments<'a> {
    values: &'a Map<String, Value>,
    axes: &'a Axes,
}

impl Arguments<'_> {
    fn check_names(&self) -> Result<(), ImportError> {
        let is_unset = |name: &str, value: &Value| match name {
            "nonlin_first" => *value == false,
            "block" => value.is_null() || value.as_str().is_some_and(|class| class.ends_with(".BasicBlockD")),
            _ => value.is_null(),
        };
        for (name, value) in self.values {
            let is_without_effect = REFUSED_ARGUMENTS.contains(&name.as_str()) && is_unset(name, value);
            if !ARGUMENTS.contains(&name.as_str()) && !is_without_effect {
                let message = format!("the network has the argument {name}: {value}, which ours lacks");
                return Err(ImportError::problem(message, "only networks as nnU-Net plans them can be imported"));
            }
        }
        Ok(())
    }

    fn levels(&self) -> Result<usize, ImportError> {
        let levels = self.values.get("n_stages").and_then(Value::as_u64);
        // More levels would halve the axes of any volume to nothing.
        levels
            .filter(|levels| (2..=16).contains(levels))
            .map(|levels| levels as usize)
            .ok_or_else(|| self.wrong("n_stages"))
    }

    /// Returns a number for each level, which may be stated once for all.
    fn per_level(&self, name: &str, levels: usize) -> Result<Vec<u64>, ImportError> {
        let value = self.values.get(name).unwrap_or(&Value::Null);
        let numbers = match value {
            Value::Array(items) => items.iter().map(Value::as_u64).collect(),
            _ => value.as_u64().map(|number| vec![number; levels]),
        };
        numbers.filter(|numbers| numbers.len() == levels).ok_or_else(|| self.wrong(name))
    }

    /// Returns the size of a kernel or a stride on each level along x, y and z; it may be stated once for all levels or axes.
    fn sizes(&self, name: &str, levels: usize) -> Result<Vec<[u64; 3]>, ImportError> {
        let value = self.values.get(name).unwrap_or(&Value::Null);
        let all = vec![value.clone(); levels];
        let of_level = |value: &Value| match value {
            Value::Array(items) => {
                let sizes = items.iter().map(Value::as_u64).collect::<Option<Vec<_>>>()?;
                self.axes.in_file_order(&sizes, 1)
            }
            _ => {
                let size = value.as_u64()?;
                let number = if self.axes.in_file_order(&[size; 3], 1).is_some() { 3 } else { 2 };
                self.axes.in_file_order(&[size; 3][..number], 1)
            }
        };
        let per_level = value.as_array().unwrap_or(&all);
        let sizes = per_level.iter().map(of_level).collect::<Option<Vec<_>>>();
        sizes.filter(|sizes| sizes.len() == levels).ok_or_else(|| self.wrong(name))
    }

    fn norm(&self) -> Result<&'static str, ImportError> {
        let class = self.class("norm_op").unwrap_or_default();
        let known = NORMS.into_iter().find(|(_, name, _)| class.starts_with(name));
        let (.., norm) = known.ok_or_else(|| self.wrong("norm_op"))?;
        let arguments = self.values.get("norm_op_kwargs").and_then(Value::as_object);
        let number = |name: &str| arguments.and_then(|arguments| arguments.get(name));
        let epsilon = number("eps").and_then(Value::as_f64).unwrap_or(EPSILON);
        // PyTorch's instance normalization has no weights by default; ours has.
        let is_affine = number("affine").and_then(Value::as_bool).unwrap_or(norm == "batch");
        if epsilon != EPSILON || !is_affine {
            return Err(self.wrong("norm_op_kwargs"));
        }
        Ok(norm)
    }

    fn activation(&self) -> Result<&'static str, ImportError> {
        let class = self.class("nonlin").unwrap_or_default();
        let known = ACTIVATIONS.into_iter().find(|(name, _)| *name == class);
        let (name, activation) = known.ok_or_else(|| self.wrong("nonlin"))?;
        let slope = self.values.get("nonlin_kwargs").and_then(|arguments| arguments.get("negative_slope"));
        if name == "LeakyReLU" && slope.is_some_and(|slope| slope.as_f64() != Some(NEGATIVE_SLOPE)) {
            return Err(self.wrong("nonlin_kwargs"));
        }
        Ok(activation)
    }

    /// Returns the last part of a class's name.
    fn class(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.as_str()?.rsplit('.').next()
    }

    /// Makes the problem of an argument that ours lacks.
    fn wrong(&self, name: &str) -> ImportError {
        let expected = match name {
            "n_stages" => "2 to 16",
            "norm_op" => "InstanceNorm or BatchNorm",
            "norm_op_kwargs" => "eps 1e-5 and affine true",
            "nonlin" => "LeakyReLU or ReLU",
            "nonlin_kwargs" => "negative_slope 0.01",
            "kernel_sizes" | "strides" => "one size for each stage, or for each stage and axis",
            _ => "one number for each stage",
        };
        let value = self.values.get(name).unwrap_or(&Value::Null);
        ImportError::problem(
            format!("the network has {name}: {value}; expected {expected}"),
            "only networks as nnU-Net plans them can be imported",
        )
    }
}

/// Returns the normalization that the names of a state dict show: a trainer may replace that of the plans.
pub(crate) fn norm_of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    let kinds: BTreeSet<&str> =
        names.into_iter().filter_map(|name| name.rsplit_once(".norm.").map(|(_, kind)| kind)).collect();
    let is_batch = kinds.contains("running_mean");
    (!kinds.is_empty()).then_some(if is_batch { "batch" } else { "instance" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn architecture(class: &str, changes: Value) -> Architecture {
        let mut arguments = json!({
            "n_stages": 3, "features_per_stage": [4, 8, 16], "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "n_conv_per_stage_decoder": [2, 2], "conv_bias": true,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d", "norm_op_kwargs": { "eps": 1e-5, "affine": true },
            "dropout_op": null, "dropout_op_kwargs": null, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": { "inplace": true },
        });
        let own = if class.ends_with("ResidualEncoderUNet") { "n_blocks_per_stage" } else { "n_conv_per_stage" };
        arguments[own] = json!([1, 2, 3]);
        arguments.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let arch_kwargs = arguments.as_object().unwrap().clone();
        Architecture { network_class_name: class.to_owned(), arch_kwargs, ..Architecture::default() }
    }

    const PLAIN: &str = "dynamic_network_architectures.architectures.unet.PlainConvUNet";

    fn network(class: &str, changes: Value) -> Result<Network, ImportError> {
        Network::new(&architecture(class, changes), &Axes::new(&[0, 1, 2], 3).unwrap())
    }

    #[test]
    fn a_network_is_translated_with_axes_in_the_order_of_files() {
        let network =
            network("dynamic_network_architectures.architectures.unet.ResidualEncoderUNet", json!({})).unwrap();
        assert_eq!(network.unet["kernel_sizes"][0], json!([3, 3, 1]));
        assert_eq!(network.unet["strides"][1], json!([2, 2, 1]));
        assert_eq!(network.unet["encoder"], "residual");
        let unet: nn::Unet = serde_json::from_value(network.unet).unwrap();
        assert!(unet.deep_supervision);
        assert_eq!((network.levels, network.has_bias, network.has_dropout), (3, true, false));
    }

    #[test]
    fn levels_of_the_decoder_are_listed_from_the_full_resolution_down() {
        let network = network(PLAIN, json!({ "n_conv_per_stage_decoder": [3, 1] })).unwrap();
        assert_eq!(network.unet["decoder_convs_per_level"], json!([1, 3]));
    }

    #[test]
    fn a_planar_network_has_one_voxel_on_an_axis() {
        let changes = json!({ "kernel_sizes": [[3, 3], 3, [3, 3]], "strides": [1, 2, 2] });
        let axes = Axes::new(&[0, 1, 2], 2).unwrap();
        let network = Network::new(&architecture(PLAIN, changes), &axes).unwrap();
        assert_eq!(network.unet["kernel_sizes"], json!([[3, 3, 1], [3, 3, 1], [3, 3, 1]]));
        assert_eq!(network.unet["strides"], json!([[1, 1, 1], [2, 2, 1], [2, 2, 1]]));
    }

    #[test]
    fn what_ours_lacks_is_refused_by_name() {
        for (class, changes, expected) in [
            ("dynamic_network_architectures.architectures.primus.Primus", json!({}), "architectures.primus.Primus"),
            ("my.own.PlainConvUNet", json!({}), "the network is my.own.PlainConvUNet"),
            (PLAIN, json!({ "nonlin_first": true }), "nonlin_first: true"),
            (PLAIN, json!({ "stem_channels": 8 }), "stem_channels: 8"),
            (PLAIN, json!({ "squeeze_excitation": true }), "squeeze_excitation: true"),
            (PLAIN, json!({ "nonlin": "torch.nn.SiLU" }), "nonlin: \"torch.nn.SiLU\"; expected LeakyReLU or ReLU"),
            (PLAIN, json!({ "nonlin_kwargs": { "negative_slope": 0.2 } }), "negative_slope"),
            (PLAIN, json!({ "norm_op": "torch.nn.GroupNorm" }), "norm_op"),
            (PLAIN, json!({ "norm_op_kwargs": { "eps": 1e-3, "affine": true } }), "norm_op_kwargs"),
            (PLAIN, json!({ "features_per_stage": [4, 8] }), "features_per_stage: [4,8]"),
            (PLAIN, json!({ "strides": [[1, 1], [2, 2], [2, 2]] }), "strides"),
            (PLAIN, json!({ "n_stages": 1_000_000_000 }), "n_stages"),
        ] {
            let error = network(class, changes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(network(PLAIN, json!({ "nonlin_first": false, "stem_channels": null })).is_ok());
    }

    #[test]
    fn the_normalization_of_weights_is_known_by_their_names() {
        assert_eq!(norm_of_names(["a.norm.weight", "a.norm.running_mean"]), Some("batch"));
        assert_eq!(norm_of_names(["a.norm.weight", "a.conv.weight"]), Some("instance"));
        assert_eq!(norm_of_names(["a.conv.weight"]), None);
    }
}

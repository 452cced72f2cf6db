//! The names of nnU-Net's classes of networks and layers, with ours, and the arguments of a network.

use serde_json::{Map, Value, json};

use crate::plans::Architecture;

/// A class of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NetworkClass {
    /// The name of the class.
    pub name: &'static str,
    /// The value of `model.unet.encoder`.
    pub encoder: &'static str,
    /// The argument with the number of convolutions, or of residual blocks, on each level of the encoder.
    pub per_stage: &'static str,
}

/// The classes of networks that are imported and exported.
pub(crate) const NETWORKS: [NetworkClass; 2] = [
    NetworkClass { name: "PlainConvUNet", encoder: "plain", per_stage: "n_conv_per_stage" },
    NetworkClass { name: "ResidualEncoderUNet", encoder: "residual", per_stage: "n_blocks_per_stage" },
];

/// The package of the classes of networks.
pub(crate) const PACKAGE: &str = "dynamic_network_architectures.";
/// The module of the classes, in that package.
const MODULE: &str = "architectures.unet.";

/// PyTorch's module and class of each normalization, without the number of dimensions, and the value of
/// `model.unet.norm`.
pub(crate) const NORMS: [(&str, &str, &str); 2] = [
    ("torch.nn.modules.instancenorm", "InstanceNorm", "instance"),
    ("torch.nn.modules.batchnorm", "BatchNorm", "batch"),
];

/// PyTorch's class of each activation function, and the value of `model.unet.activation`.
pub(crate) const ACTIVATIONS: [(&str, &str); 2] = [("LeakyReLU", "leaky_relu"), ("ReLU", "relu")];

/// PyTorch's default slope of a leaky ReLU, and the only one of ours.
pub(crate) const NEGATIVE_SLOPE: f64 = 0.01;
/// PyTorch's default of normalizations, and the only one of ours.
pub(crate) const EPSILON: f64 = 1e-5;

/// The arguments whose values are names of classes.
const IMPORTED_ARGUMENTS: [&str; 4] = ["conv_op", "norm_op", "dropout_op", "nonlin"];

/// A network as nnU-Net plans it. Lists have nnU-Net's order of levels and axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedNetwork {
    pub class: NetworkClass,
    /// The number of dimensions of convolutions: 2 or 3.
    pub dimensions: usize,
    /// The channels of each level.
    pub widths: Vec<u64>,
    /// The kernel of each level, one number or one for each axis.
    pub kernel_sizes: Value,
    /// The stride of each level, one number or one for each axis.
    pub strides: Value,
    /// The convolutions or blocks on each level of the encoder.
    pub convolutions: Vec<u64>,
    /// The convolutions on each level of the decoder.
    pub decoder_convolutions: Vec<u64>,
    /// The value of `model.unet.norm`: one of [`NORMS`].
    pub norm: String,
    /// The value of `model.unet.activation`: one of [`ACTIVATIONS`].
    pub activation: String,
}

impl PlannedNetwork {
    /// Returns the class and its arguments as plans.json has them; `None` for a normalization or activation that has no
    /// name.
    pub fn architecture(&self) -> Option<Architecture> {
        let dimensions = self.dimensions;
        let (module, norm, _) = NORMS.into_iter().find(|(.., ours)| *ours == self.norm)?;
        let (nonlin, _) = ACTIVATIONS.into_iter().find(|(_, ours)| *ours == self.activation)?;
        let mut arguments = Map::new();
        for (name, value) in [
            ("n_stages", self.widths.len().into()),
            ("features_per_stage", self.widths.clone().into()),
            ("conv_op", format!("torch.nn.modules.conv.Conv{dimensions}d").into()),
            ("kernel_sizes", self.kernel_sizes.clone()),
            ("strides", self.strides.clone()),
            (self.class.per_stage, self.convolutions.clone().into()),
            ("n_conv_per_stage_decoder", self.decoder_convolutions.clone().into()),
            ("conv_bias", true.into()),
            ("norm_op", format!("{module}.{norm}{dimensions}d").into()),
            ("norm_op_kwargs", json!({ "eps": EPSILON, "affine": true })),
            ("dropout_op", Value::Null),
            ("dropout_op_kwargs", Value::Null),
            ("nonlin", format!("torch.nn.{nonlin}").into()),
            ("nonlin_kwargs", json!({ "inplace": true })),
        ] {
            arguments.insert(name.to_owned(), value);
        }
        Some(Architecture {
            network_class_name: format!("{PACKAGE}{MODULE}{}", self.class.name),
            arch_kwargs: arguments,
            kw_requires_import: IMPORTED_ARGUMENTS.map(str::to_owned).to_vec(),
        })
    }
}

//! Normalization of activations.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::activation::{activate, add_activation};
use super::{Activation, Pass};
#[cfg(feature = "flex")]
use crate::kernels;
use crate::onnx::messages::Attribute;
use crate::onnx::{GraphBuilder, Value, builder};
use crate::parameters::{Declarations, Initializer, ParameterId, Parameters};

/// Added to variances before the square root, as PyTorch's default.
pub(crate) const EPSILON: f64 = 1e-5;
/// Weight of the current batch in running statistics, as PyTorch's default.
const MOMENTUM: f64 = 0.1;
/// Channels per group in group normalization, where the width is a multiple.
const GROUP_CHANNELS: usize = 8;

/// Normalization after each convolution, before its activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// No normalization.
    #[default]
    None,
    /// Instance normalization: each channel of each patch separately.
    Instance,
    /// Batch normalization: each channel over the batch, with running statistics for inference.
    Batch,
    /// Group normalization: groups of 8 channels of each patch; smaller groups where the width is not a multiple of 8.
    Group,
}

/// A normalization with a trained scale and shift per channel.
#[derive(Clone, Debug)]
pub enum Normalization {
    /// No normalization.
    Absent,
    /// Over each group of channels of each patch.
    Grouped {
        /// The number of groups.
        groups: usize,
        /// Scale and shift.
        affine: [ParameterId; 2],
    },
    /// Over each channel of the batch.
    Batch {
        /// Scale and shift.
        affine: [ParameterId; 2],
        /// Mean and variance for inference.
        running: [ParameterId; 2],
    },
}

impl Normalization {
    /// Declares the normalization of `channels` channels, with an initial scale.
    pub fn declare(all: &mut Declarations, norm: Norm, name: &str, channels: usize, scale: Initializer) -> Self {
        if norm == Norm::None {
            return Self::Absent;
        }
        let affine = [
            all.trained(format!("{name}.weight"), &[channels], scale),
            all.trained(format!("{name}.bias"), &[channels], Initializer::Zeros),
        ];
        match norm {
            Norm::Batch => Self::Batch {
                affine,
                running: [
                    all.buffer(format!("{name}.running_mean"), &[channels], Initializer::Zeros),
                    all.buffer(format!("{name}.running_var"), &[channels], Initializer::Ones),
                ],
            },
            Norm::Group => Self::Grouped { groups: num_groups(channels), affine },
            Norm::Instance | Norm::None => Self::Grouped { groups: channels, affine },
        }
    }

    /// Normalizes the input, then applies the activation.
    ///
    /// # Shapes
    /// - input, output: `[batch, channel, x, y, z]`
    pub fn forward(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Tensor<5>,
        activation: Option<Activation>,
    ) -> Tensor<5> {
        #[cfg(feature = "flex")]
        if let Some((affine, settings)) = self.kernel(parameters, &input, activation) {
            return kernels::normalize(input, affine, settings);
        }
        activate(self.normalize(parameters, pass, input), activation)
    }

    /// Returns scale, shift and settings for the kernel of `flex`; `None` where there is no kernel.
    #[cfg(feature = "flex")]
    fn kernel(
        &self,
        parameters: &Parameters,
        input: &Tensor<5>,
        activation: Option<Activation>,
    ) -> Option<([Tensor<1>; 2], kernels::NormalizationSettings)> {
        let Self::Grouped { groups, affine } = self else { return None };
        let slope = activation.map_or(1.0, Activation::negative_slope) as f32;
        let settings = kernels::NormalizationSettings { groups: *groups, epsilon: EPSILON, slope };
        kernels::support(input).then(|| (affine.map(|id| parameters.get::<1>(id)), settings))
    }

    /// Adds the normalization at inference to an ONNX graph.
    pub(crate) fn add_to_graph(&self, graph: &mut GraphBuilder, input: Value, activation: Option<Activation>) -> Value {
        let epsilon = builder::float("epsilon", EPSILON);
        let output = match self {
            Self::Absent => input,
            Self::Batch { affine, running } => {
                let name = graph.layer(affine[0]);
                let [scale, shift] = affine.map(|id| graph.parameter(id));
                let [mean, variance] = running.map(|id| graph.parameter(id));
                let inputs = [&input, &scale, &shift, &mean, &variance].map(Some);
                graph.node("BatchNormalization", &name, &inputs, vec![epsilon])
            }
            Self::Grouped { groups, affine } if *groups == graph.shape(affine[0])[0] => {
                let name = graph.layer(affine[0]);
                let [scale, shift] = affine.map(|id| graph.parameter(id));
                graph.node("InstanceNormalization", &name, &[&input, &scale, &shift].map(Some), vec![epsilon])
            }
            Self::Grouped { groups, affine } => add_group_norm(graph, &input, *groups, *affine, epsilon),
        };
        add_activation(graph, output, activation)
    }

    fn normalize(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let shape @ [batch, channels, x, y, z] = input.dims();
        let voxels = x * y * z;
        match self {
            Self::Absent => input,
            Self::Grouped { groups, affine } => {
                normalize_groups(input, affine.map(|id| parameters.get::<1>(id)), *groups)
            }
            Self::Batch { affine, running } => {
                let flat = input.reshape([batch, channels, voxels]);
                let [mean, variance] = if pass.training.is_some() {
                    let mean = flat.clone().mean_dim(2).mean_dim(0); // [1, channel, 1]
                    let variance = flat.clone().sub(mean.clone()).square().mean_dim(2).mean_dim(0);
                    let count = (batch * voxels) as f64;
                    let unbiased = variance.clone().mul_scalar(count / (count - 1.0).max(1.0));
                    for (id, new) in running.iter().zip([mean.clone(), unbiased]) {
                        let new = new.inner().reshape([channels]).mul_scalar(MOMENTUM);
                        pass.updates.push((*id, parameters.get::<1>(*id).mul_scalar(1.0 - MOMENTUM).add(new)));
                    }
                    [mean, variance]
                } else {
                    running.map(|id| per_channel(parameters, id))
                };
                let scale = per_channel(parameters, affine[0]);
                let shift = per_channel(parameters, affine[1]);
                let factor = scale.div(variance.add_scalar(EPSILON).sqrt());
                flat.sub(mean).mul(factor).add(shift).reshape(shape)
            }
        }
    }
}

/// A tensor that is yet to be normalized and activated, so that what follows can compute both together.
#[derive(Debug)]
pub struct Unnormalized<'a> {
    /// The tensor.
    pub input: Tensor<5>,
    /// Its normalization.
    pub norm: &'a Normalization,
    /// The activation after it.
    pub activation: Option<Activation>,
}

impl Unnormalized<'_> {
    /// Normalizes and activates the tensor.
    pub fn forward(self, parameters: &Parameters, pass: &mut Pass) -> Tensor<5> {
        self.norm.forward(parameters, pass, self.input, self.activation)
    }

    /// Returns scale, shift and settings for the kernel of `flex`; `None` where there is no kernel.
    #[cfg(feature = "flex")]
    pub(super) fn kernel(&self, parameters: &Parameters) -> Option<([Tensor<1>; 2], kernels::NormalizationSettings)> {
        self.norm.kernel(parameters, &self.input, self.activation)
    }
}

/// Normalizes groups of channels of each patch, with a scale and a shift per channel, in burn's operations.
pub(crate) fn normalize_groups(input: Tensor<5>, affine: [Tensor<1>; 2], groups: usize) -> Tensor<5> {
    let shape @ [batch, channels, x, y, z] = input.dims();
    let per_group = channels / groups;
    let grouped = input.reshape([batch, groups, per_group * x * y * z]);
    let centred = grouped.clone().sub(grouped.mean_dim(2));
    let deviation = centred.clone().square().mean_dim(2).add_scalar(EPSILON).sqrt(); // [batch, group, 1]
    let deviation = deviation.expand([batch, groups, per_group]).reshape([batch, channels, 1]);
    let [scale, shift] = affine.map(|values| values.unsqueeze_dims::<3>(&[0, 2])); // [1, channel, 1]
    centred.reshape([batch, channels, x * y * z]).mul(scale.div(deviation)).add(shift).reshape(shape)
}

/// Adds group normalization to an ONNX graph: an instance normalization with each group as one channel, since ONNX has group
/// normalization only in later versions.
fn add_group_norm(
    graph: &mut GraphBuilder,
    input: &Value,
    groups: usize,
    affine: [ParameterId; 2],
    epsilon: Attribute,
) -> Value {
    let name = graph.layer(affine[0]);
    let part = |part: &str| format!("{name}.{part}");
    let shape = graph.node("Shape", &part("shape"), &[Some(input)], Vec::new());
    // 0 keeps the batch.
    let grouped = graph.integers(&part("groups"), &[0, groups as i64, -1]);
    let grouped = graph.node("Reshape", &part("grouped"), &[Some(input), Some(&grouped)], Vec::new());
    let ones = graph.floats(&part("ones"), &[groups], &vec![1.0; groups]);
    let zeros = graph.floats(&part("zeros"), &[groups], &vec![0.0; groups]);
    let inputs = [&grouped, &ones, &zeros].map(Some);
    let normalized = graph.node("InstanceNormalization", &part("normalized"), &inputs, vec![epsilon]);
    let normalized = graph.node("Reshape", &part("channels"), &[Some(&normalized), Some(&shape)], Vec::new());
    let [scale, shift] = affine.map(|id| {
        let channels = graph.shape(id)[0];
        graph.parameter_as(id, &[channels, 1, 1, 1])
    });
    let scaled = graph.node("Mul", &part("scaled"), &[Some(&normalized), Some(&scale)], Vec::new());
    graph.node("Add", &name, &[Some(&scaled), Some(&shift)], Vec::new())
}

/// Returns a per-channel parameter as `[1, channel, 1]`.
fn per_channel(parameters: &Parameters, id: ParameterId) -> Tensor<3> {
    parameters.get::<1>(id).unsqueeze_dims(&[0, 2])
}

/// Returns the number of groups: 8 channels each where the width is a multiple of 8, else the largest divisor below.
fn num_groups(channels: usize) -> usize {
    let size = (1..=GROUP_CHANNELS.min(channels)).rev().find(|size| channels.is_multiple_of(*size));
    channels / size.expect("1 divides every width")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_eight_channels_where_the_width_is_a_multiple_of_eight() {
        assert_eq!((num_groups(32), num_groups(8), num_groups(12), num_groups(4), num_groups(7)), (4, 1, 2, 1, 1));
    }
}

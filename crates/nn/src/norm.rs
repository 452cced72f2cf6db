//! Normalisation of activations.

use burn::tensor::Tensor;

use super::blocks::{Pass, after};
use super::parameters::{Declarations, ParameterId, Parameters, Start};
use super::unet::{Activation, Norm};

/// Added to variances before their root, as PyTorch's default.
pub(super) const EPSILON: f64 = 1e-5;
/// The share of a batch in running statistics, as PyTorch's default.
const MOMENTUM: f64 = 0.1;
/// Channels of a group in group normalisation, where the width allows.
const GROUP_CHANNELS: usize = 8;

/// A normalisation with a learnt scale and shift per channel.
#[derive(Clone, Debug)]
pub enum Normalization {
    /// None.
    Absent,
    /// Over each group of channels of each patch.
    Grouped {
        /// How many groups there are.
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
    /// The normalisation of `channels` channels.
    pub fn declare(all: &mut Declarations, norm: Norm, name: &str, channels: usize) -> Self {
        if norm == Norm::None {
            return Self::Absent;
        }
        let affine = [
            all.trained(format!("{name}.weight"), &[channels], Start::Ones),
            all.trained(format!("{name}.bias"), &[channels], Start::Zeros),
        ];
        match norm {
            Norm::Batch => Self::Batch {
                affine,
                running: [
                    all.buffer(format!("{name}.running_mean"), &[channels], Start::Zeros),
                    all.buffer(format!("{name}.running_var"), &[channels], Start::Ones),
                ],
            },
            Norm::Group => Self::Grouped { groups: num_groups(channels), affine },
            Norm::Instance | Norm::None => Self::Grouped { groups: channels, affine },
        }
    }

    /// What is normalised, and what follows it.
    ///
    /// # Shapes
    /// - input, output: `[batch, channel, x, y, z]`
    pub fn forward(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Tensor<5>,
        then: Option<Activation>,
    ) -> Tensor<5> {
        #[cfg(feature = "flex")]
        if let Self::Grouped { groups, affine } = self
            && super::kernels::serve(&input)
        {
            let affine = affine.map(|id| parameters.get::<1>(id));
            return super::kernels::normalize(input, affine, *groups, then.map_or(1.0, Activation::slope));
        }
        after(self.normal(parameters, pass, input), then)
    }

    fn normal(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let shape @ [batch, channels, x, y, z] = input.dims();
        let voxels = x * y * z;
        match self {
            Self::Absent => input,
            Self::Grouped { groups, affine } => by_groups(input, affine.map(|id| parameters.get::<1>(id)), *groups),
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

/// Normalises groups of channels, with a scale and a shift of each channel.
pub(super) fn by_groups(input: Tensor<5>, affine: [Tensor<1>; 2], groups: usize) -> Tensor<5> {
    let shape @ [batch, channels, x, y, z] = input.dims();
    let per_group = channels / groups;
    let grouped = input.reshape([batch, groups, per_group * x * y * z]);
    let centred = grouped.clone().sub(grouped.mean_dim(2));
    let deviation = centred.clone().square().mean_dim(2).add_scalar(EPSILON).sqrt(); // [batch, group, 1]
    let deviation = deviation.expand([batch, groups, per_group]).reshape([batch, channels, 1]);
    let [scale, shift] = affine.map(|values| values.unsqueeze_dims::<3>(&[0, 2])); // [1, channel, 1]
    centred.reshape([batch, channels, x * y * z]).mul(scale.div(deviation)).add(shift).reshape(shape)
}

/// A parameter of each channel as `[1, channel, 1]`.
fn per_channel(parameters: &Parameters, id: ParameterId) -> Tensor<3> {
    parameters.get::<1>(id).unsqueeze_dims(&[0, 2])
}

/// Groups of 8 channels where the width is a multiple of 8; else as many channels a group as divide both.
fn num_groups(channels: usize) -> usize {
    let size = (1..=GROUP_CHANNELS.min(channels)).rev().find(|size| channels.is_multiple_of(*size));
    channels / size.expect("1 divides every width")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_eight_channels_where_the_width_allows() {
        assert_eq!((num_groups(32), num_groups(8), num_groups(12), num_groups(4), num_groups(7)), (4, 1, 2, 1, 1));
    }
}

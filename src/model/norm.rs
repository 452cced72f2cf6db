//! Normalisation of activations.

use burn::tensor::Tensor;

use super::blocks::Pass;
use super::parameters::{Declarations, ParameterId, Parameters, Start};
use super::unet::Norm;

/// Added to variances before their root, as PyTorch's default.
const EPSILON: f64 = 1e-5;
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

    /// # Shapes
    /// - input, output: `[batch, channel, x, y, z]`
    pub fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let shape @ [batch, channels, x, y, z] = input.dims();
        let voxels = x * y * z;
        match self {
            Self::Absent => input,
            Self::Grouped { groups, affine } => {
                let grouped = input.reshape([batch, *groups, channels / groups * voxels]);
                let centred = grouped.clone().sub(grouped.mean_dim(2));
                let deviation = centred.clone().square().mean_dim(2).add_scalar(EPSILON).sqrt(); // [batch, group, 1]
                let deviation = deviation.expand([batch, *groups, channels / groups]).reshape([batch, channels, 1]);
                let factor = per_channel(parameters, affine[0]).div(deviation);
                let shift = per_channel(parameters, affine[1]);
                centred.reshape([batch, channels, voxels]).mul(factor).add(shift).reshape(shape)
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

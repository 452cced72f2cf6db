//! Channel dropout.

use burn::tensor::{Tensor, TensorData};

use super::Pass;

/// Channel dropout, as PyTorch's `Dropout3d`: in training each channel is zeroed with the given probability, and the
/// others are scaled so that the expected value is unchanged.
///
/// The mask is sampled on the host, so that every backend drops the same channels.
///
/// # Shapes
/// - input, output: `[batch, channel, x, y, z]`
pub fn dropout(input: Tensor<5>, probability: f64, pass: &mut Pass) -> Tensor<5> {
    match &mut pass.training {
        Some(rng) if probability > 0.0 => {
            let [batch, channels, ..] = input.dims();
            let scale = (1.0 / (1.0 - probability)) as f32;
            let mask = (0..batch * channels)
                .map(|_| if rng.bernoulli(probability) { 0.0 } else { scale })
                .collect::<Vec<f32>>();
            let mask = TensorData::new(mask, [batch, channels, 1, 1, 1]);
            let device = input.device().inner();
            input.mul(Tensor::from_data(mask, &device))
        }
        _ => input,
    }
}

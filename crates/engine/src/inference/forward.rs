//! One forward pass of a network over windows, from and to the host.

use burn::tensor::{Device, Tensor, TensorData};

use nn::{Network, Pass};

/// A device that failed while it computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device failed: {0}")]
pub struct ComputeError(pub String);

/// Computes the logits of windows on the device of the network's weights.
///
/// # Shapes
/// - `windows`: `[window, channel, x, y, z]`, with `count` windows of `channels` channels
/// - logits: `[window, class, x, y, z]`
///
/// # Errors
/// When the device fails.
pub fn logits(
    network: &Network,
    windows: Vec<f32>,
    [count, channels]: [usize; 2],
    [x, y, z]: [usize; 3],
    device: &Device,
) -> Result<Vec<f32>, ComputeError> {
    let data = TensorData::new(windows, [count, channels, x, y, z]);
    let input = Tensor::<5>::from_data(data, &device.clone().inner());
    let logits = network.without_gradients().forward(&mut Pass::inference(), input);
    let data = logits.try_into_data_as::<f32>().map_err(|error| ComputeError(error.to_string()))?;
    data.try_to_vec().map_err(|error| ComputeError(error.to_string()))
}

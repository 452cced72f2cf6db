//! Deep supervision: a loss on logits at several resolutions, as nnU-Net computes it.

use burn::tensor::Tensor;

use super::{Loss, Target};

/// Returns the weighted mean of the losses at all resolutions, from the full one down.
///
/// The weights halve from one resolution to the next, and that of the lowest is 0 where there are several.
pub(super) fn forward(loss: &Loss, logits: Vec<Tensor<5>>, target: Target) -> Tensor<1> {
    let weights = weights(logits.len());
    let losses = logits.into_iter().zip(weights).filter(|(_, weight)| *weight > 0.0);
    let weighted = losses.map(|(logits, weight)| {
        let [.., x, y, z] = logits.dims();
        let value = loss.forward(logits, target.clone().map(|values| resample(values, [x, y, z])));
        if weight == 1.0 { value } else { value.mul_scalar(weight) }
    });
    weighted.reduce(Tensor::add).expect("a network has at least one output")
}

/// Returns the weight of each of `count` resolutions; their sum is 1.
fn weights(count: usize) -> Vec<f64> {
    let is_used = |index: usize| count == 1 || index + 1 < count;
    let weight = |index: usize| if is_used(index) { 0.5f64.powi(index as i32) } else { 0.0 };
    let sum: f64 = (0..count).map(weight).sum();
    (0..count).map(|index| weight(index) / sum).collect()
}

/// Returns values of a target on a coarser grid: the value of the voxel at the centre of each block, or behind it, as PyTorch's
/// interpolation `nearest-exact`.
///
/// # Shapes
/// - values: `[batch, class, x, y, z]`, each axis a multiple of the grid
/// - output: `[batch, class, grid x, grid y, grid z]`
fn resample(values: Tensor<5>, grid: [usize; 3]) -> Tensor<5> {
    let [batch, classes, x, y, z] = values.dims();
    if [x, y, z] == grid {
        return values;
    }
    let factors = [x / grid[0], y / grid[1], z / grid[2]];
    let blocks = values.reshape([batch * classes, grid[0], factors[0], grid[1], factors[1], grid[2], factors[2]]);
    let centre = factors.map(|factor| factor / 2..factor / 2 + 1);
    let [x, y, z] = centre;
    let picked = blocks.slice([0..batch * classes, 0..grid[0], x, 0..grid[1], y, 0..grid[2], z]);
    picked.reshape([batch, classes, grid[0], grid[1], grid[2]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn weights_halve_and_the_lowest_resolution_has_none() {
        assert_eq!(weights(1), [1.0]);
        assert_eq!(weights(2), [1.0, 0.0]);
        assert_eq!(weights(4), [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0]);
    }

    #[test]
    fn targets_are_resampled_as_by_nearest_exact() {
        let values: Vec<f32> = (0..4 * 2 * 3).map(|value| value as f32).collect();
        let target = Tensor::<5>::from_data(TensorData::new(values, [1, 1, 4, 2, 3]), &Device::flex());
        let picked: Vec<f32> = resample(target, [1, 1, 3]).into_data().try_to_vec().unwrap();
        // Index 2 along x and 1 along y, as torch.nn.functional.interpolate(target, (1, 1, 3), mode="nearest-exact").
        assert_eq!(picked, [15.0, 16.0, 17.0]);
    }
}

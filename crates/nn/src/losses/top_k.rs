//! The mean of the largest losses of single voxels.

use burn::tensor::{Tensor, TensorData};

/// Returns the mean of the largest fraction of the values `[batch, 1, x, y, z]`, over the whole batch.
///
/// Of equal values at the border, the first ones count. Which values count is decided on the host, so that it does not depend
/// on the device.
pub(super) fn mean_of_largest(values: Tensor<5>, fraction: f64) -> Tensor<1> {
    let shape = values.dims();
    let host: Vec<f32> =
        values.clone().inner().into_data_as::<f32>().try_to_vec().expect("a tensor converted to f32 contains f32");
    // nnU-Net rounds down.
    let count = ((host.len() as f64 * fraction) as usize).max(1);
    let mask = TensorData::new(mask_of_largest(&host, count), shape);
    let mask = Tensor::<5>::from_data(mask, &values.device().inner());
    super::reduction::sum(values.mul(mask)).div_scalar(count as f64)
}

/// Returns 1 for the `count` largest values and 0 for the others.
fn mask_of_largest(values: &[f32], count: usize) -> Vec<f32> {
    let mut sorted = values.to_vec();
    let (_, threshold, _) = sorted.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    let threshold = *threshold;
    let mut equal = count - values.iter().filter(|value| value.total_cmp(&threshold).is_gt()).count();
    let counts = |value: &f32| match value.total_cmp(&threshold) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal if equal > 0 => {
            equal -= 1;
            1.0
        }
        _ => 0.0,
    };
    values.iter().map(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_values_the_first_count() {
        assert_eq!(mask_of_largest(&[1.0, 3.0, 2.0, 2.0, 2.0, 0.0], 3), [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(mask_of_largest(&[1.0], 1), [1.0]);
    }
}

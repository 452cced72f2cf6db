//! The global norm of gradients, and clipping by it.

use burn::tensor::Tensor;

/// Values per sum. Backends split longer sums over threads, in an order that depends on the number of threads.
const MAX_SUM: usize = 1 << 20;

/// Returns sums of squares over all gradients; the square root of their total is the gradient norm.
///
/// # Panics
/// Panics if no parameter has a gradient.
pub fn squares(gradients: &[Option<Tensor<1>>]) -> Tensor<1> {
    let pieces = gradients.iter().flatten().flat_map(|gradient| gradient.clone().square().split(MAX_SUM, 0));
    Tensor::cat(pieces.map(Tensor::sum).collect(), 0)
}

/// Scales gradients down so that their global norm is at most `max_norm`, as PyTorch's `clip_grad_norm_`; `squares` is
/// the result of [`squares`]. The factor is computed on the device, without a transfer to the host.
pub fn clip(gradients: Vec<Option<Tensor<1>>>, squares: &Tensor<1>, max_norm: f64) -> Vec<Option<Tensor<1>>> {
    let norm = squares.clone().sum().sqrt();
    let factor = norm.add_scalar(1e-6).recip().mul_scalar(max_norm).clamp_max(1.0);
    gradients.into_iter().map(|gradient| Some(gradient?.mul(factor.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_above_the_norm_are_clipped_and_others_unchanged() {
        let device = burn::tensor::Device::flex();
        let gradients =
            || [&[3.0][..], &[0.0, 4.0]].map(|values| Some(Tensor::<1>::from_floats(values, &device))).to_vec();
        let norm = |gradients: &[Option<Tensor<1>>]| squares(gradients).sum().sqrt().into_scalar::<f32>();
        assert_eq!(norm(&gradients()), 5.0);
        let squares = squares(&gradients());
        assert!((norm(&clip(gradients(), &squares, 1.0)) - 1.0).abs() < 1e-5);
        assert_eq!(norm(&clip(gradients(), &squares, 10.0)), 5.0);
    }
}

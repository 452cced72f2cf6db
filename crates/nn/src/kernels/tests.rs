//! Each kernel against burn's operations on the same values, with all gradients.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose3d, conv3d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::ThreadPoolBuilder;

use super::{NormalizationSettings, Stencil};
use crate::layers::average_pool::average_pool_by_means;
use crate::layers::max_pool::max_pool_by_planes;
use crate::layers::normalization::{EPSILON, normalize_groups};
use crate::layers::upsample::trilinear_by_matrices;

/// Returns values between -1 and 1 that do not repeat.
fn waves<const D: usize>(shape: [usize; D], frequency: f64) -> Tensor<D> {
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|i| (frequency * (i as f64 + 0.5) * 12.9898).sin() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Returns the output of a function of tensors, and the gradients of a weighted sum of the output.
fn output_and_gradients(inputs: &[Tensor<5>], affine: &[Tensor<1>], function: impl Fn() -> Tensor<5>) -> Vec<Vec<f32>> {
    let output = function();
    let weights = waves(output.dims(), 0.713).detach();
    let gradients = output.clone().mul(weights).sum().backward();
    let mut all = vec![to_vec(output)];
    all.extend(inputs.iter().map(|input| to_vec(input.grad(&gradients).unwrap())));
    all.extend(affine.iter().map(|values| to_vec(values.grad(&gradients).unwrap())));
    all
}

#[track_caller]
fn assert_close(ours: &[Vec<f32>], burns: &[Vec<f32>], case: &str) {
    assert_eq!(ours.len(), burns.len());
    for (tensor, (ours, burns)) in ours.iter().zip(burns).enumerate() {
        assert_eq!(ours.len(), burns.len(), "{case}, tensor {tensor}");
        // The terms of all sums are of the order of 1, so a sum that cancels is no more exact than that.
        let largest = burns.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
        for (index, (ours, burns)) in ours.iter().zip(burns).enumerate() {
            let error = (ours - burns).abs() / largest;
            assert!(error < 2e-5, "{case}: tensor {tensor} at {index} is {ours}, by burn {burns}");
        }
    }
}

/// Returns the settings of a normalization.
fn settings(groups: usize, slope: f32) -> NormalizationSettings {
    NormalizationSettings { groups, epsilon: EPSILON, slope }
}

/// A convolution to test.
#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    /// The channels of each input.
    channels: &'static [usize],
    outputs: usize,
    grid: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    slope: f64,
}

impl Case {
    const fn new(batch: usize, channels: &'static [usize], outputs: usize, grid: [usize; 3], slope: f64) -> Self {
        Self { batch, channels, outputs, grid, kernel: [3; 3], stride: [1; 3], slope }
    }

    const fn with(self, kernel: [usize; 3], stride: [usize; 3]) -> Self {
        Self { kernel, stride, ..self }
    }

    /// Returns outputs and gradients: ours and burn's.
    fn results(self) -> [Vec<Vec<f32>>; 2] {
        let ([x, y, z], [kx, ky, kz]) = (self.grid, self.kernel);
        let input = |count: &usize| waves([self.batch, *count, x, y, z], 0.317 + *count as f64);
        let inputs: Vec<_> = self.channels.iter().map(input).collect();
        let weight = waves([self.outputs, self.channels.iter().sum(), kx, ky, kz], 0.531);
        let bias = [waves([self.outputs], 0.91)];
        let all: Vec<_> = inputs.iter().cloned().chain([weight.clone()]).collect();
        let stencil = Stencil::centred(self.kernel, self.stride);
        let ours = || super::convolve(inputs.clone(), weight.clone(), bias[0].clone(), stencil, self.slope);
        let burns = || {
            let options = ConvOptions::new(self.stride, stencil.padding, [1; 3], 1);
            let output = conv3d(Tensor::cat(inputs.clone(), 1), weight.clone(), Some(bias[0].clone()), options);
            if self.slope == 1.0 { output } else { leaky_relu(output, self.slope) }
        };
        [output_and_gradients(&all, &bias, ours), output_and_gradients(&all, &bias, burns)]
    }
}

#[test]
fn convolutions_equal_those_of_burn() {
    for case in [
        Case::new(1, &[1], 1, [1, 1, 1], 1.0),
        Case::new(2, &[1], 8, [5, 6, 7], 0.01),
        Case::new(1, &[3], 5, [4, 1, 9], 0.0),
        Case::new(1, &[2], 3, [2, 3, 130], 1.0),
        Case::new(2, &[35], 6, [3, 4, 5], 0.01),
        Case::new(1, &[4, 3], 7, [6, 5, 4], 0.01),
        Case::new(2, &[16, 8], 8, [8, 8, 8], 0.0),
        // Several slabs, of which the last is smaller.
        Case::new(1, &[2], 4, [37, 33, 31], 0.01),
        // Other kernels.
        Case::new(2, &[5], 3, [4, 6, 5], 1.0).with([1; 3], [1; 3]),
        Case::new(1, &[3, 2], 6, [5, 4, 7], 0.01).with([3, 3, 1], [1; 3]),
        Case::new(1, &[2], 2, [6, 7, 8], 1.0).with([1, 5, 3], [1; 3]),
        Case::new(1, &[34], 5, [70, 60, 9], 1.0).with([1; 3], [1; 3]),
        // With strides.
        Case::new(2, &[3], 5, [6, 8, 4], 0.01).with([3; 3], [2; 3]),
        Case::new(1, &[7], 9, [4, 6, 5], 1.0).with([3, 3, 1], [2, 2, 1]),
        Case::new(1, &[4], 4, [5, 4, 6], 0.01).with([3; 3], [1, 2, 2]),
        Case::new(1, &[2], 3, [6, 9, 4], 1.0).with([5, 3, 3], [2, 3, 1]),
        Case::new(1, &[2], 3, [4, 4, 4], 1.0).with([1; 3], [2; 3]),
        Case::new(1, &[3], 2, [70, 66, 32], 1.0).with([3; 3], [2; 3]),
        Case::new(1, &[3], 2, [8, 8, 1], 1.0).with([3, 3, 1], [2, 2, 1]),
    ] {
        let [ours, burns] = case.results();
        assert_close(&ours, &burns, &format!("{case:?}"));
    }
}

#[test]
fn convolutions_of_many_channels_equal_those_of_burn() {
    for case in [
        // By Winograd's algorithm: odd and even grids, partly filled panels, several boxes.
        Case::new(1, &[24], 22, [6, 8, 10], 1.0),
        Case::new(2, &[16, 32], 22, [9, 6, 7], 0.01),
        Case::new(1, &[44], 70, [11, 12, 3], 0.01),
        Case::new(2, &[64], 65, [7, 9, 11], 1.0),
        Case::new(3, &[23], 32, [8, 30, 34], 0.01),
        Case::new(1, &[24], 45, [12, 14, 9], 1.0).with([3, 3, 1], [1; 3]),
        Case::new(1, &[24], 45, [9, 14, 10], 0.01).with([1, 3, 3], [1; 3]),
        Case::new(2, &[32, 16], 24, [11, 5, 16], 1.0).with([3, 1, 3], [1; 3]),
        // Too small for it, other kernels, and strides.
        Case::new(1, &[24], 25, [1, 1, 1], 1.0),
        Case::new(2, &[48], 26, [2, 1, 3], 0.01),
        Case::new(1, &[16, 43], 24, [4, 6, 5], 0.01).with([1; 3], [1; 3]),
        Case::new(1, &[22], 24, [6, 7, 8], 1.0).with([5, 1, 3], [1; 3]),
        Case::new(2, &[25], 44, [6, 8, 10], 0.01).with([3; 3], [2; 3]),
        Case::new(1, &[28], 64, [8, 6, 5], 1.0).with([3, 3, 1], [2, 2, 1]),
        Case::new(1, &[32, 16], 24, [5, 4, 6], 0.01).with([3; 3], [1, 2, 2]),
        Case::new(1, &[24], 23, [6, 9, 4], 1.0).with([5, 3, 3], [2, 3, 1]),
        Case::new(1, &[22], 48, [4, 4, 4], 1.0).with([1; 3], [2; 3]),
        Case::new(1, &[32], 32, [20, 34, 32], 1.0).with([3; 3], [2; 3]),
    ] {
        let [ours, burns] = case.results();
        assert_close(&ours, &burns, &format!("{case:?}"));
    }
}

#[test]
fn transposed_convolutions_equal_those_of_burn() {
    for (batch, [input, output], [x, y, z], stride) in [
        (1, [1, 1], [1, 1, 1], [2; 3]),
        (2, [5, 3], [3, 4, 5], [2; 3]),
        (1, [9, 6], [4, 3, 6], [2, 2, 1]),
        (1, [4, 2], [3, 2, 2], [1, 3, 2]),
        (1, [3, 4], [4, 3, 31], [2; 3]),
        (2, [48, 22], [3, 4, 5], [2; 3]),
        (1, [24, 45], [5, 3, 6], [2, 1, 3]),
    ] {
        let (input, weight) = (waves([batch, input, x, y, z], 0.37), [input, output, stride[0], stride[1], stride[2]]);
        let (weight, bias) = (waves(weight, 0.53), [waves([output], 0.91)]);
        let all = [input.clone(), weight.clone()];
        let ours = output_and_gradients(&all, &bias, || {
            super::convolve_transposed(input.clone(), weight.clone(), bias[0].clone())
        });
        let burns = output_and_gradients(&all, &bias, || {
            let options = ConvTransposeOptions::new(stride, [0; 3], [0; 3], [1; 3], 1);
            conv_transpose3d(input.clone(), weight.clone(), Some(bias[0].clone()), options)
        });
        assert_close(&ours, &burns, &format!("{:?} by {stride:?}", input.dims()));
    }
}

#[test]
fn average_pooling_equals_that_of_burn() {
    for (shape, window) in [([1, 1, 2, 2, 2], [2; 3]), ([2, 3, 4, 6, 9], [2, 2, 1]), ([1, 2, 3, 4, 6], [1, 2, 3])] {
        let input = waves(shape, 0.37);
        let inputs = [input.clone()];
        let ours = output_and_gradients(&inputs, &[], || super::average_pool(input.clone(), window));
        let burns = output_and_gradients(&inputs, &[], || average_pool_by_means(input.clone(), window));
        assert_close(&ours, &burns, &format!("{shape:?} by {window:?}"));
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let case = Case::new(2, &[5, 4], 9, [19, 33, 30], 0.01);
            let [convolution, _] = case.results();
            let [strided, _] = Case { grid: [20, 36, 30], ..case }.with([3; 3], [2; 3]).results();
            let wide = Case::new(2, &[32, 16], 48, [14, 13, 10], 0.01);
            let [wide_convolution, _] = wide.results();
            let [wide_strided, _] = Case { grid: [14, 12, 10], ..wide }.with([3; 3], [2; 3]).results();
            let (input, affine) = (waves([2, 6, 9, 11, 10], 0.29), [waves([6], 0.6), waves([6], 0.8)]);
            let norm = || super::normalize(input.clone(), affine.clone(), settings(3, 0.01));
            let upsampled = || super::trilinear(input.clone());
            [
                convolution,
                strided,
                wide_convolution,
                wide_strided,
                output_and_gradients(std::slice::from_ref(&input), &affine, norm),
                output_and_gradients(std::slice::from_ref(&input), &[], upsampled),
            ]
            .concat()
        })
    };
    let one = with(1);
    for threads in [2, 3, 7] {
        assert!(with(threads) == one, "{threads} threads");
    }
}

#[test]
fn normalizations_equal_those_of_burn() {
    for (shape, groups, slope) in [
        ([1, 1, 1, 2, 3], 1, 1.0),
        ([2, 4, 5, 6, 7], 4, 0.01),
        ([2, 6, 3, 4, 5], 2, 0.0),
        ([1, 8, 16, 17, 18], 8, 0.01),
    ] {
        let (input, affine) = (waves(shape, 0.37), [waves([shape[1]], 0.6), waves([shape[1]], 0.8)]);
        let inputs = [input.clone()];
        let ours = output_and_gradients(&inputs, &affine, || {
            super::normalize(input.clone(), affine.clone(), settings(groups, slope))
        });
        let burns = output_and_gradients(&inputs, &affine, || {
            let normal = normalize_groups(input.clone(), affine.clone(), groups);
            if slope == 1.0 { normal } else { leaky_relu(normal, slope.into()) }
        });
        assert_close(&ours, &burns, &format!("{shape:?} in {groups} groups, slope {slope}"));
    }
}

#[test]
fn normalizations_of_values_far_from_zero_are_exact() {
    // The mean is no number of single precision, and its error would shift all values.
    let input = waves([1, 1, 10, 11, 12], 0.37).mul_scalar(1e-2).add_scalar(100.3);
    let values: Vec<f64> = to_vec(input.clone()).into_iter().map(f64::from).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    let affine = [Tensor::ones([1], &input.device()), Tensor::zeros([1], &input.device())];
    let output = to_vec(super::normalize(input, affine, settings(1, 1.0)));
    for (value, output) in values.iter().zip(output) {
        let expected = (value - mean) / (variance + EPSILON).sqrt();
        assert!((f64::from(output) - expected).abs() < 1e-6, "{output}, expected {expected}");
    }
}

#[test]
fn normalization_and_convolution_together_have_the_bits_of_both_in_sequence() {
    for (channels, kernel, stride) in
        [([4, 5], [3; 3], [1; 3]), ([4, 6], [3, 3, 1], [2; 3]), ([32, 32], [3; 3], [1; 3])]
    {
        let (input, affine) =
            (waves([2, channels[0], 6, 8, 4], 0.37), [0.6, 0.8].map(|step| waves([channels[0]], step)));
        let weight = waves([channels[1], channels[0], kernel[0], kernel[1], kernel[2]], 0.51);
        let bias = waves([channels[1]], 0.9);
        let (inputs, vectors) =
            ([input.clone(), weight.clone()], [affine.clone().to_vec(), vec![bias.clone()]].concat());
        let (settings, stencil) = (settings(2, 0.01), Stencil::centred(kernel, stride));
        let together = output_and_gradients(&inputs, &vectors, || {
            let (weight, bias) = (weight.clone(), bias.clone());
            super::normalize_convolve(input.clone(), affine.clone(), settings, weight, bias, stencil)
        });
        let in_sequence = output_and_gradients(&inputs, &vectors, || {
            let normalized = super::normalize(input.clone(), affine.clone(), settings);
            super::convolve(vec![normalized], weight.clone(), bias.clone(), stencil, 1.0)
        });
        assert!(together == in_sequence, "{channels:?}, kernel {kernel:?}, stride {stride:?}");
    }
}

#[test]
fn activations_of_sums_equal_those_of_burn() {
    for slope in [0.0, 0.01, 1.0] {
        let inputs = [waves([2, 3, 4, 5, 6], 0.37), waves([2, 3, 4, 5, 6], 0.51)];
        let [first, second] = &inputs;
        let ours = output_and_gradients(&inputs, &[], || super::add_activate(first.clone(), second.clone(), slope));
        let burns = output_and_gradients(&inputs, &[], || leaky_relu(first.clone().add(second.clone()), slope));
        assert!(ours == burns, "slope {slope}");
    }
}

#[test]
fn pooling_and_up_sampling_equal_those_of_burn() {
    for shape in [[1, 1, 2, 2, 2], [2, 3, 4, 6, 10], [1, 2, 16, 2, 34]] {
        let input = waves(shape, 0.37);
        let inputs = [input.clone()];
        let ours = output_and_gradients(&inputs, &[], || super::max_pool(input.clone()));
        let burns = output_and_gradients(&inputs, &[], || max_pool_by_planes(input.clone(), [2; 3]));
        assert!(ours == burns, "pooling of {shape:?}");
        let ours = output_and_gradients(&inputs, &[], || super::trilinear(input.clone()));
        let burns = output_and_gradients(&inputs, &[], || trilinear_by_matrices(input.clone(), [2; 3]));
        assert_close(&ours, &burns, &format!("up-sampling of {shape:?}"));
    }
    let single = waves([1, 2, 1, 3, 1], 0.37);
    let inputs = [single.clone()];
    let ours = output_and_gradients(&inputs, &[], || super::trilinear(single.clone()));
    assert_close(
        &ours,
        &output_and_gradients(&inputs, &[], || trilinear_by_matrices(single.clone(), [2; 3])),
        "an axis of one voxel",
    );
}

#[test]
fn the_gradient_goes_to_the_first_of_equal_maxima_and_nan_is_the_maximum() {
    let device = Device::flex().autodiff();
    let values = TensorData::new(vec![1.0f32, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1, 1, 2, 2, 2]);
    let input = Tensor::<5>::from_data(values, &device).require_grad();
    let all = output_and_gradients(std::slice::from_ref(&input), &[], || super::max_pool(input.clone()));
    assert_eq!(all[1].iter().position(|gradient| *gradient != 0.0), Some(0));
    assert_eq!(all[1].iter().filter(|gradient| **gradient != 0.0).count(), 1);

    let values = TensorData::new(vec![1.0f32, 2.0, f32::NAN, 3.0, 0.0, 5.0, 0.0, 0.0], [1, 1, 2, 2, 2]);
    let pooled = super::max_pool(Tensor::<5>::from_data(values, &device));
    assert!(to_vec(pooled)[0].is_nan());
}

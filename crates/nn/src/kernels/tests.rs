//! Each kernel against burn's operations on the same values, with all gradients.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::ThreadPoolBuilder;

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
        let largest = burns.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (index, (ours, burns)) in ours.iter().zip(burns).enumerate() {
            let error = (ours - burns).abs() / largest;
            assert!(error < 2e-5, "{case}: tensor {tensor} at {index} is {ours}, by burn {burns}");
        }
    }
}

/// Returns results of a convolution of maps with the given numbers of channels: ours and burn's.
fn convolutions(
    batch: usize,
    channels: &[usize],
    outputs: usize,
    [x, y, z]: [usize; 3],
    slope: f64,
) -> [Vec<Vec<f32>>; 2] {
    let inputs: Vec<_> = channels.iter().map(|count| waves([batch, *count, x, y, z], 0.317 + *count as f64)).collect();
    let weight = waves([outputs, channels.iter().sum(), 3, 3, 3], 0.531);
    let bias = [waves([outputs], 0.91)];
    let all: Vec<_> = inputs.iter().cloned().chain([weight.clone()]).collect();
    let ours = || super::convolve(inputs.clone(), weight.clone(), bias[0].clone(), slope);
    let burns = || {
        let options = ConvOptions::new([1; 3], [1; 3], [1; 3], 1);
        let output = conv3d(Tensor::cat(inputs.clone(), 1), weight.clone(), Some(bias[0].clone()), options);
        if slope == 1.0 { output } else { leaky_relu(output, slope) }
    };
    [output_and_gradients(&all, &bias, ours), output_and_gradients(&all, &bias, burns)]
}

#[test]
fn convolutions_equal_those_of_burn() {
    for (batch, channels, outputs, grid, slope) in [
        (1, &[1][..], 1, [1, 1, 1], 1.0),
        (2, &[1], 8, [5, 6, 7], 0.01),
        (1, &[3], 5, [4, 1, 9], 0.0),
        (1, &[2], 3, [2, 3, 130], 1.0),
        (2, &[35], 6, [3, 4, 5], 0.01),
        (1, &[4, 3], 7, [6, 5, 4], 0.01),
        (2, &[16, 8], 8, [8, 8, 8], 0.0),
        // Several slabs, of which the last is smaller.
        (1, &[2], 4, [37, 33, 31], 0.01),
    ] {
        let [ours, burns] = convolutions(batch, channels, outputs, grid, slope);
        assert_close(&ours, &burns, &format!("{batch} x {channels:?} to {outputs} on {grid:?}, slope {slope}"));
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let [convolution, _] = convolutions(2, &[5, 4], 9, [19, 33, 30], 0.01);
            let (input, affine) = (waves([2, 6, 9, 11, 10], 0.29), [waves([6], 0.6), waves([6], 0.8)]);
            let norm = || super::normalize(input.clone(), affine.clone(), 3, EPSILON, 0.01);
            let upsampled = || super::trilinear(input.clone());
            [
                convolution,
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
            super::normalize(input.clone(), affine.clone(), groups, EPSILON, slope)
        });
        let burns = output_and_gradients(&inputs, &affine, || {
            let normal = normalize_groups(input.clone(), affine.clone(), groups);
            if slope == 1.0 { normal } else { leaky_relu(normal, slope) }
        });
        assert_close(&ours, &burns, &format!("{shape:?} in {groups} groups, slope {slope}"));
    }
}

#[test]
fn pooling_and_up_sampling_equal_those_of_burn() {
    for shape in [[1, 1, 2, 2, 2], [2, 3, 4, 6, 10], [1, 2, 16, 2, 34]] {
        let input = waves(shape, 0.37);
        let inputs = [input.clone()];
        let ours = output_and_gradients(&inputs, &[], || super::max_pool(input.clone()));
        let burns = output_and_gradients(&inputs, &[], || max_pool_by_planes(input.clone()));
        assert!(ours == burns, "pooling of {shape:?}");
        let ours = output_and_gradients(&inputs, &[], || super::trilinear(input.clone()));
        let burns = output_and_gradients(&inputs, &[], || trilinear_by_matrices(input.clone()));
        assert_close(&ours, &burns, &format!("up-sampling of {shape:?}"));
    }
    let single = waves([1, 2, 1, 3, 1], 0.37);
    let inputs = [single.clone()];
    let ours = output_and_gradients(&inputs, &[], || super::trilinear(single.clone()));
    assert_close(
        &ours,
        &output_and_gradients(&inputs, &[], || trilinear_by_matrices(single.clone())),
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

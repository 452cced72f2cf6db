//! Each operation beside what burn's own make of the same numbers, with all gradients.

use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::ThreadPoolBuilder;

use crate::layers::max_pool::max_pool_by_planes;
use crate::layers::normalization::{EPSILON, normalize_groups};
use crate::layers::upsample::trilinear_by_matrices;

/// Numbers between -1 and 1 that do not repeat.
fn waves<const D: usize>(shape: [usize; D], pace: f64) -> Tensor<D> {
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|i| (pace * (i as f64 + 0.5) * 12.9898).sin() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// What a function gives for tensors, and the gradients of a weighted sum of it by each.
fn traced(inputs: &[Tensor<5>], affine: &[Tensor<1>], function: impl Fn() -> Tensor<5>) -> Vec<Vec<f32>> {
    let output = function();
    let weights = waves(output.dims(), 0.713).detach();
    let gradients = output.clone().mul(weights).sum().backward();
    let mut all = vec![numbers(output)];
    all.extend(inputs.iter().map(|input| numbers(input.grad(&gradients).unwrap())));
    all.extend(affine.iter().map(|values| numbers(values.grad(&gradients).unwrap())));
    all
}

#[track_caller]
fn assert_close(ours: &[Vec<f32>], theirs: &[Vec<f32>], what: &str) {
    assert_eq!(ours.len(), theirs.len());
    for (number, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len(), "{what}, {number}");
        let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let off = (ours - theirs).abs() / largest;
            assert!(off < 2e-5, "{what}: {number} at {place} is {ours}, by burn {theirs}");
        }
    }
}

/// A convolution of maps of these channels, ours and burn's.
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
    let theirs = || {
        let options = ConvOptions::new([1; 3], [1; 3], [1; 3], 1);
        let output = conv3d(Tensor::cat(inputs.clone(), 1), weight.clone(), Some(bias[0].clone()), options);
        if slope == 1.0 { output } else { leaky_relu(output, slope) }
    };
    [traced(&all, &bias, ours), traced(&all, &bias, theirs)]
}

#[test]
fn convolutions_are_those_of_burn() {
    for (batch, channels, outputs, grid, slope) in [
        (1, &[1][..], 1, [1, 1, 1], 1.0),
        (2, &[1], 8, [5, 6, 7], 0.01),
        (1, &[3], 5, [4, 1, 9], 0.0),
        (1, &[2], 3, [2, 3, 130], 1.0),
        (2, &[35], 6, [3, 4, 5], 0.01),
        (1, &[4, 3], 7, [6, 5, 4], 0.01),
        (2, &[16, 8], 8, [8, 8, 8], 0.0),
        // More than one slab, of which the last is smaller.
        (1, &[2], 4, [37, 33, 31], 0.01),
    ] {
        let [ours, theirs] = convolutions(batch, channels, outputs, grid, slope);
        assert_close(&ours, &theirs, &format!("{batch} x {channels:?} to {outputs} on {grid:?}, slope {slope}"));
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let [convolution, _] = convolutions(2, &[5, 4], 9, [19, 33, 30], 0.01);
            let (input, affine) = (waves([2, 6, 9, 11, 10], 0.29), [waves([6], 0.6), waves([6], 0.8)]);
            let norm = || super::normalize(input.clone(), affine.clone(), 3, EPSILON, 0.01);
            let upsampled = || super::trilinear(input.clone());
            [
                convolution,
                traced(std::slice::from_ref(&input), &affine, norm),
                traced(std::slice::from_ref(&input), &[], upsampled),
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
fn normalisations_are_those_of_burn() {
    for (shape, groups, slope) in [
        ([1, 1, 1, 2, 3], 1, 1.0),
        ([2, 4, 5, 6, 7], 4, 0.01),
        ([2, 6, 3, 4, 5], 2, 0.0),
        ([1, 8, 16, 17, 18], 8, 0.01),
    ] {
        let (input, affine) = (waves(shape, 0.37), [waves([shape[1]], 0.6), waves([shape[1]], 0.8)]);
        let inputs = [input.clone()];
        let ours = traced(&inputs, &affine, || super::normalize(input.clone(), affine.clone(), groups, EPSILON, slope));
        let theirs = traced(&inputs, &affine, || {
            let normal = normalize_groups(input.clone(), affine.clone(), groups);
            if slope == 1.0 { normal } else { leaky_relu(normal, slope) }
        });
        assert_close(&ours, &theirs, &format!("{shape:?} in {groups} groups, slope {slope}"));
    }
}

#[test]
fn pooling_and_up_sampling_are_those_of_burn() {
    for shape in [[1, 1, 2, 2, 2], [2, 3, 4, 6, 10], [1, 2, 16, 2, 34]] {
        let input = waves(shape, 0.37);
        let inputs = [input.clone()];
        let ours = traced(&inputs, &[], || super::max_pool(input.clone()));
        let theirs = traced(&inputs, &[], || max_pool_by_planes(input.clone()));
        assert!(ours == theirs, "pooling of {shape:?}");
        let ours = traced(&inputs, &[], || super::trilinear(input.clone()));
        let theirs = traced(&inputs, &[], || trilinear_by_matrices(input.clone()));
        assert_close(&ours, &theirs, &format!("up-sampling of {shape:?}"));
    }
    let single = waves([1, 2, 1, 3, 1], 0.37);
    let inputs = [single.clone()];
    let ours = traced(&inputs, &[], || super::trilinear(single.clone()));
    assert_close(&ours, &traced(&inputs, &[], || trilinear_by_matrices(single.clone())), "an axis of one voxel");
}

#[test]
fn the_first_of_equal_voxels_has_the_gradient_and_what_is_no_number_stays() {
    let device = Device::flex().autodiff();
    let values = TensorData::new(vec![1.0f32, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1, 1, 2, 2, 2]);
    let input = Tensor::<5>::from_data(values, &device).require_grad();
    let all = traced(std::slice::from_ref(&input), &[], || super::max_pool(input.clone()));
    assert_eq!(all[1].iter().position(|gradient| *gradient != 0.0), Some(0));
    assert_eq!(all[1].iter().filter(|gradient| **gradient != 0.0).count(), 1);

    let values = TensorData::new(vec![1.0f32, 2.0, f32::NAN, 3.0, 0.0, 5.0, 0.0, 0.0], [1, 1, 2, 2, 2]);
    let pooled = super::max_pool(Tensor::<5>::from_data(values, &device));
    assert!(numbers(pooled)[0].is_nan());
}

//! Normalization of groups of channels, fused with the activation to save passes over memory.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

/// Values per sum in single precision; the sums are added in double precision.
const PIECE: usize = 1 << 10;
/// Partial sums that are computed together.
const LANES: usize = 16;

/// The settings of a normalization and of its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalizationSettings {
    /// Groups per patch.
    pub groups: usize,
    /// Added to variances.
    pub epsilon: f64,
    /// The slope of the activation below 0; 1 for no activation.
    pub slope: f32,
}

/// A normalization of each group of channels of each patch.
#[derive(Clone, Copy, Debug)]
pub struct GroupNormalization<'a> {
    /// Voxels per channel.
    pub voxels: usize,
    /// The scale of each channel.
    pub scale: &'a [f32],
    /// The shift of each channel.
    pub shift: &'a [f32],
    /// The settings.
    pub settings: NormalizationSettings,
}

/// The mean and standard deviation of a group.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The mean, rounded.
    centre: f32,
    /// The difference of the mean from it.
    error: f64,
    /// The reciprocal of the standard deviation.
    inverse_deviation: f64,
}

/// The gradients of the inputs of a normalization.
#[derive(Debug)]
pub struct NormalizationGradients {
    pub input: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// The normalization of one channel of one patch as an affine map, followed by the activation.
///
/// An error of its coefficients would be the same for all voxels of the channel, and so would not cancel in sums over
/// them. So the coefficients are rounded once, and the shift includes what rounding took from the mean.
#[derive(Clone, Copy)]
struct Affine {
    centre: f32,
    factor: f32,
    shift: f32,
    slope: f32,
}

impl Affine {
    /// Returns the normalized value, before the activation.
    #[inline(always)]
    fn normalize(self, value: f32) -> f32 {
        (value - self.centre) * self.factor + self.shift
    }

    /// Scales a value by the activation's slope at a normalized value: the normalized value itself in the forward pass, the
    /// gradient in the backward pass.
    #[inline(always)]
    fn activate(self, normalized: f32, value: f32) -> f32 {
        if normalized > 0.0 { value } else { value * self.slope }
    }
}

impl GroupNormalization<'_> {
    /// Normalizes maps `[batch, channel, voxel]`; returns them with the moments of each group of each patch.
    pub fn forward(&self, input: &[f32]) -> (Vec<f32>, Vec<Moments>) {
        self.normalize(input, |arch, _, group| moments(arch, group, self.settings.epsilon))
    }

    /// Normalizes maps by the moments that [`forward`](Self::forward) returned.
    pub fn apply(&self, input: &[f32], moments: &[Moments]) -> Vec<f32> {
        self.normalize(input, |_, index, _| moments[index]).0
    }

    /// Normalizes maps by moments of the groups, which are a function of their indices and values.
    fn normalize(
        &self,
        input: &[f32],
        moments: impl Fn(Arch, usize, &[f32]) -> Moments + Sync,
    ) -> (Vec<f32>, Vec<Moments>) {
        let arch = Arch::new();
        let mut output = vec![0.0; input.len()];
        let groups = output.par_chunks_exact_mut(self.group()).zip(input.par_chunks_exact(self.group())).enumerate();
        let moments = groups.map(|(index, (output, input))| {
            let moments = moments(arch, index, input);
            let volumes = output.chunks_exact_mut(self.voxels).zip(input.chunks_exact(self.voxels));
            for (channel, (output, input)) in self.channels(index).zip(volumes) {
                let affine = self.affine(moments, channel);
                arch.dispatch(|| {
                    for (output, value) in output.iter_mut().zip(input) {
                        let normalized = affine.normalize(*value);
                        *output = affine.activate(normalized, normalized);
                    }
                });
            }
            moments
        });
        let moments = moments.collect();
        (output, moments)
    }

    /// Computes the gradients of input, scale and shift from the gradient of the output.
    pub fn backward(&self, input: &[f32], moments: &[Moments], mut gradient: Vec<f32>) -> NormalizationGradients {
        let arch = Arch::new();
        let groups = gradient.par_chunks_exact_mut(self.group()).zip(input.par_chunks_exact(self.group()));
        let sums = groups.zip(moments).enumerate().map(|(index, ((gradient, input), moments))| {
            let volumes = gradient.chunks_exact_mut(self.voxels).zip(input.chunks_exact(self.voxels));
            let mut volumes: Vec<_> = self.channels(index).zip(volumes).collect();
            let sums = volumes.iter().map(|(channel, (gradient, input))| {
                gradient_sums(arch, self.affine(*moments, *channel), *moments, (input, gradient))
            });
            let sums: Vec<[f64; 2]> = sums.collect();
            // The means over the group of the scaled gradient and of its product with the normalized value.
            let mut means = [0.0; 2];
            for ((channel, _), sums) in volumes.iter().zip(&sums) {
                let weight = f64::from(self.scale[*channel]) / self.group() as f64;
                means.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += weight * sum);
            }
            let Moments { error, inverse_deviation, .. } = *moments;
            let slope = means[1] * inverse_deviation * inverse_deviation;
            let offset = means[0] * inverse_deviation - error * slope;
            let (slope, offset) = (slope as f32, offset as f32);
            for (channel, (gradient, input)) in &mut volumes {
                let affine = self.affine(*moments, *channel);
                arch.dispatch(|| {
                    for (gradient, value) in gradient.iter_mut().zip(*input) {
                        let scaled = affine.activate(affine.normalize(*value), *gradient) * affine.factor;
                        *gradient = scaled - ((value - affine.centre) * slope + offset);
                    }
                });
            }
            sums
        });
        // All channels of a patch follow those of the previous patch; the sum runs over patches in order.
        let sums = sums.collect::<Vec<_>>().concat();
        let channel_sum = |channel: usize, index: usize| {
            sums[channel..].iter().step_by(self.scale.len()).map(|sums| sums[index]).sum::<f64>() as f32
        };
        let channel_sums = |index| (0..self.scale.len()).map(|channel| channel_sum(channel, index)).collect();
        NormalizationGradients { shift: channel_sums(0), scale: channel_sums(1), input: gradient }
    }

    /// Returns the number of values of a group.
    fn group(&self) -> usize {
        self.scale.len() / self.settings.groups * self.voxels
    }

    /// Returns the channels of a group; `index` counts the groups of all patches.
    fn channels(&self, index: usize) -> Range<usize> {
        let groups = self.settings.groups;
        let (group, size) = (index % groups, self.scale.len() / groups);
        group * size..(group + 1) * size
    }

    fn affine(&self, moments: Moments, channel: usize) -> Affine {
        let Moments { centre, error, inverse_deviation } = moments;
        let factor = inverse_deviation * f64::from(self.scale[channel]);
        let shift = f64::from(self.shift[channel]) - error * factor;
        Affine { centre, factor: factor as f32, shift: shift as f32, slope: self.settings.slope }
    }
}

/// Returns the mean and standard deviation of values.
fn moments(arch: Arch, values: &[f32], epsilon: f64) -> Moments {
    let count = values.len() as f64;
    let [sum] = sums(arch, values, |value| [value]);
    let centre = (sum / count) as f32;
    // The deviations from an approximate mean add up to its error.
    let [rest, squares] = sums(arch, values, |value| [value - centre, (value - centre) * (value - centre)]);
    let error = rest / count;
    let variance = (squares / count - error * error).max(0.0);
    Moments { centre, error, inverse_deviation: 1.0 / (variance + epsilon).sqrt() }
}

/// Returns the sums of functions of each value.
fn sums<const N: usize>(arch: Arch, values: &[f32], functions: impl Fn(f32) -> [f32; N] + Copy) -> [f64; N] {
    arch.dispatch(|| {
        let mut totals = [0.0; N];
        for piece in values.chunks(PIECE) {
            let (lanes, rest) = piece.as_chunks::<LANES>();
            let mut sums = [[0.0; LANES]; N];
            for values in lanes {
                for lane in 0..LANES {
                    let terms = functions(values[lane]);
                    for term in 0..N {
                        sums[term][lane] += terms[term];
                    }
                }
            }
            let rest = rest.iter().map(|value| functions(*value));
            totals.iter_mut().zip(&sums).for_each(|(total, sums)| *total += sum_in_double(sums));
            rest.for_each(|terms| totals.iter_mut().zip(terms).for_each(|(total, term)| *total += f64::from(term)));
        }
        totals
    })
}

/// Returns the sums over a channel of the gradient before the activation and of its product with the normalized value.
fn gradient_sums(arch: Arch, affine: Affine, moments: Moments, (values, gradients): (&[f32], &[f32])) -> [f64; 2] {
    arch.dispatch(|| {
        let mut totals = [0.0; 2];
        for (values, gradients) in values.chunks(PIECE).zip(gradients.chunks(PIECE)) {
            let (lanes, rest) = values.as_chunks::<LANES>();
            let (gradient_lanes, gradient_rest) = gradients.as_chunks::<LANES>();
            let mut sums = [[0.0; LANES]; 2];
            for (values, gradients) in lanes.iter().zip(gradient_lanes) {
                for lane in 0..LANES {
                    let gradient = affine.activate(affine.normalize(values[lane]), gradients[lane]);
                    sums[0][lane] += gradient;
                    sums[1][lane] += gradient * (values[lane] - affine.centre);
                }
            }
            for (value, gradient) in rest.iter().zip(gradient_rest) {
                let gradient = affine.activate(affine.normalize(*value), *gradient);
                totals[0] += f64::from(gradient);
                totals[1] += f64::from(gradient * (value - affine.centre));
            }
            totals[0] += sum_in_double(&sums[0]);
            totals[1] += sum_in_double(&sums[1]);
        }
        [totals[0], (totals[1] - totals[0] * moments.error) * moments.inverse_deviation]
    })
}

fn sum_in_double(sums: &[f32; LANES]) -> f64 {
    sums.iter().copied().map(f64::from).sum()
}

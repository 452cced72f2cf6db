//! Normalisation of groups of channels, with the activation after it, in as few passes over memory as there can be.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

/// Sums in single precision are made over so many numbers.
const PIECE: usize = 1 << 12;
/// Sums that are made at once.
const LANES: usize = 16;

/// What is done to each group of channels of each patch.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Groups of a patch.
    pub groups: usize,
    /// Voxels of a channel.
    pub voxels: usize,
    /// Factor of each channel.
    pub scale: &'a [f32],
    /// Added to each channel.
    pub shift: &'a [f32],
    /// Added to variances.
    pub epsilon: f64,
    /// Numbers below 0 are then multiplied by it.
    pub slope: f32,
}

/// What a group is normalised by.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    mean: f32,
    /// One over the deviation.
    factor: f32,
}

/// Gradients by what went in.
#[derive(Debug)]
pub struct Gradients {
    pub input: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// One channel of one patch on the way: what it is shifted, multiplied and shifted by.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    factor: f32,
    shift: f32,
    slope: f32,
}

impl Affine {
    /// The value before the activation.
    #[inline(always)]
    fn before(self, value: f32) -> f32 {
        (value - self.mean) * self.factor + self.shift
    }

    /// What the activation leaves of something: of the value before it, or of its gradient.
    #[inline(always)]
    fn after(self, before: f32, of: f32) -> f32 {
        if before > 0.0 { of } else { of * self.slope }
    }
}

impl Normalization<'_> {
    /// Normalises maps `[batch, channel, voxel]`; the moments are those of each group of each patch.
    pub fn forward(&self, input: &[f32]) -> (Vec<f32>, Vec<Moments>) {
        let arch = Arch::new();
        let mut output = vec![0.0; input.len()];
        let groups = output.par_chunks_exact_mut(self.group()).zip(input.par_chunks_exact(self.group())).enumerate();
        let moments = groups.map(|(index, (output, input))| {
            let moments = moments(arch, input, self.epsilon);
            let volumes = output.chunks_exact_mut(self.voxels).zip(input.chunks_exact(self.voxels));
            for (channel, (output, input)) in self.channels(index).zip(volumes) {
                let affine = self.affine(moments, channel);
                arch.dispatch(|| {
                    for (output, value) in output.iter_mut().zip(input) {
                        let before = affine.before(*value);
                        *output = affine.after(before, before);
                    }
                });
            }
            moments
        });
        let moments = moments.collect();
        (output, moments)
    }

    /// Takes the gradient by the output to those by the input, the scale and the shift.
    pub fn back(&self, input: &[f32], moments: &[Moments], mut gradient: Vec<f32>) -> Gradients {
        let arch = Arch::new();
        let groups = gradient.par_chunks_exact_mut(self.group()).zip(input.par_chunks_exact(self.group()));
        let sums = groups.zip(moments).enumerate().map(|(index, ((gradient, input), moments))| {
            let volumes = gradient.chunks_exact_mut(self.voxels).zip(input.chunks_exact(self.voxels));
            let mut volumes: Vec<_> = self.channels(index).zip(volumes).collect();
            let sums = volumes.iter().map(|(channel, (gradient, input))| {
                sums(arch, self.affine(*moments, *channel), *moments, (input, gradient))
            });
            let sums: Vec<[f64; 2]> = sums.collect();
            // Means over the group of the scaled gradient, and of its product with the normalised value.
            let mut means = [0.0; 2];
            for ((channel, _), sums) in volumes.iter().zip(&sums) {
                let share = f64::from(self.scale[*channel]) / self.group() as f64;
                means.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += share * sum);
            }
            let (mean, slope) = (means[0] as f32, means[1] as f32 * moments.factor);
            for (channel, (gradient, input)) in &mut volumes {
                let (affine, scale) = (self.affine(*moments, *channel), self.scale[*channel]);
                arch.dispatch(|| {
                    for (gradient, value) in gradient.iter_mut().zip(*input) {
                        let scaled = affine.after(affine.before(*value), *gradient) * scale;
                        *gradient = (scaled - mean - (value - affine.mean) * slope) * moments.factor;
                    }
                });
            }
            sums
        });
        // Each patch has its channels in order; sums go over the patches in theirs.
        let sums = sums.collect::<Vec<_>>().concat();
        let of_channel = |channel: usize, which: usize| {
            sums[channel..].iter().step_by(self.scale.len()).map(|sums| sums[which]).sum::<f64>() as f32
        };
        let all = |which| (0..self.scale.len()).map(|channel| of_channel(channel, which)).collect();
        Gradients { shift: all(0), scale: all(1), input: gradient }
    }

    /// Numbers of a group.
    fn group(&self) -> usize {
        self.scale.len() / self.groups * self.voxels
    }

    /// The channels of the `index`th group of all patches.
    fn channels(&self, index: usize) -> Range<usize> {
        let (group, size) = (index % self.groups, self.scale.len() / self.groups);
        group * size..(group + 1) * size
    }

    fn affine(&self, moments: Moments, channel: usize) -> Affine {
        let factor = moments.factor * self.scale[channel];
        Affine { mean: moments.mean, factor, shift: self.shift[channel], slope: self.slope }
    }
}

/// Mean and deviation of numbers.
fn moments(arch: Arch, values: &[f32], epsilon: f64) -> Moments {
    let mean = sum(arch, values, |value| value) / values.len() as f64;
    let centre = mean as f32;
    let square = |value: f32| (value - centre) * (value - centre);
    let variance = sum(arch, values, square) / values.len() as f64;
    Moments { mean: centre, factor: (1.0 / (variance + epsilon).sqrt()) as f32 }
}

/// The sum of something of each number.
fn sum(arch: Arch, values: &[f32], of: impl Fn(f32) -> f32 + Copy) -> f64 {
    arch.dispatch(|| {
        let mut total = 0.0;
        for piece in values.chunks(PIECE) {
            let (lanes, rest) = piece.as_chunks::<LANES>();
            let mut sums = [0.0; LANES];
            for lane in lanes {
                for (sum, value) in sums.iter_mut().zip(lane) {
                    *sum += of(*value);
                }
            }
            total += in_double(&sums);
            for value in rest {
                total += f64::from(of(*value));
            }
        }
        total
    })
}

/// The sums over a channel of the gradient before the activation, and of its product with the normalised value.
fn sums(arch: Arch, affine: Affine, moments: Moments, (values, gradients): (&[f32], &[f32])) -> [f64; 2] {
    arch.dispatch(|| {
        let mut totals = [0.0; 2];
        for (values, gradients) in values.chunks(PIECE).zip(gradients.chunks(PIECE)) {
            let (lanes, rest) = values.as_chunks::<LANES>();
            let (gradient_lanes, gradient_rest) = gradients.as_chunks::<LANES>();
            let mut sums = [[0.0; LANES]; 2];
            for (values, gradients) in lanes.iter().zip(gradient_lanes) {
                for lane in 0..LANES {
                    let gradient = affine.after(affine.before(values[lane]), gradients[lane]);
                    sums[0][lane] += gradient;
                    sums[1][lane] += gradient * (values[lane] - moments.mean);
                }
            }
            for (value, gradient) in rest.iter().zip(gradient_rest) {
                let gradient = affine.after(affine.before(*value), *gradient);
                totals[0] += f64::from(gradient);
                totals[1] += f64::from(gradient * (value - moments.mean));
            }
            totals[0] += in_double(&sums[0]);
            totals[1] += in_double(&sums[1]);
        }
        [totals[0], totals[1] * f64::from(moments.factor)]
    })
}

fn in_double(sums: &[f32; LANES]) -> f64 {
    sums.iter().copied().map(f64::from).sum()
}

//! A whole volume through a network that takes one window at a time.

use std::borrow::Cow;

use rayon::prelude::*;

use super::activation::FinalActivation;
use super::blend::{Blender, Planes};
use super::file_mapping::FileMapping;
use super::options::{Average, Axis, Inference, WindowConvention};
use super::postprocess::{DecisionRule, Postprocess};
use crate::experiment::targets::Targets;
use volume::{Grid, Label, Voxels, offset};

/// Sliding-window inference with a network.
#[derive(Clone, Copy, Debug)]
pub struct SlidingWindow<'a> {
    /// The window's shape in voxels.
    pub window: [usize; 3],
    /// The number of classes of the network.
    pub classes: usize,
    /// The options of the experiment.
    pub inference: &'a Inference,
    /// The activation function, applied to blended logits, before or after they are resampled to the file.
    pub activation: FinalActivation,
}

impl SlidingWindow<'_> {
    /// Returns whether planes have the axes z, y and x instead of x, y and z.
    fn is_reversed(&self) -> bool {
        self.inference.convention == WindowConvention::Nnunet
    }

    /// Returns the mapping from planes to the image file, from that of the preprocessed volume.
    fn mapping_of_planes<'m>(&self, mapping: &'m FileMapping) -> Cow<'m, FileMapping> {
        if self.is_reversed() { Cow::Owned(mapping.with_reversed_axes()) } else { Cow::Borrowed(mapping) }
    }

    /// Returns the activation functions before and after resampling.
    fn activations(&self) -> [FinalActivation; 2] {
        match self.inference.average {
            Average::Probabilities => [self.activation, FinalActivation::None],
            Average::Logits => [FinalActivation::None, self.activation],
        }
    }
}

/// How probabilities are converted to a label map on the grid of the image file.
#[derive(Clone, Copy, Debug)]
pub struct LabelMapOutput<'a> {
    /// The grid of the image file.
    pub grid: &'a Grid,
    /// What the network predicts.
    pub targets: &'a Targets,
    /// The post-processing steps.
    pub postprocess: &'a [Postprocess],
}

/// Predicts the label map of a preprocessed volume on the grid of the image file; voxels outside the preprocessed grid
/// are background.
///
/// `mapping` maps the preprocessed grid to that of the file. Memory holds no more probabilities than those of a slab as
/// thick as a window.
///
/// # Errors
/// Those of `forward`; see [`predict_planes`].
pub fn predict_label_map<E>(
    image: &Voxels<f32>,
    mapping: &FileMapping,
    sliding_window: &SlidingWindow,
    output: &LabelMapOutput,
    forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
) -> Result<Voxels<Label>, E> {
    let mut map = vec![0; output.grid.num_voxels()];
    let rule = DecisionRule::new(output.postprocess, output.targets);
    let mapping = sliding_window.mapping_of_planes(mapping);
    let [_, after] = sliding_window.activations();
    let activation = if rule.needs_probabilities() { after } else { FinalActivation::None };
    predict_planes(image, sliding_window, forward, |planes| {
        mapping.write_labels(planes, &mut map, |scores, labels| {
            activation.apply(scores, planes.classes);
            rule.write_labels(scores, labels);
        });
    })?;
    Ok(output.postprocessed(map))
}

/// Adds `factor` times the probabilities of a preprocessed volume to `sums`, `[class, x, y, z]` on the grid of the
/// image file; outside the preprocessed grid the background has probability 1, and regions have 0.
///
/// # Errors
/// Those of `forward`; see [`predict_planes`].
pub fn add_probabilities<E>(
    image: &Voxels<f32>,
    mapping: &FileMapping,
    sliding_window: &SlidingWindow,
    has_background: bool,
    (factor, sums): (f32, &mut [f32]),
    forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
) -> Result<(), E> {
    let [_, activation] = sliding_window.activations();
    let mapping = sliding_window.mapping_of_planes(mapping);
    predict_planes(image, sliding_window, forward, |planes| {
        mapping.add_probabilities(planes, factor, sums, |scores| activation.apply(scores, planes.classes));
    })?;
    if has_background {
        let voxels = sums.len() / sliding_window.classes;
        let shape = if sliding_window.is_reversed() { reversed(image.shape) } else { image.shape };
        mapping.add_background_outside(shape, factor, &mut sums[..voxels]);
    }
    Ok(())
}

impl LabelMapOutput<'_> {
    /// Converts probabilities `[class, x, y, z]` to a label map.
    pub fn label_map(&self, probabilities: &[f32]) -> Voxels<Label> {
        let voxels = self.grid.num_voxels();
        let rule = DecisionRule::new(self.postprocess, self.targets);
        let decide = |scores: &mut Vec<f32>, voxel: usize| {
            scores.clear();
            scores.extend(probabilities.iter().skip(voxel).step_by(voxels));
            rule.label(scores)
        };
        self.postprocessed((0..voxels).into_par_iter().map_init(Vec::new, decide).collect())
    }

    fn postprocessed(&self, mut map: Vec<Label>) -> Voxels<Label> {
        self.postprocess.iter().for_each(|step| step.component().apply(&mut map, self.grid));
        Voxels::new(1, self.grid.shape, map)
    }
}

/// Predicts a volume window by window, and passes planes of probabilities, or of logits with `average: logits`, to `take` as
/// they are finished.
///
/// `forward` computes the logits `[window, run, class, x, y, z]` of a batch of windows `[window, channel, x, y, z]`, whose
/// number is its second argument; those of several runs are averaged when a plane is finished.
///
/// By nnU-Net's convention the axes of planes are z, y and x, so that windows are summed in its order.
///
/// # Errors
/// Those of `forward`.
pub fn predict_planes<E>(
    image: &Voxels<f32>,
    sliding_window: &SlidingWindow,
    mut forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
    mut take: impl FnMut(&Planes),
) -> Result<(), E> {
    let SlidingWindow { window, classes, inference, .. } = *sliding_window;
    let [activation, _] = sliding_window.activations();
    let tiling = inference.tiling(image.shape, window);
    let size: usize = window.iter().product();
    let is_reversed = sliding_window.is_reversed();
    // The windows in the order and with the axes in which they are blended.
    let blended = match is_reversed {
        true => inference.tiling(reversed(image.shape), reversed(window)),
        false => tiling.clone(),
    };
    let mut blender = Blender::new(blended.clone(), inference.blend, classes, activation);
    for blended_starts in blended.starts.chunks(inference.batch_size.get()) {
        let starts: Vec<[usize; 3]> =
            blended_starts.iter().map(|start| if is_reversed { reversed(*start) } else { *start }).collect();
        let mut batch = vec![0.0; starts.len() * image.channels * size];
        for (&start, out) in starts.iter().zip(batch.chunks_exact_mut(image.channels * size)) {
            tiling.cut(image, image.channels, start, out);
        }
        let logits = mirrored_mean(batch, window, &inference.mirror, |batch| forward(batch, starts.len()))?;
        let runs = logits.len() / (starts.len() * classes * size);
        blender = blender.with_runs(runs);
        for (&start, logits) in blended_starts.iter().zip(logits.chunks_exact(runs * classes * size)) {
            match is_reversed {
                true => blender.add(start, &with_reversed_axes(logits, window), &mut take),
                false => blender.add(start, logits, &mut take),
            }
        }
    }
    blender.finish(take);
    Ok(())
}

fn reversed<T: Copy>([x, y, z]: [T; 3]) -> [T; 3] {
    [z, y, x]
}

/// Returns arrays `[.., z, y, x]` of arrays `[.., x, y, z]` of this shape.
fn with_reversed_axes(values: &[f32], [size_x, size_y, size_z]: [usize; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for block in values.chunks_exact(size_x * size_y * size_z) {
        for z in 0..size_z {
            for y in 0..size_y {
                out.extend(block[y * size_z + z..].iter().step_by(size_y * size_z).take(size_x));
            }
        }
    }
    out
}

/// Returns the mean of the logits of windows `[.., x, y, z]` and of those of their mirror images, mirrored back.
fn mirrored_mean<E>(
    batch: Vec<f32>,
    window: [usize; 3],
    axes: &[Axis],
    mut forward: impl FnMut(Vec<f32>) -> Result<Vec<f32>, E>,
) -> Result<Vec<f32>, E> {
    let combinations = 1usize << axes.len();
    if combinations == 1 {
        return forward(batch);
    }
    let mut sum = forward(batch.clone())?;
    for combination in 1..combinations {
        let is_mirrored = |axis: Axis| axes.iter().enumerate().any(|(i, a)| *a == axis && combination >> i & 1 == 1);
        let mirrored = [Axis::X, Axis::Y, Axis::Z].map(is_mirrored);
        let logits = forward(mirror(&batch, window, mirrored))?;
        let back = mirror(&logits, window, mirrored);
        sum.iter_mut().zip(back).for_each(|(sum, value)| *sum += value);
    }
    sum.iter_mut().for_each(|sum| *sum /= combinations as f32);
    Ok(sum)
}

/// Mirrors arrays `[.., x, y, z]` along some axes.
fn mirror(values: &[f32], shape: [usize; 3], mirrored: [bool; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    let along = |axis: usize, index: usize| if mirrored[axis] { shape[axis] - 1 - index } else { index };
    for block in values.chunks_exact(shape.iter().product()) {
        for x in 0..shape[0] {
            for y in 0..shape[1] {
                let row = &block[offset(shape, [along(0, x), along(1, y), 0])..][..shape[2]];
                if mirrored[2] { out.extend(row.iter().rev()) } else { out.extend(row) }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::inference::options::Blend;

    fn ramp(shape: [usize; 3]) -> Voxels<f32> {
        Voxels::new(1, shape, (0..shape.iter().product::<usize>()).map(|v| v as f32).collect())
    }

    fn through(inference: &Inference, window: [usize; 3], mut forward: impl FnMut(Vec<f32>) -> Vec<f32>) -> Vec<f32> {
        let sliding_window = SlidingWindow { window, classes: 1, inference, activation: FinalActivation::None };
        let mut out = Vec::new();
        let take = |planes: &Planes| out.extend_from_slice(&planes.values[planes.num_repeated * 20..]);
        predict_planes(&ramp([6, 4, 5]), &sliding_window, |batch, _| Ok::<_, Infallible>(forward(batch)), take)
            .unwrap();
        out
    }

    #[test]
    fn the_network_gets_every_voxel_once_where_windows_do_not_overlap() {
        let inference = Inference { overlap: values::UnitFraction::new(0.0).unwrap(), ..Inference::default() };
        let sliding_window =
            SlidingWindow { window: [2, 2, 2], classes: 1, inference: &inference, activation: FinalActivation::None };
        let mut seen = 0;
        let count = |batch, count| {
            seen += count;
            Ok::<_, Infallible>(batch)
        };
        predict_planes(&ramp([4, 4, 4]), &sliding_window, count, |_| {}).unwrap();
        assert_eq!((seen, inference.num_windows([4, 4, 4], [2, 2, 2])), (8, 8));
    }

    #[test]
    fn a_label_map_is_the_same_by_slabs_and_from_probabilities() {
        let (image, grid) = (ramp([9, 4, 5]), Grid { shape: [9, 4, 5], affine: volume::Affine::IDENTITY });
        let inference = Inference::default();
        let sliding_window = SlidingWindow {
            window: [4, 4, 4],
            classes: 3,
            inference: &inference,
            activation: FinalActivation::Softmax,
        };
        let steps: Vec<Postprocess> =
            serde_yaml::from_str("[!threshold { labels: { 5: 0.2 } }, !keep_largest {}]").unwrap();
        let labels = [(5, "a".to_owned()), (7, "b".to_owned())].into();
        let targets = Targets::new(&labels, &[], None).unwrap();
        let output = LabelMapOutput { grid: &grid, targets: &targets, postprocess: &steps };
        let waves = |batch: Vec<f32>, count: usize| {
            let logits = |window: &[f32]| {
                let class = |class: usize| window.iter().map(move |v| (v * 0.05 + class as f32).sin() * 2.0);
                (0..3).flat_map(class).collect::<Vec<f32>>()
            };
            Ok::<_, Infallible>(batch.chunks(batch.len() / count).flat_map(logits).collect())
        };
        let mapping = FileMapping::identity([9, 4, 5]);
        let map = predict_label_map(&image, &mapping, &sliding_window, &output, waves).unwrap();
        let mut sums = vec![0.0; 3 * 180];
        add_probabilities(&image, &mapping, &sliding_window, true, (1.0, &mut sums), waves).unwrap();
        assert_eq!(map[..], output.label_map(&sums)[..]);
        assert!([0, 5, 7].iter().all(|label| map.contains(label)), "{:?}", &map[..]);
    }

    #[test]
    fn predictions_of_mirrored_windows_are_mirrored_back() {
        let mirror = vec![Axis::X, Axis::Z];
        let inference = Inference { mirror, blend: Blend::Crop, ..Inference::default() };
        let mut calls = 0;
        let out = through(&inference, [6, 4, 5], |batch| {
            calls += 1;
            batch
        });
        assert_eq!((calls, &out[..]), (4, &ramp([6, 4, 5])[..]));
    }

    #[test]
    fn mirroring_averages_out_a_network_that_depends_on_the_position() {
        let inference = Inference { mirror: vec![Axis::Z], blend: Blend::Crop, ..Inference::default() };
        // A network that returns the index along z.
        let out = through(&inference, [6, 4, 5], |batch| (0..batch.len()).map(|i| (i % 5) as f32).collect());
        assert!(out.iter().all(|value| *value == 2.0), "{out:?}");
    }
}

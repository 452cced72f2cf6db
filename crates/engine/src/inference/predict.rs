//! A whole volume through a network that sees one window at a time.

use rayon::prelude::*;

use super::activation::Activation;
use super::blend::{Blender, Planes};
use super::postprocess::{Choice, Postprocess};
use super::restore::Restorer;
use super::window::{Axis, Inference, Tiling};
use transforms::lazy::IndexMapping;
use volume::{Grid, Label, Voxels, offset};

/// How a network sees a volume.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Voxels of a window along x, y and z.
    pub window: [usize; 3],
    /// Classes that the network tells apart, background first.
    pub classes: usize,
    /// How windows lie and how they are blended.
    pub inference: &'a Inference,
    /// How blended logits become probabilities.
    pub activation: Activation,
}

/// What becomes of probabilities: a label map on the grid of the image file.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The grid of the image file.
    pub grid: &'a Grid,
    /// The value of each class above background: class `k + 1` is `labels[k]`.
    pub labels: &'a [Label],
    /// How labels are chosen, and how the map of them is mended.
    pub steps: &'a [Postprocess],
}

/// The label map of a preprocessed volume on the grid of the image file; what the preprocessing cut away is background.
///
/// `origin` says where the voxels of the preprocessed volume come from. No more probabilities are held than those of a
/// slab as thick as a window.
///
/// # Errors
/// Those of `forward`; see [`planes`].
pub fn label_map<E>(
    image: &Voxels<f32>,
    origin: &IndexMapping,
    sight: &Sight,
    target: &Target,
    forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
) -> Result<Voxels<Label>, E> {
    let mut map = vec![0; target.grid.num_voxels()];
    let restorer = Restorer::new(origin);
    let choice = Choice::new(target.steps, target.labels);
    planes(image, sight, forward, |planes| restorer.label(planes, &mut map, |scores| choice.label(scores)))?;
    Ok(target.mend(map))
}

/// Adds a share of the probabilities of a preprocessed volume to `sums`, `[class, x, y, z]` on the grid of the image
/// file; what the preprocessing cut away is background with certainty.
///
/// # Errors
/// Those of `forward`; see [`planes`].
pub fn add_probabilities<E>(
    image: &Voxels<f32>,
    origin: &IndexMapping,
    sight: &Sight,
    (share, sums): (f32, &mut [f32]),
    forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
) -> Result<(), E> {
    let restorer = Restorer::new(origin);
    planes(image, sight, forward, |planes| restorer.add(planes, share, sums))?;
    let voxels = sums.len() / sight.classes;
    restorer.add_outside(image.shape, share, &mut sums[..voxels]);
    Ok(())
}

impl Target<'_> {
    /// The label map of probabilities `[class, x, y, z]`.
    pub fn label_map(&self, probabilities: &[f32]) -> Voxels<Label> {
        let voxels = self.grid.num_voxels();
        let choice = Choice::new(self.steps, self.labels);
        let of_voxel = |scores: &mut Vec<f32>, voxel: usize| {
            scores.clear();
            scores.extend(probabilities.iter().skip(voxel).step_by(voxels));
            choice.label(scores)
        };
        self.mend((0..voxels).into_par_iter().map_init(Vec::new, of_voxel).collect())
    }

    fn mend(&self, mut map: Vec<Label>) -> Voxels<Label> {
        self.steps.iter().for_each(|step| step.apply(&mut map, self.grid));
        Voxels::new(1, self.grid.shape, map)
    }
}

/// Sends a volume through a network, window by window, and hands on the planes of probabilities as they are finished.
///
/// `forward` takes a batch of windows `[window, channel, x, y, z]` and their number, and gives logits
/// `[window, class, x, y, z]`.
///
/// # Errors
/// Those of `forward`.
pub fn planes<E>(
    image: &Voxels<f32>,
    sight: &Sight,
    mut forward: impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, E>,
    mut take: impl FnMut(&Planes),
) -> Result<(), E> {
    let Sight { window, classes, inference, activation } = *sight;
    let tiling = Tiling::new(image.shape, window, inference.overlap.get());
    let size: usize = window.iter().product();
    let mut blender = Blender::new(tiling.clone(), inference.blend, classes, activation);
    for starts in tiling.starts.chunks(inference.batch_size.get()) {
        let mut batch = vec![0.0; starts.len() * image.channels * size];
        for (&start, out) in starts.iter().zip(batch.chunks_exact_mut(image.channels * size)) {
            tiling.cut(image, image.channels, start, out);
        }
        let logits = mirrored_mean(batch, window, &inference.mirror, |batch| forward(batch, starts.len()))?;
        for (&start, logits) in starts.iter().zip(logits.chunks_exact(classes * size)) {
            blender.add(start, logits, &mut take);
        }
    }
    blender.finish(take);
    Ok(())
}

/// The mean of what a network says about windows `[.., x, y, z]` and about their mirror images, turned back.
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

/// Arrays `[.., x, y, z]` with some axes turned round.
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
    use crate::inference::window::Blend;

    fn ramp(shape: [usize; 3]) -> Voxels<f32> {
        Voxels::new(1, shape, (0..shape.iter().product::<usize>()).map(|v| v as f32).collect())
    }

    fn through(inference: &Inference, window: [usize; 3], mut forward: impl FnMut(Vec<f32>) -> Vec<f32>) -> Vec<f32> {
        let sight = Sight { window, classes: 1, inference, activation: Activation::None };
        let mut out = Vec::new();
        let take = |planes: &Planes| out.extend_from_slice(&planes.values[planes.known * 20..]);
        planes(&ramp([6, 4, 5]), &sight, |batch, _| Ok::<_, Infallible>(forward(batch)), take).unwrap();
        out
    }

    #[test]
    fn the_network_sees_every_voxel_once_where_windows_do_not_overlap() {
        let inference = Inference { overlap: values::UnitFraction::new(0.0).unwrap(), ..Inference::default() };
        let sight = Sight { window: [2, 2, 2], classes: 1, inference: &inference, activation: Activation::None };
        let mut seen = 0;
        let count = |batch, count| {
            seen += count;
            Ok::<_, Infallible>(batch)
        };
        planes(&ramp([4, 4, 4]), &sight, count, |_| {}).unwrap();
        assert_eq!((seen, inference.num_windows([4, 4, 4], [2, 2, 2])), (8, 8));
    }

    #[test]
    fn a_label_map_is_the_same_by_slabs_and_from_probabilities() {
        let (image, grid) = (ramp([9, 4, 5]), Grid { shape: [9, 4, 5], affine: volume::Affine::IDENTITY });
        let inference = Inference::default();
        let sight = Sight { window: [4, 4, 4], classes: 3, inference: &inference, activation: Activation::Softmax };
        let steps: Vec<Postprocess> =
            serde_yaml::from_str("[!threshold { labels: { 5: 0.2 } }, !keep_largest {}]").unwrap();
        let target = Target { grid: &grid, labels: &[5, 7], steps: &steps };
        let waves = |batch: Vec<f32>, count: usize| {
            let of_window = |window: &[f32]| {
                let class = |class: usize| window.iter().map(move |v| (v * 0.05 + class as f32).sin() * 2.0);
                (0..3).flat_map(class).collect::<Vec<f32>>()
            };
            Ok::<_, Infallible>(batch.chunks(batch.len() / count).flat_map(of_window).collect())
        };
        let origin = IndexMapping::identity([9, 4, 5]);
        let map = label_map(&image, &origin, &sight, &target, waves).unwrap();
        let mut sums = vec![0.0; 3 * 180];
        add_probabilities(&image, &origin, &sight, (1.0, &mut sums), waves).unwrap();
        assert_eq!(map[..], target.label_map(&sums)[..]);
        assert!([0, 5, 7].iter().all(|label| map.contains(label)), "{:?}", &map[..]);
    }

    #[test]
    fn mirrored_windows_are_turned_back() {
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
    fn a_network_that_looks_at_one_side_is_evened_out_by_mirroring() {
        let inference = Inference { mirror: vec![Axis::Z], blend: Blend::Crop, ..Inference::default() };
        // A network that says how far along z it is.
        let out = through(&inference, [6, 4, 5], |batch| (0..batch.len()).map(|i| (i % 5) as f32).collect());
        assert!(out.iter().all(|value| *value == 2.0), "{out:?}");
    }
}

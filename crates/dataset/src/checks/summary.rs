//! Summaries of subjects, which remain after their voxels are freed.

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use statrs::statistics::{Data, OrderStatistics};

use super::Finding;
use volume::{Grid, Label, Voxels, unravel_index};

/// Values per chunk; chunks are summarized in parallel and combined in order.
const CHUNK: usize = 1 << 16;
/// Approximate number of evenly spaced voxels from which percentiles are estimated.
const SAMPLE: usize = 1 << 20;

/// A subject, in a few hundred bytes.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Its name.
    pub name: String,
    /// Findings from its files alone.
    pub findings: Vec<Finding>,
    /// The grid of its image, if readable.
    pub grid: Option<Grid>,
    /// Its image, if all of its files are readable.
    pub image: Option<Image>,
    /// Its label map, if it has one that is readable.
    pub label: Option<LabelMap>,
}

/// An image without its voxels.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// The channels in order.
    pub channels: Vec<Channel>,
}

/// One channel without its voxels.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    /// Its intensities; `None` if no voxel is finite.
    pub intensities: Option<Intensities>,
    /// Voxels that are not a number.
    pub num_nan: usize,
    /// Voxels that are infinite.
    pub num_infinite: usize,
    /// The first voxel that is not finite.
    pub first_not_finite: Option<[usize; 3]>,
    /// Hashes of its voxels.
    pub content: Content,
}

/// The finite intensities of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Intensities {
    /// The smallest.
    pub lowest: f64,
    /// The 99.5th percentile.
    pub high: f64,
    /// The largest.
    pub highest: f64,
    /// The mean.
    pub mean: f64,
}

impl Intensities {
    /// Returns whether all are equal.
    pub fn are_constant(&self) -> bool {
        self.lowest == self.highest
    }
}

/// Hashes that identify the voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content {
    /// A hash of shape and values in order.
    pub ordered: [u8; 32],
    /// A hash of the values in any order: the same for a volume with flipped or permuted axes.
    pub unordered: u128,
}

/// A label map without its voxels.
#[derive(Clone, Debug)]
pub(super) struct LabelMap {
    /// Number of voxels of each label above 0 after the preprocess chain, without the ignored one.
    pub voxels: BTreeMap<Label, u64>,
    /// The volume of a voxel, in mm³.
    pub voxel_mm3: f64,
    /// If true, every voxel of the file is 0.
    pub is_empty: bool,
    /// If true, every voxel after the preprocess chain is ignored.
    pub is_unannotated: bool,
    /// A hash of shape and values.
    pub content: [u8; 32],
}

impl Image {
    /// Summarizes an image `[channel, x, y, z]`.
    pub fn of(voxels: &Voxels<f32>) -> Self {
        let channels = (0..voxels.channels).map(|channel| Channel::of(voxels.channel(channel), voxels.shape));
        Self { channels: channels.collect() }
    }
}

impl Channel {
    fn of(values: &[f32], shape: [usize; 3]) -> Self {
        let chunks: Vec<Chunk> = values.par_chunks(CHUNK).map(Chunk::of).collect();
        let sum = |of: fn(&Chunk) -> usize| chunks.iter().map(of).sum::<usize>();
        let (num_nan, num_infinite) = (sum(|chunk| chunk.num_nan), sum(|chunk| chunk.num_infinite));
        let num_finite = values.len() - num_nan - num_infinite;
        let first = chunks.iter().zip(0..).find_map(|(chunk, index)| Some(index * CHUNK + chunk.first_not_finite?));
        let mut ordered = Sha256::new();
        shape.iter().for_each(|size| ordered.update((*size as u64).to_le_bytes()));
        chunks.iter().for_each(|chunk| ordered.update(chunk.ordered));
        let intensities = (num_finite > 0).then(|| Intensities {
            lowest: f64::from(chunks.iter().fold(f32::INFINITY, |low, chunk| low.min(chunk.lowest))),
            highest: f64::from(chunks.iter().fold(f32::NEG_INFINITY, |high, chunk| high.max(chunk.highest))),
            high: high(values),
            mean: chunks.iter().map(|chunk| chunk.sum).sum::<f64>() / num_finite as f64,
        });
        Self {
            intensities,
            num_nan,
            num_infinite,
            first_not_finite: first.map(|index| unravel_index(shape, index)),
            content: Content {
                ordered: ordered.finalize().into(),
                unordered: chunks.iter().fold(0, |sum, chunk| sum.wrapping_add(chunk.unordered)),
            },
        }
    }
}

/// Returns the 99.5th percentile of the finite values, estimated from evenly spaced voxels.
fn high(values: &[f32]) -> f64 {
    // An odd step visits every position along a row.
    let step = (values.len() / SAMPLE) | 1;
    let mut sample: Vec<f64> =
        values.iter().step_by(step).filter(|value| value.is_finite()).map(|value| f64::from(*value)).collect();
    if sample.is_empty() {
        sample = values.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value)).collect();
    }
    Data::new(sample).quantile(0.995)
}

/// Summary of a chunk of a channel.
struct Chunk {
    num_nan: usize,
    num_infinite: usize,
    first_not_finite: Option<usize>,
    lowest: f32,
    highest: f32,
    sum: f64,
    ordered: [u8; 32],
    unordered: u128,
}

impl Chunk {
    fn of(values: &[f32]) -> Self {
        // Negative zeros count as zeros.
        let values: Vec<f32> = values.iter().map(|value| value + 0.0).collect();
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        Self {
            num_nan: values.iter().filter(|value| value.is_nan()).count(),
            num_infinite: values.iter().filter(|value| value.is_infinite()).count(),
            first_not_finite: values.iter().position(|value| !value.is_finite()),
            lowest: finite().fold(f32::INFINITY, f32::min),
            highest: finite().fold(f32::NEG_INFINITY, f32::max),
            sum: finite().map(f64::from).sum(),
            ordered: Sha256::digest(bytemuck::cast_slice::<f32, u8>(&values)).into(),
            unordered: values.iter().fold(0, |sum, value| sum.wrapping_add(hash_bits(value.to_bits()))),
        }
    }
}

/// Hashes the bits of a value into 128 bits: the finalizer of splitmix64 (Steele, Lea and Flood 2014) with two seeds.
fn hash_bits(bits: u32) -> u128 {
    let mix = |seed: u64| {
        let mut z = u64::from(bits).wrapping_add(seed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    u128::from(mix(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(mix(0xD1B5_4A32_D192_ED03))
}

impl LabelMap {
    /// Summarizes the map in the file and the map after the preprocess chain, both `[1, x, y, z]`.
    pub fn of(grid: &Grid, stored: &Voxels<Label>, preprocessed: &Voxels<Label>, ignore: Option<Label>) -> Self {
        let mut content = Sha256::new();
        stored.shape.iter().for_each(|size| content.update((*size as u64).to_le_bytes()));
        content.update(bytemuck::cast_slice::<Label, u8>(stored));
        let mut voxels = BTreeMap::new();
        // One lookup per run of equal labels is faster than one per voxel.
        for run in preprocessed.chunk_by(|a, b| a == b).filter(|run| run[0] > 0) {
            *voxels.entry(run[0]).or_insert(0) += run.len() as u64;
        }
        let ignored = ignore.and_then(|ignore| voxels.remove(&ignore));
        Self {
            voxels,
            voxel_mm3: grid.affine.determinant().abs(),
            is_empty: stored.iter().all(|label| *label == 0),
            is_unannotated: ignored == Some(preprocessed.len() as u64),
            content: content.finalize().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(shape: [usize; 3], values: Vec<f32>) -> Channel {
        Image::of(&Voxels::new(1, shape, values)).channels[0].clone()
    }

    #[test]
    fn voxels_that_are_not_finite_are_counted_and_the_first_is_located() {
        let mut values = vec![1.0; 3 * 200 * 200];
        values[2 * 40_000 + 5 * 200 + 7] = f32::NAN;
        values[2 * 40_000 + 5 * 200 + 9] = f32::NEG_INFINITY;
        let channel = channel([3, 200, 200], values);
        assert_eq!((channel.num_nan, channel.num_infinite), (1, 1));
        assert_eq!(channel.first_not_finite, Some([2, 5, 7]));
        assert_eq!(channel.intensities.unwrap().lowest, 1.0);
    }

    #[test]
    fn a_mirrored_volume_has_the_same_voxels_in_another_order() {
        let values: Vec<f32> = (0..24u8).map(f32::from).collect();
        let original = channel([2, 3, 4], values.clone()).content;
        let mirrored = channel([2, 3, 4], values.into_iter().rev().collect()).content;
        assert_eq!(original.unordered, mirrored.unordered);
        assert_ne!(original.ordered, mirrored.ordered);
    }

    #[test]
    fn different_values_have_different_hashes_and_a_negative_zero_equals_zero() {
        let content = |values: &[f32]| channel([2, 1, 2], values.to_vec()).content;
        assert_eq!(content(&[0.0, 1.0, 2.0, 3.0]), content(&[-0.0, 1.0, 2.0, 3.0]));
        assert_ne!(content(&[0.0, 1.0, 2.0, 3.0]).unordered, content(&[1.0, 1.0, 2.0, 2.0]).unordered);
    }

    #[test]
    fn the_percentile_of_a_large_volume_is_estimated_from_a_sample() {
        let values: Vec<f32> = (0..3_000_000u32).map(|k| (k % 1000) as f32).collect();
        let high = channel([100, 100, 300], values).intensities.unwrap().high;
        assert!((high - 994.5).abs() < 1.0, "{high}");
    }

    #[test]
    fn labels_are_counted_after_the_chain_and_emptiness_refers_to_the_file() {
        let grid = Grid { shape: [1, 1, 4], affine: volume::Affine::scale_and_shift([1.0, 2.0, 3.0], [0.0; 3]) };
        let map = |values: [Label; 4]| Voxels::new(1, [1, 1, 4], values.to_vec());
        let summary = LabelMap::of(&grid, &map([0, 2, 2, 0]), &map([0, 1, 1, 0]), None);
        assert_eq!(summary.voxels, BTreeMap::from([(1, 2)]));
        assert_eq!((summary.voxel_mm3, summary.is_empty), (6.0, false));
    }
}

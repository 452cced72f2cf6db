//! Border values: the intensities of voxels outside the incoming volume.

use std::ops::Deref;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::{Fill, WholeVolume, border_means, mean, median};

/// The border value of each channel.
pub(super) enum BorderValues<'a> {
    /// The value of the only channel.
    One([f32; 1]),
    /// Values from a cache.
    Cached(&'a [f32]),
    /// Computed values.
    Owned(Vec<f32>),
}

impl Deref for BorderValues<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            BorderValues::One(value) => value,
            BorderValues::Cached(values) => values,
            BorderValues::Owned(values) => values,
        }
    }
}

/// The border values of one volume, for each [`Fill`] that depends on its content; computed on first use.
#[derive(Debug, Default)]
pub struct BorderValueCache([OnceLock<Vec<f32>>; 7]);

impl BorderValueCache {
    /// Returns the entry for a fill; `None` for a constant.
    pub(super) fn entry(&self, fill: Fill) -> Option<&OnceLock<Vec<f32>>> {
        let index = match fill {
            Fill::Value(_) => return None,
            Fill::Minimum => 0,
            Fill::MinimumOfAll => 1,
            Fill::MaximumOfAll => 2,
            Fill::MeanOfAll => 3,
            Fill::MedianOfAll => 4,
            Fill::BorderMean => 5,
            Fill::BorderOtsu => 6,
        };
        Some(&self.0[index])
    }
}

/// Computes the border value of each channel of a whole volume.
pub(super) fn compute(fill: Fill, whole: &WholeVolume) -> Vec<f32> {
    let for_all = |value: f32| vec![value; whole.channels().count()];
    match fill {
        Fill::Value(value) => for_all(value),
        Fill::Minimum => whole.channels().map(|values| extreme(values, f32::INFINITY, f32::min)).collect(),
        Fill::MinimumOfAll => for_all(extreme(whole.image, f32::INFINITY, f32::min)),
        Fill::MaximumOfAll => for_all(extreme(whole.image, f32::NEG_INFINITY, f32::max)),
        Fill::MeanOfAll => for_all(mean(whole.image)),
        Fill::MedianOfAll => for_all(median(whole.image)),
        Fill::BorderMean => border_means(whole, false),
        Fill::BorderOtsu => border_means(whole, true),
    }
}

/// Returns the smallest or the largest value.
fn extreme(values: &[f32], initial: f32, better: impl Fn(f32, f32) -> f32 + Copy + Sync) -> f32 {
    /// Values per parallel task.
    const CHUNK: usize = 1 << 18;
    let sequential = |values: &[f32]| values.iter().copied().fold(initial, better);
    // Sixteen accumulators, which the compiler vectorizes.
    let chunk_extreme = |chunk: &[f32]| {
        let (sixteens, rest) = chunk.as_chunks::<16>();
        let lanes = sixteens.iter().fold([initial; 16], |best, next| std::array::from_fn(|i| better(best[i], next[i])));
        better(sequential(&lanes), sequential(rest))
    };
    sequential(&values.par_chunks(CHUNK).map(chunk_extreme).collect::<Vec<_>>())
}

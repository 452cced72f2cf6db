//! The intensities that voxels from outside a volume get.

use std::ops::Deref;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::{Fill, WholeVolume, border_means, mean, median};

/// The intensity that each channel gets from outside.
pub(super) enum BorderValues<'a> {
    One([f32; 1]),
    Known(&'a [f32]),
    Many(Vec<f32>),
}

impl Deref for BorderValues<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            BorderValues::One(value) => value,
            BorderValues::Known(values) => values,
            BorderValues::Many(values) => values,
        }
    }
}

/// The intensities of a volume's channels for each way of filling that looks at the volume, once they are known.
#[derive(Debug, Default)]
pub struct BorderValueCache([OnceLock<Vec<f32>>; 7]);

impl BorderValueCache {
    /// Where those for one way of filling are kept.
    pub(super) fn of(&self, fill: Fill) -> Option<&OnceLock<Vec<f32>>> {
        let place = match fill {
            Fill::Value(_) => return None,
            Fill::Minimum => 0,
            Fill::MinimumOfAll => 1,
            Fill::MaximumOfAll => 2,
            Fill::MeanOfAll => 3,
            Fill::MedianOfAll => 4,
            Fill::BorderMean => 5,
            Fill::BorderOtsu => 6,
        };
        Some(&self.0[place])
    }
}

/// What each channel of a whole volume gets from outside.
pub(super) fn found(fill: Fill, whole: &WholeVolume) -> Vec<f32> {
    let of_all = |value: f32| vec![value; whole.channels().count()];
    match fill {
        Fill::Value(value) => of_all(value),
        Fill::Minimum => whole.channels().map(|values| best(values, f32::INFINITY, f32::min)).collect(),
        Fill::MinimumOfAll => of_all(best(whole.image, f32::INFINITY, f32::min)),
        Fill::MaximumOfAll => of_all(best(whole.image, f32::NEG_INFINITY, f32::max)),
        Fill::MeanOfAll => of_all(mean(whole.image)),
        Fill::MedianOfAll => of_all(median(whole.image)),
        Fill::BorderMean => border_means(whole, false),
        Fill::BorderOtsu => border_means(whole, true),
    }
}

/// The smallest or the largest value.
fn best(values: &[f32], worst: f32, better: impl Fn(f32, f32) -> f32 + Copy + Sync) -> f32 {
    /// Voxels that a thread looks at together.
    const PIECE: usize = 1 << 18;
    let one_by_one = |values: &[f32]| values.iter().copied().fold(worst, better);
    // Sixteen side by side, which the compiler makes vector operations of.
    let of_piece = |piece: &[f32]| {
        let (sixteens, rest) = piece.as_chunks::<16>();
        let lanes = sixteens.iter().fold([worst; 16], |best, next| std::array::from_fn(|i| better(best[i], next[i])));
        better(one_by_one(&lanes), one_by_one(rest))
    };
    one_by_one(&values.par_chunks(PIECE).map(of_piece).collect::<Vec<_>>())
}

//! Sampling the intensities of the foreground as nnU-Net, and their statistics.
//!
//! nnU-Net samples 100 million voxels of the dataset, the same number of each subject, with replacement and with a generator
//! that has the same seed for every subject. The same voxels are sampled here. What is kept is how often each value was
//! sampled, which is little: a subject with few foreground voxels has few values.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::quantile::{interpolate, rank_and_weight};
use dataset::split::MersenneTwister;

/// The seed of nnU-Net's generator.
const SEED: u32 = 1234;
/// The number of samples of the whole dataset.
const SAMPLES: usize = 100_000_000;

/// Returns the number of samples of each of several subjects.
pub(super) fn samples_per_subject(subjects: usize) -> usize {
    SAMPLES / subjects.max(1)
}

/// Statistics of the foreground's intensities in one channel, from samples of equally many voxels of each subject.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelIntensities {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, divided by n.
    pub std: f64,
    /// The smallest sample.
    pub min: f64,
    /// The percentile 0.5.
    pub percentile_00_5: f64,
    /// The median.
    pub median: f64,
    /// The percentile 99.5.
    pub percentile_99_5: f64,
    /// The largest sample.
    pub max: f64,
}

/// The sampled intensities of one channel of one subject: values in ascending order, and how often each was sampled.
pub(super) struct Sampled(Vec<(f32, u32)>);

/// Samples the foreground voxels of one subject.
pub(super) struct Sampler {
    generator: MersenneTwister,
    voxels: usize,
    samples: usize,
}

impl Sampler {
    /// Returns the generator of a subject with this number of foreground voxels.
    pub fn new(voxels: usize, samples: usize) -> Self {
        Self { generator: MersenneTwister::new(SEED), voxels, samples }
    }

    /// Samples the next channel, whose foreground has these values; nothing of an empty foreground.
    pub fn sample(&mut self, values: impl Iterator<Item = f32>) -> Sampled {
        let Some(last) = self.voxels.checked_sub(1) else { return Sampled(Vec::new()) };
        let last = u32::try_from(last).expect("a volume has less than 2^32 voxels");
        let mut counts = vec![0u32; self.voxels];
        for _ in 0..self.samples {
            counts[self.generator.up_to(last) as usize] += 1;
        }
        let sampled = values.zip(counts).filter(|(_, count)| *count > 0);
        Sampled(merged(sampled.collect()))
    }
}

/// Sorts values and adds the counts of equal ones.
fn merged(mut values: Vec<(f32, u32)>) -> Vec<(f32, u32)> {
    values.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    values.dedup_by(|next, kept| {
        let is_equal = next.0 == kept.0;
        kept.1 += if is_equal { next.1 } else { 0 };
        is_equal
    });
    values.shrink_to_fit();
    values
}

impl ChannelIntensities {
    /// Returns the statistics of all subjects; `None` if no subject has a foreground.
    ///
    /// Percentiles are exactly those of `numpy.percentile`. Sums are in double precision; nnU-Net's are in single precision,
    /// so its mean and standard deviation differ by about a millionth.
    pub(super) fn of(subjects: Vec<Sampled>) -> Option<Self> {
        let mut values: Vec<(f32, u32)> = subjects.into_iter().flat_map(|subject| subject.0).collect();
        values.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (min, max) = (values.first()?.0, values.last()?.0);
        let count: u64 = values.iter().map(|(_, count)| u64::from(*count)).sum();
        let mean_of = |function: &dyn Fn(f64) -> f64| {
            let sum: f64 = values.iter().map(|(value, count)| function((*value).into()) * f64::from(*count)).sum();
            sum / count as f64
        };
        let mean = mean_of(&|value| value);
        let std = mean_of(&|value| (value - mean).powi(2)).sqrt();
        let [percentile_00_5, median, percentile_99_5] = [0.5, 50.0, 99.5].map(|percent| {
            let (rank, weight) = rank_and_weight(count as usize, percent);
            let (below, above) = neighbours(&values, rank as u64);
            // NumPy subtracts in the precision of the data.
            let difference = f64::from(above - below);
            let (below, above) = (f64::from(below), f64::from(above));
            interpolate(below, above, difference, weight)
        });
        let (min, max) = (min.into(), max.into());
        Some(Self { mean, std, min, percentile_00_5, median, percentile_99_5, max })
    }
}

/// Returns the values of two neighbouring ranks; the last rank has itself as neighbour.
fn neighbours(values: &[(f32, u32)], rank: u64) -> (f32, f32) {
    let mut end = 0;
    for (index, (value, count)) in values.iter().enumerate() {
        end += u64::from(*count);
        if rank < end {
            let above = if rank + 1 < end { *value } else { values.get(index + 1).map_or(*value, |next| next.0) };
            return (*value, above);
        }
    }
    unreachable!("a rank is below the number of values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_those_of_numpy() {
        // r = numpy.random.RandomState(1234); r.choice([5, 6, 7, 8, 9], 8), then r.choice([1, 2, 3, 4, 5], 8)
        let mut sampler = Sampler::new(5, 8);
        let first = sampler.sample([5.0, 6.0, 7.0, 8.0, 9.0].into_iter());
        let second = sampler.sample([1.0, 2.0, 3.0, 4.0, 5.0].into_iter());
        assert_eq!((first.0, second.0), (FIRST.to_vec(), SECOND.to_vec()));
    }

    const FIRST: [(f32, u32); 5] = [(5.0, 1), (6.0, 3), (7.0, 1), (8.0, 1), (9.0, 2)];
    const SECOND: [(f32, u32); 4] = [(1.0, 2), (3.0, 2), (4.0, 1), (5.0, 3)];

    #[test]
    fn statistics_weight_values_by_how_often_they_were_sampled() {
        let one = Sampled(vec![(1.0, 2), (4.0, 1)]);
        let other = Sampled(vec![(2.0, 1)]);
        let statistics = ChannelIntensities::of(vec![one, other, Sampled(Vec::new())]).unwrap();
        assert_eq!((statistics.mean, statistics.median, statistics.std), (2.0, 1.5, 1.5f64.sqrt()));
        assert_eq!((statistics.min, statistics.max, statistics.percentile_99_5), (1.0, 4.0, 3.969_999_999_999_999_8));
        assert_eq!(ChannelIntensities::of(vec![Sampled(Vec::new())]), None);
    }

    #[test]
    fn a_subject_without_foreground_has_no_samples() {
        assert!(Sampler::new(0, 10).sample(std::iter::empty()).0.is_empty());
    }
}

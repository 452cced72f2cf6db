//! Named random streams: the only source of random numbers.
//!
//! Every sample comes from a ChaCha stream named by (seed, purpose, epoch, subject, index). A stream's key is the SHA-256 of
//! its name, so that results depend neither on the number of workers nor on the order of loading, and a run resumes from any
//! step without saving a generator's state.
//!
//! ```
//! use random::{Purpose, Seed};
//!
//! let stream = || Seed(7).stream(Purpose::Augment, 2, "liver_3", 0);
//! assert_eq!(stream().unit(), stream().unit());
//! assert!(stream().below(3) < 3);
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use simd::math;
use values::Range;

/// The purpose of a stream. Streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Weight initialization; the subject is the parameter's name.
    Weights,
    /// Splitting the subjects into training, validation and test.
    Split,
    /// Synthetic subjects.
    Phantom,
    /// Shuffling the subjects and patches of an epoch.
    Order,
    /// Parameters of random transforms.
    Augment,
    /// Parameters of random transforms of patches.
    PatchAugment,
    /// Parameters of random changes of the predictions of previous runs in patches.
    PreviousAugment,
    /// Positions of patches.
    Sample,
    /// Dropout; the epoch is the step.
    Dropout,
    /// Patches for the validation loss.
    Validate,
    /// Patches for the pseudo-Dice of an epoch, and their subjects.
    PseudoDice,
    /// Values of a random search; the subject is the key.
    Sweep,
    /// Bootstrap resampling of cases.
    Bootstrap,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Weights => "weights",
            Purpose::Split => "split",
            Purpose::Phantom => "phantom",
            Purpose::Order => "order",
            Purpose::Augment => "augment",
            Purpose::PatchAugment => "patch_augment",
            Purpose::PreviousAugment => "previous_augment",
            Purpose::Sample => "sample",
            Purpose::Dropout => "dropout",
            Purpose::Validate => "validate",
            Purpose::PseudoDice => "pseudo_dice",
            Purpose::Sweep => "sweep",
            Purpose::Bootstrap => "bootstrap",
        }
    }
}

/// The root of all streams: the `seed` of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// Returns the stream of a purpose, an epoch, a subject's name and an index; parts that do not apply are 0 or empty.
    pub fn stream(self, purpose: Purpose, epoch: u64, subject: &str, index: u64) -> Rng {
        let mut hash = Sha256::new();
        hash.update(b"runner stream 1");
        hash.update(self.0.to_le_bytes());
        hash.update((purpose.name().len() as u64).to_le_bytes());
        hash.update(purpose.name());
        hash.update(epoch.to_le_bytes());
        hash.update((subject.len() as u64).to_le_bytes());
        hash.update(subject);
        hash.update(index.to_le_bytes());
        Rng(ChaCha8Rng::from_seed(hash.finalize().into()))
    }
}

/// A generator for one stream.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Returns 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Samples uniformly from `range`.
    pub fn uniform(&mut self, range: Range) -> f64 {
        range.low + (range.high - range.low) * self.unit()
    }

    /// Returns true with this probability.
    pub fn bernoulli(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Samples uniformly from `0..count`.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn below(&mut self, count: u64) -> u64 {
        assert!(count > 0, "the range 0..0 is empty");
        // Lemire's multiplication with rejection: unbiased, and rarely loops.
        loop {
            let wide = u128::from(self.bits()) * u128::from(count);
            if (wide as u64) >= count.wrapping_neg() % count {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Samples the standard normal distribution (Box-Muller transform, cosine branch).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Shuffles `items` (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// White noise as a function of the position: the noise of a window equals that window of the whole volume's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoiseField(pub u64);

impl NoiseField {
    /// Samples a noise field.
    pub fn sample(rng: &mut Rng) -> Self {
        Self(rng.bits())
    }

    /// Writes standard normal values for the positions `start..start + out.len()`.
    pub fn normals(self, start: u64, out: &mut [f32]) {
        let mut generator = ChaCha8Rng::seed_from_u64(self.0);
        // Each position has a 32-bit word of the stream; an even position and the next are transformed as a pair.
        generator.set_word_pos(u128::from(start & !1));
        let (before, pairs) = out.split_at_mut((start as usize & 1).min(out.len()));
        let even = pairs.len() & !1;
        let (pairs, after) = pairs.split_at_mut(even);
        before.iter_mut().for_each(|value| *value = next_pair(&mut generator)[1]);
        generator.fill_bytes(bytemuck::cast_slice_mut(pairs));
        math::box_muller(pairs);
        after.iter_mut().for_each(|value| *value = next_pair(&mut generator)[0]);
    }
}

/// Returns the values of the next two positions.
fn next_pair(generator: &mut ChaCha8Rng) -> [f32; 2] {
    let mut pair = [0.0; 2];
    generator.fill_bytes(bytemuck::cast_slice_mut(&mut pair));
    math::box_muller(&mut pair);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_the_same_name_are_equal() {
        let bits = || Seed(1).stream(Purpose::Augment, 2, "liver_3", 4).bits();
        assert_eq!(bits(), bits());
    }

    #[test]
    fn every_part_of_the_name_matters() {
        let streams = [
            Seed(1).stream(Purpose::Augment, 2, "a", 4).bits(),
            Seed(2).stream(Purpose::Augment, 2, "a", 4).bits(),
            Seed(1).stream(Purpose::Sample, 2, "a", 4).bits(),
            Seed(1).stream(Purpose::Augment, 3, "a", 4).bits(),
            Seed(1).stream(Purpose::Augment, 2, "b", 4).bits(),
            Seed(1).stream(Purpose::Augment, 2, "a", 5).bits(),
        ];
        let distinct: std::collections::HashSet<_> = streams.iter().collect();
        assert_eq!(distinct.len(), streams.len());
    }

    #[test]
    fn samples_below_three_are_uniform() {
        let mut rng = Seed(0).stream(Purpose::Split, 0, "", 0);
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[rng.below(3) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut rng = Seed(0).stream(Purpose::Split, 0, "", 0);
        let samples: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let variance = samples.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / samples.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }

    #[test]
    fn noise_is_standard_normal_in_the_middle_and_in_the_tails() {
        let mut values = vec![0.0; 1_000_000];
        NoiseField(3).normals(0, &mut values);
        let fraction =
            |limit: f32| values.iter().filter(|value| value.abs() > limit).count() as f64 / values.len() as f64;
        for (limit, expected) in [(0.674_490, 0.5), (1.959_964, 0.05), (3.290_527, 0.001)] {
            let deviation = (expected * (1.0 - expected) / 1e6f64).sqrt();
            assert!((fraction(limit) - expected).abs() < 5.0 * deviation, "{limit}: {}", fraction(limit));
        }
        let neighbours: f64 = values.windows(2).map(|pair| f64::from(pair[0] * pair[1])).sum::<f64>() / 1e6;
        assert!(neighbours.abs() < 5e-3, "{neighbours}");
    }

    #[test]
    fn a_window_of_noise_equals_the_same_window_of_the_whole() {
        let field = NoiseField(7);
        let (mut whole, mut window) = ([0.0; 100], [0.0; 30]);
        field.normals(0, &mut whole);
        field.normals(41, &mut window);
        assert_eq!(whole[41..71], window);
    }
}

//! The tree of random streams; the only maker of generators.
//!
//! Every draw comes from a ChaCha stream named by (seed, purpose, epoch, subject, index). A stream's
//! key is the SHA-256 of its name, so neither the number of workers nor the order of loading changes
//! a draw, and a run can go on from any step without saving a generator's state.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use simd::math;
use values::Range;

/// What a stream is for. Two purposes never share a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights; the subject is the parameter's name.
    Weights,
    /// Which subject belongs to which part.
    Split,
    /// Synthetic subjects.
    Phantom,
    /// The order of subjects and patches in an epoch.
    Order,
    /// Draws of random transforms.
    Augment,
    /// Where patches lie.
    Sample,
    /// Dropout; the epoch is the step.
    Dropout,
    /// Everything about patches on which the validation loss is computed.
    Validate,
    /// Values of a random search; the subject is the key.
    Sweep,
    /// Cases that are drawn again for an interval.
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
            Purpose::Sample => "sample",
            Purpose::Dropout => "dropout",
            Purpose::Validate => "validate",
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
    /// The stream named by a purpose, an epoch, a subject's name and an index; parts that do not apply are 0 or empty.
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
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `[0, 1)`, on a grid of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number drawn uniformly from `range`.
    pub fn uniform(&mut self, range: Range) -> f64 {
        range.low + (range.high - range.low) * self.unit()
    }

    /// True with the given probability.
    pub fn bernoulli(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// An integer in `0..count`, each equally likely.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn below(&mut self, count: u64) -> u64 {
        assert!(count > 0, "a draw below 0 has no value");
        // Lemire's multiplication with rejection: exact, and almost never loops.
        loop {
            let wide = u128::from(self.bits()) * u128::from(count);
            if (wide as u64) >= count.wrapping_neg() % count {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A draw from the standard normal distribution (Box and Muller, the cosine branch).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Puts `items` into random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// White noise that is a function of the position alone, so that a window equals the same window of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoiseField(pub u64);

impl NoiseField {
    /// Draws a field.
    pub fn sample(rng: &mut Rng) -> Self {
        Self(rng.bits())
    }

    /// Standard normal values for the positions `start..start + out.len()`.
    pub fn normals(self, start: u64, out: &mut [f32]) {
        let mut generator = ChaCha8Rng::seed_from_u64(self.0);
        // Each position owns a 32-bit word of the stream; the two of an even position and the next make their values.
        generator.set_word_pos(u128::from(start & !1));
        let (before, pairs) = out.split_at_mut((start as usize & 1).min(out.len()));
        let whole = pairs.len() & !1;
        let (pairs, after) = pairs.split_at_mut(whole);
        before.iter_mut().for_each(|value| *value = pair_of(&mut generator)[1]);
        generator.fill_bytes(bytemuck::cast_slice_mut(pairs));
        math::box_muller(pairs);
        after.iter_mut().for_each(|value| *value = pair_of(&mut generator)[0]);
    }
}

/// The values of the next two positions.
fn pair_of(generator: &mut ChaCha8Rng) -> [f32; 2] {
    let mut pair = [0.0; 2];
    generator.fill_bytes(bytemuck::cast_slice_mut(&mut pair));
    math::box_muller(&mut pair);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_gives_the_same_stream() {
        let draw = || Seed(1).stream(Purpose::Augment, 2, "liver_3", 4).bits();
        assert_eq!(draw(), draw());
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
    fn draws_below_three_are_even() {
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
        let draws: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }

    #[test]
    fn noise_is_standard_normal_in_the_middle_and_in_the_tails() {
        let mut values = vec![0.0; 1_000_000];
        NoiseField(3).normals(0, &mut values);
        let share = |limit: f32| values.iter().filter(|value| value.abs() > limit).count() as f64 / values.len() as f64;
        for (limit, expected) in [(0.674_490, 0.5), (1.959_964, 0.05), (3.290_527, 0.001)] {
            let deviation = (expected * (1.0 - expected) / 1e6f64).sqrt();
            assert!((share(limit) - expected).abs() < 5.0 * deviation, "{limit}: {}", share(limit));
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

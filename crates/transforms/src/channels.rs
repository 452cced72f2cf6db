//! The channels that a step changes, and parameters that each channel has of its own, or not at all.

use std::borrow::Cow;

use random::Rng;
use values::{Probability, Range};

use crate::validation::{keys_where, require, same_count, within};
use crate::{KeyProblem, WholeVolume};

/// The key `channels`: the indices of the channels that a step changes; `None` is all.
pub(crate) type Channels = Option<Vec<usize>>;

/// Returns the indices of the changed channels of an image with `count` channels.
pub(crate) fn changed(channels: &Channels, count: usize) -> Vec<usize> {
    channels.clone().unwrap_or_else(|| (0..count).collect())
}

/// Returns the intensities of the changed channels of a volume, one channel after the other.
pub(crate) fn changed_values<'a>(channels: &Channels, whole: &WholeVolume<'a>) -> Cow<'a, [f32]> {
    match channels {
        None => Cow::Borrowed(whole.image),
        Some(channels) => match channels[..] {
            [one] => Cow::Borrowed(whole.channel(one)),
            _ => Cow::Owned(channels.iter().flat_map(|channel| whole.channel(*channel)).copied().collect()),
        },
    }
}

/// Checks the key `channels`.
pub(crate) fn validate_channels(channels: &Channels) -> Option<KeyProblem> {
    let channels = channels.as_ref()?;
    let repeated = channels.iter().enumerate().find(|(index, channel)| channels[..*index].contains(channel));
    let message = match repeated {
        Some((_, channel)) => format!("channel {channel} is named twice"),
        None if channels.is_empty() => "expected at least one channel, got none".to_owned(),
        None => return None,
    };
    Some(KeyProblem::new("channels", message).help("name each channel once, or leave out `channels` for all of them"))
}

/// Checks that an image has the channels of the key `channels`.
///
/// # Errors
/// When it does not.
pub(crate) fn check_channels(channels: &Channels, count: usize) -> Result<(), KeyProblem> {
    let Some(missing) = channels.iter().flatten().find(|channel| **channel >= count) else { return Ok(()) };
    let message = match count {
        1 => format!("expected channel 0, since the image has one, got {missing}"),
        _ => format!("expected channels from 0 to {}, since the image has {count}, got {missing}", count - 1),
    };
    Err(KeyProblem::new("channels", message).help("channels are counted from 0"))
}

/// Maximum factor: larger ones leave no precision for later steps.
const MAX_FACTOR: f64 = 1e6;

/// The keys of a step that multiplies each channel by a factor of its own.
pub(crate) struct ChannelFactors {
    /// The key `factor`.
    pub factor: Range,
    /// The key `channel_probability`.
    pub probability: Probability,
}

impl ChannelFactors {
    /// Samples the factor of each channel; `None` if it is unchanged.
    pub(crate) fn sample(&self, rng: &mut Rng, channels: usize) -> Vec<Option<f64>> {
        sample_per_channel(rng, channels, self.probability, |rng| sample_factor(rng, self.factor))
    }

    /// Returns the keys that make the step random.
    pub(crate) fn random_keys(&self) -> Vec<&'static str> {
        let is_applied = self.probability.get() > 0.0;
        keys_where(&[
            ("factor", is_applied && !self.factor.is_fixed()),
            ("channel_probability", is_random(self.probability)),
        ])
    }

    /// Checks the key `factor`.
    pub(crate) fn validate(&self) -> Vec<KeyProblem> {
        let Range { low, high } = self.factor;
        let message = || format!("expected factors from 0 to {MAX_FACTOR}, got [{low}, {high}]");
        require(low >= 0.0 && high <= MAX_FACTOR, "factor", message).into_iter().collect()
    }
}

/// Implements [`Component`](crate::Component) for a step with the keys `factor` and `channel_probability`, which multiplies each
/// channel by a factor of its own, and defines its parameters.
macro_rules! scales_channels {
    ($step:ident, $params:ident, $aliases:expr) => {
        /// The factor of each channel; `None` if it is unchanged.
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $params(pub Vec<Option<f64>>);

        impl $step {
            fn factors(&self) -> $crate::channels::ChannelFactors {
                $crate::channels::ChannelFactors { factor: self.factor, probability: self.channel_probability }
            }
        }

        impl $crate::Component for $step {
            type Params = $params;

            fn aliases() -> &'static [&'static str] {
                &$aliases
            }

            fn sample_params(&self, rng: &mut random::Rng, incoming: &$crate::Incoming) -> $params {
                $params(self.factors().sample(rng, incoming.channels))
            }

            fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
                &[("factor", 1.0)]
            }

            fn random_keys(&self) -> Vec<&'static str> {
                self.factors().random_keys()
            }

            fn validate(&self) -> Vec<$crate::KeyProblem> {
                self.factors().validate()
            }

            fn validate_params(&self, params: &$params, incoming: &$crate::Incoming) -> Result<(), String> {
                $crate::channels::validate_factors(&params.0, incoming.channels)
            }
        }
    };
}
pub(crate) use scales_channels;

/// Checks recorded factors.
pub(crate) fn validate_factors(factors: &[Option<f64>], channels: usize) -> Result<(), String> {
    validate_per_channel("factors", factors, channels, |factor| within("factors", &[*factor], [0.0, MAX_FACTOR]))
}

/// Samples a parameter for each channel; `None` where the channel is unchanged.
///
/// A parameter is sampled for every channel, so that an unchanged one does not shift the stream of the next.
pub(crate) fn sample_per_channel<T>(
    rng: &mut Rng,
    channels: usize,
    probability: Probability,
    mut sample: impl FnMut(&mut Rng) -> T,
) -> Vec<Option<T>> {
    let sample_one = |_| {
        let is_changed = rng.bernoulli(probability.get());
        let value = sample(rng);
        is_changed.then_some(value)
    };
    (0..channels).map(sample_one).collect()
}

/// Samples a factor as nnU-Net does: where the range contains 1, half of the factors are uniform below 1 and half above.
pub(crate) fn sample_factor(rng: &mut Rng, range: Range) -> f64 {
    if range.low < 1.0 && range.high >= 1.0 {
        let is_below = rng.bernoulli(0.5);
        let side = if is_below { Range { high: 1.0, ..range } } else { Range { low: 1.0, ..range } };
        return rng.uniform(side);
    }
    rng.uniform(range)
}

/// Returns whether a step with this probability changes some channels and not others.
pub(crate) fn is_random(probability: Probability) -> bool {
    probability.get() > 0.0 && probability.get() < 1.0
}

/// Returns the probability 1, the default of keys.
pub(crate) fn certain() -> Probability {
    Probability::new(1.0).expect("1 is a probability")
}

/// Returns whether a probability is the default.
pub(crate) fn is_certain(probability: &Probability) -> bool {
    probability.get() == 1.0
}

/// Checks the number of recorded parameters, and each of those that are given.
pub(crate) fn validate_per_channel<T>(
    name: &str,
    params: &[Option<T>],
    channels: usize,
    validate: impl Fn(&T) -> Result<(), String>,
) -> Result<(), String> {
    same_count(&format!("{name}, one per channel"), params.len(), channels)?;
    params.iter().flatten().try_for_each(validate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    fn rng() -> Rng {
        Seed(0).stream(Purpose::Augment, 0, "", 0)
    }

    #[test]
    fn half_of_the_factors_are_below_1() {
        let mut rng = rng();
        let factors: Vec<f64> = (0..20_000).map(|_| sample_factor(&mut rng, Range { low: 0.7, high: 1.5 })).collect();
        let (below, above): (Vec<f64>, Vec<f64>) = factors.iter().partition(|factor| **factor < 1.0);
        assert!((below.len() as f64 / 20_000.0 - 0.5).abs() < 0.02);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // Each half is uniform: means .85 and 1.25.
        assert!((mean(&below) - 0.85).abs() < 0.005 && (mean(&above) - 1.25).abs() < 0.01);
        assert!(factors.iter().all(|factor| (0.7..=1.5).contains(factor)));
    }

    #[test]
    fn a_range_beside_1_is_sampled_uniformly() {
        let mut rng = rng();
        for range in [Range { low: 1.5, high: 2.0 }, Range { low: 0.5, high: 0.75 }, Range::fixed(1.0)] {
            let factors: Vec<f64> = (0..10_000).map(|_| sample_factor(&mut rng, range)).collect();
            let mean = factors.iter().sum::<f64>() / 10_000.0;
            assert!((mean - (range.low + range.high) / 2.0).abs() < 0.01, "{range:?}: {mean}");
            assert!(factors.iter().all(|factor| (range.low..=range.high).contains(factor)));
        }
    }

    #[test]
    fn channels_are_changed_with_their_probability() {
        let mut rng = rng();
        let half = Probability::new(0.5).unwrap();
        let sampled: Vec<_> = (0..5000).flat_map(|_| sample_per_channel(&mut rng, 2, half, Rng::unit)).collect();
        let changed = sampled.iter().flatten().count() as f64 / 10_000.0;
        assert!((changed - 0.5).abs() < 0.02, "{changed}");
        assert!(sample_per_channel(&mut rng, 9, certain(), Rng::unit).iter().all(Option::is_some));
    }
}

//! One-hot encoding of label maps.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::{Component, Incoming, LabelTransform, NoParams};
use random::Rng;
use volume::Label;

/// One-hot encoding, as TorchIO's OneHot: label maps are written with one channel per class, 1 where a voxel has the class
/// and 0 elsewhere.
///
/// This affects the files of `runner transform` and `runner patches`, not training: losses compare every class with its
/// output channel of the network in any case.
///
/// ```yaml
/// - one_hot: { num_classes: 3 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneHot {
    /// Number of classes including the background, such as 3; `null` (default) is one more than the largest label of the
    /// volume.
    #[serde(default, deserialize_with = "at_least_one")]
    #[schemars(with = "Option<u32>", range(min = 1, max = 65535))]
    pub num_classes: Option<NonZeroU16>,
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU16>, D::Error> {
    let checked = |classes: u32| {
        let classes = u16::try_from(classes).ok().and_then(NonZeroU16::new);
        classes.ok_or_else(|| D::Error::custom("expected between 1 and 65535 classes"))
    };
    Option::<u32>::deserialize(deserializer)?.map(checked).transpose()
}

impl Component for OneHot {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["OneHot", "AsDiscrete"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl LabelTransform for OneHot {
    fn relabel(&self, _: &NoParams, _: &mut [Label], _: [usize; 3]) {}

    fn relabels(&self) -> bool {
        false
    }

    /// A label beyond the number of classes is in no channel.
    fn channels(&self, labels: &[Label]) -> Option<Vec<Label>> {
        let max = labels.iter().copied().max().unwrap_or(0);
        let classes = self.num_classes.map_or(u32::from(max) + 1, |count| u32::from(count.get()));
        let channel = |class| labels.iter().map(move |label| u16::from(u32::from(*label) == class));
        Some((0..classes).flat_map(channel).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_channel() {
        assert_eq!(OneHot { num_classes: None }.channels(&[0, 2, 1]).unwrap(), [1, 0, 0, 0, 0, 1, 0, 1, 0]);
        let two = OneHot { num_classes: NonZeroU16::new(2) };
        assert_eq!(two.channels(&[0, 2, 1]).unwrap(), [1, 0, 0, 0, 0, 1]);
    }
}

//! Patches around voxels of chosen labels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::centre::{self, Valid, Wanted};
use super::{SamplingContext, SamplingError};
use random::Rng;
use values::{NonNegative, Shape};
use volume::Label;

/// Chooses a label by its probability, then a voxel of that label as the patch's centre, as TorchIO's LabelSampler.
///
/// ```yaml
/// label: { patch: [96, 96, 96], probabilities: { 0: 0.2, 1: 0.3, 2: 0.5 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
    /// The weight of each label among patch centres; labels that a subject lacks are left out and the rest renormalised. `null`: every voxel above 0 is equally likely.
    #[serde(default)]
    pub probabilities: Option<BTreeMap<Label, NonNegative>>,
}

impl LabelSampler {
    /// Draws where a patch starts: its centre is a voxel of the chosen label at least half a patch from the border.
    ///
    /// The distribution is that of drawing from the transformed label map: a label is chosen by its
    /// weight among those that have a possible centre, then a centre uniformly among that label's.
    pub(super) fn sample_start(&self, context: &SamplingContext, rng: &mut Rng) -> Result<[usize; 3], SamplingError> {
        let valid = Valid::new(context.mapping.shape, self.patch.0);
        let mut weights = self.weights(context);
        while let Some(label) = choose(&weights, rng) {
            if let Some(centre) = centre::draw(context, &valid, label, rng) {
                return Ok(std::array::from_fn(|axis| centre[axis] - self.patch.0[axis] / 2));
            }
            // To choose again among the others is to renormalise them.
            weights.retain(|(other, _)| *other != label);
        }
        let labels = self.probabilities.iter().flat_map(|weights| weights.keys().copied()).collect();
        Err(SamplingError::NoCentre { labels, patch: self.patch.0 })
    }

    /// The labels that can be chosen and their weights.
    fn weights(&self, context: &SamplingContext) -> Vec<(Wanted, f64)> {
        match &self.probabilities {
            Some(weights) => {
                let weights = weights.iter().map(|(label, weight)| (Wanted::Label(*label), weight.get()));
                weights.filter(|(_, weight)| *weight > 0.0).collect()
            }
            None if context.labels.num_foreground() > 0 => vec![(Wanted::Foreground, 1.0)],
            None => Vec::new(),
        }
    }
}

fn choose(weights: &[(Wanted, f64)], rng: &mut Rng) -> Option<Wanted> {
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.unit() * total;
    for (label, weight) in weights {
        left -= weight;
        if left < 0.0 {
            return Some(*label);
        }
    }
    // Rounding may leave a rest behind the last label.
    weights.last().map(|(label, _)| *label)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::samplers::LabelIndex;
    use crate::samplers::centre::label_at;
    use crate::samplers::tests::{SHAPE, hold_distribution, labels};
    use random::{Purpose, Seed};
    use transforms::lazy::{CandidateBoxes, IndexMapping};
    use volume::{Affine, Voxels};

    fn mapping(map: Affine, shape: [usize; 3]) -> IndexMapping {
        IndexMapping::affine(map, shape, SHAPE)
    }

    fn sampler(probabilities: &str) -> LabelSampler {
        serde_yaml::from_str(&format!("{{patch: [4, 3, 3], probabilities: {probabilities}}}")).unwrap()
    }

    /// Draws many centres and compares how often each voxel is one with the distribution on the whole label map.
    fn compare_with_whole_map(mapping: &IndexMapping, probabilities: &str) {
        let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
        let context = SamplingContext { mapping, labels: &index, weights: None };
        let sampler = sampler(probabilities);
        let valid = Valid::new(mapping.shape, sampler.patch.0);
        hold_distribution(&expected(&context, &valid, &sampler), |rng| {
            let start = sampler.sample_start(&context, rng).unwrap();
            std::array::from_fn(|axis| start[axis] + sampler.patch.0[axis] / 2)
        });
    }

    /// SEMANTICS of TorchIO: of each present label its share, evenly over its valid voxels.
    fn expected(context: &SamplingContext, valid: &Valid, sampler: &LabelSampler) -> HashMap<[usize; 3], f64> {
        let mut of_label: BTreeMap<Label, Vec<[usize; 3]>> = BTreeMap::new();
        for voxel in valid.voxels() {
            of_label.entry(label_at(context, voxel)).or_default().push(voxel);
        }
        let weight = |label: Label| match &sampler.probabilities {
            Some(weights) => weights.get(&label).map_or(0.0, |weight| weight.get()),
            None if label > 0 => of_label[&label].len() as f64,
            None => 0.0,
        };
        let total: f64 = of_label.keys().map(|label| weight(*label)).sum();
        let mut expected = HashMap::new();
        for (label, voxels) in &of_label {
            let share = weight(*label) / total / voxels.len() as f64;
            if share > 0.0 {
                expected.extend(voxels.iter().map(|voxel| (*voxel, share)));
            }
        }
        expected
    }

    #[test]
    fn without_a_chain_centres_follow_the_label_map() {
        let mapping = IndexMapping::identity(SHAPE);
        compare_with_whole_map(&mapping, "{0: 0.2, 1: 0.3, 2: 0.5}");
        compare_with_whole_map(&mapping, "null");
    }

    #[test]
    fn an_absent_label_leaves_its_share_to_the_others() {
        compare_with_whole_map(&IndexMapping::identity(SHAPE), "{0: 1, 1: 2, 2: 1, 7: 4}");
    }

    #[test]
    fn a_rotated_and_enlarged_map_is_followed() {
        let map = Affine([[0.6, -0.25, 0.1, 2.0], [0.2, 0.7, 0.0, 0.3], [0.0, 0.1, 0.55, 0.4]]);
        compare_with_whole_map(&mapping(map, [14, 12, 12]), "{0: 0.2, 1: 0.3, 2: 0.5}");
    }

    #[test]
    fn a_shrunk_map_loses_voxels_and_is_followed() {
        let map = Affine([[1.7, 0.0, 0.0, 0.2], [0.0, 1.3, 0.2, 0.0], [0.0, 0.0, 1.4, 0.1]]);
        compare_with_whole_map(&mapping(map, [7, 7, 6]), "{0: 1, 1: 1, 2: 1}");
    }

    #[test]
    fn every_chain_is_followed() {
        for chain in crate::samplers::tests::CHAINS {
            compare_with_whole_map(&crate::samplers::tests::mapping(chain), "{0: 0.2, 1: 0.3, 2: 0.5}");
        }
    }

    #[test]
    fn gentle_fields_have_boxes_and_folding_ones_have_not() {
        let has_boxes = crate::samplers::tests::CHAINS
            .map(|chain| CandidateBoxes::new(&crate::samplers::tests::mapping(chain)).is_some());
        assert_eq!(has_boxes[6..], [true, true, false]);
    }

    #[test]
    fn a_padded_map_counts_what_lies_outside_as_background() {
        compare_with_whole_map(&mapping(Affine::scale_and_shift([1.0; 3], [-3.0; 3]), [18, 16, 15]), "{0: 1, 2: 1}");
    }

    #[test]
    fn a_mirrored_map_is_followed() {
        let map = Affine::scale_and_shift([-1.0, 1.0, 1.0], [11.0, 0.0, 0.0]);
        compare_with_whole_map(&mapping(map, SHAPE), "{1: 0.5, 2: 0.5}");
    }

    #[test]
    fn a_volume_without_a_possible_centre_is_refused() {
        let index = LabelIndex::new(Voxels::new(1, SHAPE, vec![0; SHAPE.iter().product()]));
        let mapping = IndexMapping::identity(SHAPE);
        let context = SamplingContext { mapping: &mapping, labels: &index, weights: None };
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        assert!(matches!(sampler("{1: 1}").sample_start(&context, &mut rng), Err(SamplingError::NoCentre { .. })));
        assert!(matches!(sampler("null").sample_start(&context, &mut rng), Err(SamplingError::NoCentre { .. })));
    }
}

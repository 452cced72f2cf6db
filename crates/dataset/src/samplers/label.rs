//! Patches centred at voxels of chosen labels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sampling::centres::{self, Target};
use super::sampling::region::Region;
use super::{PatchIndex, PatchSampler, SamplingContext, SamplingError};
use random::Rng;
use values::{Diagnostic, NonNegative, Shape};
use volume::Label;

/// Chooses a label by the given probabilities, then a voxel with that label as the centre of the patch, as TorchIO's
/// `LabelSampler`.
///
/// ```yaml
/// label: { patch: [96, 96, 96], probabilities: { 0: 0.2, 1: 0.3, 2: 0.5 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSampler {
    /// Shape of a patch: voxels along x, y and z, such as `[96, 96, 96]`.
    pub patch: Shape,
    /// Probability of each label as the centre of a patch, such as `{ 0: 0.2, 1: 0.3, 2: 0.5 }`. The probabilities are normalized over the labels that the subject has. Default `null`: every voxel with a label above 0 is equally likely, except those with `data.ignore_label`.
    #[serde(default)]
    pub probabilities: Option<BTreeMap<Label, NonNegative>>,
}

impl PatchSampler for LabelSampler {
    fn patch(&self) -> [usize; 3] {
        self.patch.0
    }

    /// The centre is a voxel at least half a patch from the border.
    ///
    /// The distribution is that of sampling from the transformed label map: a label is chosen with its probability among
    /// those that have a possible centre, then one of its centres uniformly.
    fn sample_start(
        &self,
        context: &SamplingContext,
        _patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError> {
        let region = Region::of_centres(context.mapping.shape, self.patch.0);
        let mut weights = self.weights(context);
        while let Some(target) = choose(&weights, rng) {
            if let Some(centre) = centres::sample(context, &region, target, rng) {
                return Ok(std::array::from_fn(|axis| (centre[axis] - self.patch.0[axis] / 2) as isize));
            }
            // Choosing again among the others is normalizing their probabilities.
            weights.retain(|(other, _)| *other != target);
        }
        let labels = self.probabilities.iter().flat_map(|weights| weights.keys().copied()).collect();
        Err(SamplingError::NoCentre { labels, patch: self.patch.0 })
    }

    fn check(&self, _batch_size: usize) -> Vec<Diagnostic> {
        let is_zero = |weights: &BTreeMap<_, NonNegative>| weights.values().all(|weight| weight.get() == 0.0);
        let (message, help) =
            ("expected a probability above 0, got none", "give the labels weights, as in { 0: 0.2, 1: 0.8 }");
        let problem = || Diagnostic::problem("probabilities", message, help);
        self.probabilities.as_ref().is_some_and(is_zero).then(problem).into_iter().collect()
    }

    fn chosen_labels(&self) -> Option<(&'static str, Vec<Label>)> {
        Some(("probabilities", self.probabilities.as_ref()?.keys().copied().collect()))
    }

    fn centre_criterion(&self) -> Option<&'static str> {
        Some("label probabilities")
    }

    fn has_centres(&self, has_label: &dyn Fn(Label) -> bool, has_foreground: bool) -> bool {
        let is_possible = |label: Label| label == 0 || has_label(label);
        match &self.probabilities {
            Some(weights) => weights.iter().any(|(label, weight)| weight.get() > 0.0 && is_possible(*label)),
            None => has_foreground,
        }
    }
}

impl LabelSampler {
    /// Returns the labels that can be chosen and their weights.
    fn weights<'a>(&self, context: &SamplingContext<'a>) -> Vec<(Target<'a>, f64)> {
        match &self.probabilities {
            Some(weights) => {
                let weights = weights.iter().map(|(label, weight)| (Target::Label(*label), weight.get()));
                weights.filter(|(_, weight)| *weight > 0.0).collect()
            }
            None => {
                let foreground = context.foreground;
                let count = context.labels.count(|label| foreground.includes(label));
                (count > 0).then_some((Target::Foreground(foreground), 1.0)).into_iter().collect()
            }
        }
    }
}

/// Samples a target in proportion to its weight.
fn choose<'a>(weights: &[(Target<'a>, f64)], rng: &mut Rng) -> Option<Target<'a>> {
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.unit() * total;
    for (target, weight) in weights {
        left -= weight;
        if left < 0.0 {
            return Some(*target);
        }
    }
    // Rounding may leave a remainder after the last one.
    weights.last().map(|(target, _)| *target)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::samplers::sampling::centres::label_at;
    use crate::samplers::tests::{SHAPE, assert_distribution, labels, patch_index};
    use crate::samplers::{Foreground, LabelIndex};
    use random::{Purpose, Seed};
    use transforms::lazy::{CandidateBoxes, IndexMapping};
    use volume::{Affine, Voxels};

    fn mapping(map: Affine, shape: [usize; 3]) -> IndexMapping {
        IndexMapping::affine(map, shape, SHAPE)
    }

    fn sampler(probabilities: &str) -> LabelSampler {
        serde_yaml::from_str(&format!("{{patch: [4, 3, 3], probabilities: {probabilities}}}")).unwrap()
    }

    /// Compares the frequencies of sampled centres with the distribution on the whole label map.
    fn compare_with_whole_map(mapping: &IndexMapping, probabilities: &str) {
        let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
        let context = SamplingContext { mapping, labels: &index, weights: None, foreground: &Foreground::default() };
        let sampler = sampler(probabilities);
        let region = Region::of_centres(mapping.shape, sampler.patch.0);
        assert_distribution(&expected(&context, &region, &sampler), |rng| {
            let start = sampler.sample_start(&context, &patch_index(0), rng).unwrap();
            std::array::from_fn(|axis| start[axis] as usize + sampler.patch.0[axis] / 2)
        });
    }

    /// The distribution of TorchIO: the probability of each present label, divided among its possible centres.
    fn expected(context: &SamplingContext, region: &Region, sampler: &LabelSampler) -> HashMap<[usize; 3], f64> {
        let mut by_label: BTreeMap<Label, Vec<[usize; 3]>> = BTreeMap::new();
        for voxel in region.voxels() {
            by_label.entry(label_at(context, voxel)).or_default().push(voxel);
        }
        let weight = |label: Label| match &sampler.probabilities {
            Some(weights) => weights.get(&label).map_or(0.0, |weight| weight.get()),
            None if label > 0 => by_label[&label].len() as f64,
            None => 0.0,
        };
        let total: f64 = by_label.keys().map(|label| weight(*label)).sum();
        let mut expected = HashMap::new();
        for (label, voxels) in &by_label {
            let probability = weight(*label) / total / voxels.len() as f64;
            if probability > 0.0 {
                expected.extend(voxels.iter().map(|voxel| (*voxel, probability)));
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
    fn the_probability_of_an_absent_label_is_divided_among_the_others() {
        compare_with_whole_map(&IndexMapping::identity(SHAPE), "{0: 1, 1: 2, 2: 1, 7: 4}");
    }

    #[test]
    fn centres_follow_a_rotated_and_enlarged_label_map() {
        let map = Affine([[0.6, -0.25, 0.1, 2.0], [0.2, 0.7, 0.0, 0.3], [0.0, 0.1, 0.55, 0.4]]);
        compare_with_whole_map(&mapping(map, [14, 12, 12]), "{0: 0.2, 1: 0.3, 2: 0.5}");
    }

    #[test]
    fn centres_follow_a_shrunk_label_map_which_loses_voxels() {
        let map = Affine([[1.7, 0.0, 0.0, 0.2], [0.0, 1.3, 0.2, 0.0], [0.0, 0.0, 1.4, 0.1]]);
        compare_with_whole_map(&mapping(map, [7, 7, 6]), "{0: 1, 1: 1, 2: 1}");
    }

    #[test]
    fn centres_follow_the_label_map_after_every_chain() {
        for chain in crate::samplers::tests::CHAINS {
            compare_with_whole_map(&crate::samplers::tests::mapping(chain), "{0: 0.2, 1: 0.3, 2: 0.5}");
        }
    }

    #[test]
    fn gentle_displacements_have_candidate_boxes_and_folding_ones_have_none() {
        let has_boxes = crate::samplers::tests::CHAINS
            .map(|chain| CandidateBoxes::new(&crate::samplers::tests::mapping(chain)).is_some());
        assert_eq!(has_boxes[6..], [true, true, false]);
    }

    #[test]
    fn voxels_added_by_padding_are_background() {
        compare_with_whole_map(&mapping(Affine::scale_and_shift([1.0; 3], [-3.0; 3]), [18, 16, 15]), "{0: 1, 2: 1}");
    }

    #[test]
    fn centres_follow_a_mirrored_label_map() {
        let map = Affine::scale_and_shift([-1.0, 1.0, 1.0], [11.0, 0.0, 0.0]);
        compare_with_whole_map(&mapping(map, SHAPE), "{1: 0.5, 2: 0.5}");
    }

    #[test]
    fn a_volume_without_a_possible_centre_is_an_error() {
        let index = LabelIndex::new(Voxels::new(1, SHAPE, vec![0; SHAPE.iter().product()]));
        let mapping = IndexMapping::identity(SHAPE);
        let context =
            SamplingContext { mapping: &mapping, labels: &index, weights: None, foreground: &Foreground::default() };
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        assert!(matches!(
            sampler("{1: 1}").sample_start(&context, &patch_index(0), &mut rng),
            Err(SamplingError::NoCentre { .. })
        ));
        assert!(matches!(
            sampler("null").sample_start(&context, &patch_index(0), &mut rng),
            Err(SamplingError::NoCentre { .. })
        ));
    }
}

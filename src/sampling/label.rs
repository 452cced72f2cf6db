//! Patches around voxels of chosen labels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelField, SamplingError, valid_centres};
use crate::data::volume::Label;
use crate::pipeline::Reach;
use crate::seed::Rng;
use crate::value::{NonNegative, Shape};

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

/// Draws that may miss before the valid region is scanned.
const MOST_MISSES: usize = 4096;

impl LabelSampler {
    /// Draws where a patch starts: its centre is a voxel of the chosen label at least half a patch from the border.
    ///
    /// The distribution is that of drawing from the transformed label map: a label is chosen by its
    /// weight among those that have a possible centre, then a centre uniformly among that label's.
    pub(super) fn start(&self, field: &LabelField, rng: &mut Rng) -> Result<[usize; 3], SamplingError> {
        let valid = Valid::new(field.origin.shape, self.patch.0);
        let mut weights = self.weights(field);
        while let Some(label) = choose(&weights, rng) {
            if let Some(centre) = draw_centre(field, &valid, label, rng) {
                return Ok(std::array::from_fn(|axis| centre[axis] - self.patch.0[axis] / 2));
            }
            // To choose again among the others is to renormalise them.
            weights.retain(|(other, _)| *other != label);
        }
        let labels = self.probabilities.iter().flat_map(|weights| weights.keys().copied()).collect();
        Err(SamplingError::NoCentre { labels, patch: self.patch.0 })
    }

    /// The labels that can be chosen and their weights.
    fn weights(&self, field: &LabelField) -> Vec<(Wanted, f64)> {
        match &self.probabilities {
            Some(weights) => {
                let weights = weights.iter().map(|(label, weight)| (Wanted::Label(*label), weight.get()));
                weights.filter(|(_, weight)| *weight > 0.0).collect()
            }
            None if field.index.num_foreground() > 0 => vec![(Wanted::Foreground, 1.0)],
            None => Vec::new(),
        }
    }
}

/// Which voxels may be the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Those of one label.
    Label(Label),
    /// Those of any label above 0.
    Foreground,
}

impl Wanted {
    fn includes(self, label: Label) -> bool {
        match self {
            Wanted::Label(wanted) => label == wanted,
            Wanted::Foreground => label > 0,
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

/// The voxels that can be centres: at least half a patch from the border.
struct Valid {
    start: [usize; 3],
    shape: [usize; 3],
}

impl Valid {
    fn new(volume: [usize; 3], patch: [usize; 3]) -> Self {
        Self { start: patch.map(|size| size / 2), shape: valid_centres(volume, patch) }
    }

    fn contains(&self, voxel: [i64; 3]) -> Option<[usize; 3]> {
        let mut inside = [0; 3];
        for axis in 0..3 {
            let index = usize::try_from(voxel[axis]).ok()?;
            if index < self.start[axis] || index >= self.start[axis] + self.shape[axis] {
                return None;
            }
            inside[axis] = index;
        }
        Some(inside)
    }

    fn draw(&self, rng: &mut Rng) -> [usize; 3] {
        std::array::from_fn(|axis| self.start[axis] + rng.below(self.shape[axis] as u64) as usize)
    }
}

/// Draws a centre uniformly among the valid voxels with the wanted label, or `None` where there are none.
fn draw_centre(field: &LabelField, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    let drawn = if wanted.includes(0) {
        draw_by_rejection(field, valid, wanted, rng)
    } else {
        if field.index.count(|label| wanted.includes(label)) == 0 {
            return None;
        }
        field.origin.reach().and_then(|reach| draw_from_source(field, valid, wanted, &reach, rng))
    };
    drawn.or_else(|| scan(field, valid, wanted, rng))
}

/// The label of a voxel after the chain.
fn label_at(field: &LabelField, voxel: [usize; 3]) -> Label {
    field.origin.source(voxel).map_or(0, |source| field.index.label(source))
}

/// The background is most of a volume, and voxels without a source belong to it: draw anywhere, reject other labels.
fn draw_by_rejection(field: &LabelField, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    (0..MOST_MISSES).map(|_| valid.draw(rng)).find(|voxel| wanted.includes(label_at(field, *voxel)))
}

/// Draws a source voxel of the label, then one voxel of a box that holds all outgoing voxels which may come from it.
///
/// Every pair of a source voxel and a place in its box is equally likely, for all boxes have the same
/// size. An outgoing voxel has exactly one source, so exactly one pair leads to it: accepting a pair if
/// and only if it leads to a valid voxel makes all valid voxels of the label equally likely.
fn draw_from_source(
    field: &LabelField,
    valid: &Valid,
    wanted: Wanted,
    reach: &Reach,
    rng: &mut Rng,
) -> Option<[usize; 3]> {
    let count = field.index.count(|label| wanted.includes(label));
    for _ in 0..MOST_MISSES {
        let source = field.index.nth(|label| wanted.includes(label), rng.below(count));
        let start = reach.start(source);
        let candidate = std::array::from_fn(|axis| start[axis] + rng.below(reach.shape[axis] as u64) as i64);
        if let Some(voxel) = valid.contains(candidate)
            && field.origin.source(voxel) == Some(source)
        {
            return Some(voxel);
        }
    }
    None
}

/// Looks at every valid voxel: slow, exact, and only where drawing misses too often.
fn scan(field: &LabelField, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    let [size_x, size_y, size_z] = valid.shape;
    let voxel = |i: usize| {
        let local = [i / (size_y * size_z), i / size_z % size_y, i % size_z];
        std::array::from_fn(|axis| valid.start[axis] + local[axis])
    };
    let found: Vec<usize> =
        (0..size_x * size_y * size_z).filter(|i| wanted.includes(label_at(field, voxel(*i)))).collect();
    (!found.is_empty()).then(|| voxel(found[rng.below(found.len() as u64) as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::{Affine, Voxels};
    use crate::pipeline::Origin;
    use crate::sampling::LabelIndex;
    use crate::seed::{Purpose, Seed};

    const SHAPE: [usize; 3] = [12, 10, 9];

    /// Background, a block of label 1 and a few voxels of label 2 at its edge and at the border.
    fn labels() -> Vec<Label> {
        let mut labels = vec![0; SHAPE.iter().product()];
        for x in 3..9 {
            for y in 2..7 {
                for z in 1..6 {
                    labels[(x * SHAPE[1] + y) * SHAPE[2] + z] = if x == 8 && y > 4 { 2 } else { 1 };
                }
            }
        }
        labels[0] = 2;
        labels
    }

    fn origin(map: Affine, shape: [usize; 3]) -> Origin {
        Origin { shape, map, ..Origin::identity(SHAPE) }
    }

    fn sampler(probabilities: &str) -> LabelSampler {
        serde_yaml::from_str(&format!("{{patch: [4, 3, 3], probabilities: {probabilities}}}")).unwrap()
    }

    /// Draws many centres and compares how often each voxel is one with the distribution on the whole label map.
    fn compare_with_whole_map(origin: &Origin, probabilities: &str) {
        let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
        let field = LabelField { origin, index: &index };
        let sampler = sampler(probabilities);
        let valid = Valid::new(origin.shape, sampler.patch.0);
        let expected = expected(&field, &valid, &sampler);
        let mut rng = Seed(1).stream(Purpose::Sample, 0, "", 0);
        let num_draws = 60_000;
        let mut counts = std::collections::HashMap::new();
        for _ in 0..num_draws {
            let start = sampler.start(&field, &mut rng).unwrap();
            let centre: [usize; 3] = std::array::from_fn(|axis| start[axis] + sampler.patch.0[axis] / 2);
            *counts.entry(centre).or_insert(0u32) += 1;
        }
        assert!(counts.keys().all(|voxel| expected.contains_key(voxel)), "a centre that the whole map does not allow");
        let chi_square: f64 = expected
            .iter()
            .map(|(voxel, share)| {
                let expected = share * f64::from(num_draws);
                (f64::from(counts.get(voxel).copied().unwrap_or(0)) - expected).powi(2) / expected
            })
            .sum();
        // Five standard deviations above the mean of the distribution: one in a million by chance.
        let freedom = expected.len() as f64 - 1.0;
        assert!(chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(), "chi-square {chi_square} of {freedom}");
    }

    /// SEMANTICS of TorchIO: of each present label its share, evenly over its valid voxels.
    fn expected(
        field: &LabelField,
        valid: &Valid,
        sampler: &LabelSampler,
    ) -> std::collections::HashMap<[usize; 3], f64> {
        let mut of_label: BTreeMap<Label, Vec<[usize; 3]>> = BTreeMap::new();
        for x in 0..valid.shape[0] {
            for y in 0..valid.shape[1] {
                for z in 0..valid.shape[2] {
                    let voxel = [valid.start[0] + x, valid.start[1] + y, valid.start[2] + z];
                    of_label.entry(label_at(field, voxel)).or_default().push(voxel);
                }
            }
        }
        let weight = |label: Label| match &sampler.probabilities {
            Some(weights) => weights.get(&label).map_or(0.0, |weight| weight.get()),
            None if label > 0 => of_label[&label].len() as f64,
            None => 0.0,
        };
        let total: f64 = of_label.keys().map(|label| weight(*label)).sum();
        let mut expected = std::collections::HashMap::new();
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
        let origin = Origin::identity(SHAPE);
        compare_with_whole_map(&origin, "{0: 0.2, 1: 0.3, 2: 0.5}");
        compare_with_whole_map(&origin, "null");
    }

    #[test]
    fn an_absent_label_leaves_its_share_to_the_others() {
        compare_with_whole_map(&Origin::identity(SHAPE), "{0: 1, 1: 2, 2: 1, 7: 4}");
    }

    #[test]
    fn a_rotated_and_enlarged_map_is_followed() {
        let map = Affine([[0.6, -0.25, 0.1, 2.0], [0.2, 0.7, 0.0, 0.3], [0.0, 0.1, 0.55, 0.4]]);
        compare_with_whole_map(&origin(map, [14, 12, 12]), "{0: 0.2, 1: 0.3, 2: 0.5}");
    }

    #[test]
    fn a_shrunk_map_loses_voxels_and_is_followed() {
        let map = Affine([[1.7, 0.0, 0.0, 0.2], [0.0, 1.3, 0.2, 0.0], [0.0, 0.0, 1.4, 0.1]]);
        compare_with_whole_map(&origin(map, [7, 7, 6]), "{0: 1, 1: 1, 2: 1}");
    }

    #[test]
    fn a_padded_map_counts_what_lies_outside_as_background() {
        compare_with_whole_map(&origin(Affine::scale_and_shift([1.0; 3], [-3.0; 3]), [18, 16, 15]), "{0: 1, 2: 1}");
    }

    #[test]
    fn a_mirrored_map_is_followed() {
        let map = Affine::scale_and_shift([-1.0, 1.0, 1.0], [11.0, 0.0, 0.0]);
        compare_with_whole_map(&origin(map, SHAPE), "{1: 0.5, 2: 0.5}");
    }

    #[test]
    fn a_volume_without_a_possible_centre_is_refused() {
        let index = LabelIndex::new(Voxels::new(1, SHAPE, vec![0; SHAPE.iter().product()]));
        let origin = Origin::identity(SHAPE);
        let field = LabelField { origin: &origin, index: &index };
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        assert!(matches!(sampler("{1: 1}").start(&field, &mut rng), Err(SamplingError::NoCentre { .. })));
        assert!(matches!(sampler("null").start(&field, &mut rng), Err(SamplingError::NoCentre { .. })));
    }
}

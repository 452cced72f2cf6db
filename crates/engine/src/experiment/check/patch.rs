//! Rules for the patch: the network must be able to process it, and every preprocessed volume must contain it.
//!
//! Both rules are checked together, so that the advice meets both.

use std::collections::BTreeMap;

use super::Diagnostics;
use nn::networks::InputSizes;
use transforms::lazy;
use transforms::{Incoming, Transform};
use volume::Grid;

/// With fewer possible patch centres than this along an axis, a sampler deviates from its probabilities.
const MIN_CENTRES: usize = 16;

/// Checks the patch against the network and the grids of the preprocessed volumes, as far as these are known.
pub(super) fn check(diagnostics: &mut Diagnostics, grids: &BTreeMap<&String, Grid>) {
    let experiment = &diagnostics.document.experiment;
    if !experiment.model.component().check().is_empty() {
        return;
    }
    let sizes = experiment.model.component().input_sizes();
    let patch = experiment.sampler.patch();
    let path = format!("sampler.{}.patch", experiment.sampler.name());
    let fits_every_volume = experiment.sampler.component().pads();
    if !fits_every_volume {
        warn_of_cropped_volumes(diagnostics, patch, grids);
    }
    for axis in 0..3 {
        let grids_to_fit = grids.iter().filter(|_| !fits_every_volume);
        let smallest = grids_to_fit.map(|(name, grid)| (grid.shape[axis], name.as_str())).min();
        let rule = Rule { axis, patch, sizes: &sizes, smallest, grids };
        match rule.problem() {
            Some((message, help)) => diagnostics.problem(&format!("{path}.{axis}"), message, help),
            None => warn_of_few_centres(diagnostics, &rule),
        }
    }
}

/// Returns the nearest size that the network can process.
pub(super) fn nearest_multiple(size: usize, multiple_of: usize) -> usize {
    ((size + multiple_of / 2) / multiple_of).max(1) * multiple_of
}

/// The rules for one axis of the patch.
struct Rule<'a> {
    axis: usize,
    patch: [usize; 3],
    sizes: &'a InputSizes,
    /// The size of the smallest volume along the axis, and its subject.
    smallest: Option<(usize, &'a str)>,
    grids: &'a BTreeMap<&'a String, Grid>,
}

impl Rule<'_> {
    fn letter(&self) -> &'static str {
        ["x", "y", "z"][self.axis]
    }

    /// Returns what is wrong with the size, and the sizes that are right.
    fn problem(&self) -> Option<(String, String)> {
        let (size, InputSizes { multiple_of, reason, remedy }) = (self.patch[self.axis], self.sizes);
        let multiple_of = multiple_of[self.axis];
        let is_multiple = size % multiple_of == 0;
        let too_small = self.smallest.filter(|(smallest, _)| size > *smallest);
        let message = match (is_multiple, too_small) {
            (true, None) => return None,
            (false, None) => format!("expected patch sizes divisible by {multiple_of}, since {reason}, got {size}"),
            (true, Some((smallest, subject))) => format!(
                "expected a patch of at most {smallest} voxels along {}, the size of subject {subject} after preprocessing, got {size}",
                self.letter()
            ),
            (false, Some((smallest, subject))) => format!(
                "expected a patch size along {} that is divisible by {multiple_of}, since {reason}, and at most {smallest}, the size of subject {subject} after preprocessing, got {size}",
                self.letter()
            ),
        };
        let near = nearest_multiple(size, multiple_of);
        let Some((smallest, subject)) = self.smallest.filter(|(smallest, _)| near > *smallest) else {
            return Some((message, format!("use {near}, or {remedy}")));
        };
        let is_small = |grid: &&Grid| grid.shape[self.axis] < near;
        let (count, all) = (self.grids.values().filter(is_small).count(), self.grids.len());
        let padding = self.padding();
        let letter = self.letter();
        let help = match smallest / multiple_of * multiple_of {
            0 => format!(
                "no multiple of {multiple_of} fits into the {smallest} voxels of subject {subject}; end `preprocess` with `{padding}` and use {near}, or {remedy}"
            ),
            largest => format!(
                "use {largest}; or, since {count} of {all} subjects are shorter than {near} voxels along {letter}, end `preprocess` with `{padding}` and use {near}"
            ),
        };
        Some((message, help))
    }

    /// Returns the step that pads small volumes to the patch, with sizes that the network can process.
    fn padding(&self) -> String {
        let nearest = |axis: usize| nearest_multiple(self.patch[axis], self.sizes.multiple_of[axis]);
        let [x, y, z] = std::array::from_fn(nearest);
        format!("- pad: {{ at_least: [{x}, {y}, {z}], fill: minimum }}")
    }
}

/// Warns if a step may crop volumes to fewer voxels than a patch has, which headers do not show.
fn warn_of_cropped_volumes(diagnostics: &mut Diagnostics, patch: [usize; 3], grids: &BTreeMap<&String, Grid>) {
    let chain = &diagnostics.document.experiment.preprocess;
    let is_cropping = |step: &Transform| step.any(&|step| step.resolves_shape());
    let (Some(last), Some(grid)) = (chain.iter().rposition(is_cropping), grids.values().next()) else { return };
    // A single voxel shows which shape the steps after it guarantee.
    let smallest = Grid { shape: [1; 3], ..*grid };
    let after = &chain[last + 1..];
    let guaranteed =
        lazy::output_grid(after, &lazy::fixed_params(after, &Incoming { grid: smallest, channels: 1 }), &smallest);
    if (0..3).any(|axis| guaranteed.shape[axis] < patch[axis]) {
        let [x, y, z] = patch;
        diagnostics.warning(format!(
            "{} may crop volumes to fewer than {x} x {y} x {z} voxels, which a patch needs and headers do not show; end `preprocess` with `- pad: {{ at_least: [{x}, {y}, {z}], fill: minimum }}`, or use `foreground_oversample: {{ border: pad }}`",
            chain[last].name()
        ));
    }
}

fn warn_of_few_centres(diagnostics: &mut Diagnostics, rule: &Rule) {
    let criterion = diagnostics.document.experiment.sampler.component().centre_criterion();
    let (Some(criterion), Some((smallest, subject))) = (criterion, rule.smallest) else { return };
    let centres = smallest + 1 - rule.patch[rule.axis];
    if (2..MIN_CENTRES).contains(&centres) {
        diagnostics.warning(format!(
            "only {centres} slices along {} can be patch centres in subject {subject}, so {criterion} apply to those only",
            rule.letter()
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::{Environment, check};
    use crate::experiment::load::parse;

    /// Returns the problems of a patch of this size along z in volumes of this depth, and their advice.
    fn problems(size: usize, depth: usize, levels: &str) -> Vec<(String, String)> {
        let text = format!(
            "data: {{ source: {{ phantom: {{ subjects: 4, shape: [32, 32, {depth}] }} }}, split: {{ first: 3 }} }}\n\
             sampler: {{ uniform: {{ patch: [32, 32, {size}] }} }}\nmodel: {{ unet: {{ widths: {levels} }} }}\n\
             loss: {{ dice: {{}} }}\noptimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 1 }}\n"
        );
        let here = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
        match check(&parse("a.yaml", &text).unwrap(), &here, None) {
            Ok(_) => Vec::new(),
            Err(problems) => {
                problems.0.into_iter().map(|problem| (problem.message, problem.help.unwrap_or_default())).collect()
            }
        }
    }

    #[test]
    fn advice_meets_the_rules_of_network_and_volumes_together() {
        // 32 would not fit into 31 voxels, and 30 or 31 are no multiples of 16.
        let of_30 = &problems(30, 31, "[4, 8, 16, 32, 64]")[0];
        assert!(of_30.0.contains("divisible by 16"), "{of_30:?}");
        assert!(
            of_30.1.starts_with("use 16; or, since 4 of 4 subjects are shorter than 32 voxels along z,"),
            "{of_30:?}"
        );
        let of_32 = &problems(32, 31, "[4, 8, 16, 32, 64]")[0];
        assert!(of_32.0.contains("at most 31 voxels along z"), "{of_32:?}");
        assert_eq!(of_30.1, of_32.1);
        assert_eq!(problems(16, 31, "[4, 8, 16, 32, 64]"), []);
        // What both offer.
        assert!(of_32.1.contains("- pad: { at_least: [32, 32, 32], fill: minimum }"), "{of_32:?}");
    }

    #[test]
    fn where_no_size_fits_the_advice_says_so() {
        let (message, help) = &problems(18, 10, "[4, 8, 16, 32, 64]")[0];
        assert!(message.contains("divisible by 16") && message.contains("at most 10"), "{message}");
        assert!(help.starts_with("no multiple of 16 fits into the 10 voxels of subject phantom_000"), "{help}");
        assert!(help.contains("at_least: [32, 32, 16]") && help.contains("and use 16, or "), "{help}");
    }

    #[test]
    fn a_size_that_fits_is_offered_alone() {
        let (_, help) = &problems(30, 64, "[4, 8, 16, 32, 64]")[0];
        assert!(help.starts_with("use 32, or "), "{help}");
    }
}

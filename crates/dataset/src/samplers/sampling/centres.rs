//! Uniform sampling of voxels with a label, in the volume after a chain.

use super::super::{Foreground, SamplingContext};
use super::region::Region;
use random::Rng;
use transforms::lazy::{self, CandidateBoxes, IndexMapping};
use volume::Label;
use volume::buffer_pool;

/// Rejections before every voxel of the region is tested instead.
const MAX_REJECTIONS: usize = 4096;

/// Which voxels are sampled from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::samplers) enum Target<'a> {
    /// Those with this label.
    Label(Label),
    /// Those with one of these labels.
    Class(&'a [Label]),
    /// Those that are foreground.
    Foreground(&'a Foreground),
    /// Those that somebody annotated, background included.
    Annotated(&'a Foreground),
}

impl Target<'_> {
    fn includes(self, label: Label) -> bool {
        match self {
            Target::Label(target) => label == target,
            Target::Class(labels) => labels.contains(&label),
            Target::Foreground(foreground) => foreground.includes(label),
            Target::Annotated(foreground) => foreground.is_annotated(label),
        }
    }
}

/// Samples uniformly among the voxels of a region with the target label, or returns `None` if there are none.
///
/// By rejection sampling: candidates are voxels of the region near the target's, or pairs of a source voxel and a voxel
/// near where it is mapped to, whichever are fewer. If too many are rejected, every voxel is tested.
pub(in crate::samplers) fn sample(
    context: &SamplingContext,
    region: &Region,
    target: Target,
    rng: &mut Rng,
) -> Option<[usize; 3]> {
    if target.includes(0) {
        return sample_anywhere(context, region, target, rng);
    }
    let count = context.labels.count(|label| target.includes(label));
    let (low, high) = context.labels.bounds(|label| target.includes(label))?;
    let Some(candidates) = CandidateBoxes::new(context.mapping) else {
        return sample_anywhere(context, region, target, rng);
    };
    let near = region.intersection(candidates.bounds(low, high))?;
    let pairs = count.saturating_mul(candidates.shape.iter().map(|size| *size as u64).product());
    let voxel = if near.count() <= pairs {
        sample_by_rejection(context, &near, target, rng)
    } else {
        let sample_source = |rng: &mut Rng| context.labels.nth(|label| target.includes(label), rng.below(count));
        sample_from_source(context.mapping, &candidates, region, sample_source, rng)
    };
    voxel.or_else(|| scan(context, &tight_bounds(context, &candidates, &near, target)?, target, rng))
}

/// Samples from the whole region, for mappings without candidate boxes and for the background.
fn sample_anywhere(context: &SamplingContext, region: &Region, target: Target, rng: &mut Rng) -> Option<[usize; 3]> {
    sample_by_rejection(context, region, target, rng).or_else(|| scan(context, region, target, rng))
}

/// Returns the bounding box of the voxels that may have the target label, run by run, which is smaller than that of the
/// bounding box of all runs. `None` if there are none.
fn tight_bounds(
    context: &SamplingContext,
    candidates: &CandidateBoxes,
    region: &Region,
    target: Target,
) -> Option<Region> {
    let runs = context.labels.runs(|label| target.includes(label));
    runs.filter_map(|(first, last)| region.intersection(candidates.bounds(first, last))).reduce(Region::union)
}

/// Returns the label of a voxel after the chain.
pub(in crate::samplers) fn label_at(context: &SamplingContext, voxel: [usize; 3]) -> Label {
    context.mapping.source(voxel).map_or(0, |source| context.labels.label(source))
}

/// Samples voxels of the region and rejects other labels. That is fast for the background, to which voxels without a
/// source belong, and for labels that fill much of the region.
fn sample_by_rejection(
    context: &SamplingContext,
    region: &Region,
    target: Target,
    rng: &mut Rng,
) -> Option<[usize; 3]> {
    // Testing every voxel takes as long as about this many samples.
    let max_samples = (region.count() as usize / 16).clamp(MAX_REJECTIONS / 64, MAX_REJECTIONS);
    (0..max_samples).map(|_| region.sample(rng)).find(|voxel| target.includes(label_at(context, *voxel)))
}

/// Samples a source voxel, then a voxel of its candidate box, which contains all outgoing voxels with that source.
///
/// All boxes have the same size, and in each every voxel is equally likely. An outgoing voxel has exactly one source, so
/// exactly one pair of a source and a candidate leads to it: accepting the pairs that lead to a voxel of the region makes
/// the probability of each voxel proportional to that of its source.
///
/// `candidates` are the mapping's. Returns `None` if too many are rejected.
pub(in crate::samplers) fn sample_from_source(
    mapping: &IndexMapping,
    candidates: &CandidateBoxes,
    region: &Region,
    sample_source: impl Fn(&mut Rng) -> [usize; 3],
    rng: &mut Rng,
) -> Option<[usize; 3]> {
    for _ in 0..MAX_REJECTIONS {
        let source = sample_source(rng);
        if !candidates.is_affine() && region.intersection(candidates.bounds(source, source)).is_none() {
            // Inverting displacements is slow, and this source has no voxel in the region.
            continue;
        }
        let start = candidates.start(source);
        let candidate = std::array::from_fn(|axis| start[axis] + rng.below(candidates.shape[axis] as u64) as i64);
        if let Some(voxel) = region.get(candidate)
            && mapping.source(voxel) == Some(source)
        {
            return Some(voxel);
        }
    }
    None
}

/// Tests every voxel of a region, slice by slice: slow, and only if rejection sampling rejects too often.
fn scan(context: &SamplingContext, region: &Region, target: Target, rng: &mut Rng) -> Option<[usize; 3]> {
    let [size_x, size_y, size_z] = region.shape;
    let slice = |x: usize| {
        let start = [region.start[0] + x, region.start[1], region.start[2]];
        lazy::resample_labels(context.labels.map(), context.mapping, start, [1, size_y, size_z])
    };
    let count_in = |x: usize| {
        let labels = slice(x);
        let count = labels.iter().filter(|label| target.includes(**label)).count() as u64;
        buffer_pool::release(labels);
        count
    };
    let counts: Vec<u64> = (0..size_x).map(count_in).collect();
    let count: u64 = counts.iter().sum();
    let mut left = if count == 0 { return None } else { rng.below(count) };
    let x = counts.iter().position(|count| {
        let is_here = left < *count;
        left -= if is_here { 0 } else { *count };
        is_here
    })?;
    let position = slice(x).iter().enumerate().filter(|(_, label)| target.includes(**label)).nth(left as usize)?.0;
    Some([region.start[0] + x, region.start[1] + position / size_z, region.start[2] + position % size_z])
}

//! Centres of patches, drawn in the volume after a chain without making it.

use super::{SamplingContext, valid_centres};
use random::Rng;
use transforms::lazy::{self, CandidateBoxes, IndexMapping};
use volume::Label;
use volume::buffer_pool;

/// Draws that may miss before every possible centre is looked at.
const MOST_MISSES: usize = 4096;

/// Which voxels may be the centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
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

/// The voxels that can be centres: a block of the volume after the chain.
pub(super) struct Valid {
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
}

impl Valid {
    /// Those at least half a patch from the border, so that the patch fits around them.
    pub(super) fn new(volume: [usize; 3], patch: [usize; 3]) -> Self {
        Self { start: patch.map(|size| size / 2), shape: valid_centres(volume, patch) }
    }

    /// Every voxel.
    pub(super) fn whole(volume: [usize; 3]) -> Self {
        Self { start: [0; 3], shape: volume }
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

    /// Those from one voxel to another, or `None` where there are none.
    fn within(&self, (first, last): ([i64; 3], [i64; 3])) -> Option<Self> {
        let (mut start, mut shape) = ([0; 3], [0; 3]);
        for axis in 0..3 {
            let end = (last[axis] + 1).clamp(0, (self.start[axis] + self.shape[axis]) as i64);
            start[axis] = first[axis].max(self.start[axis] as i64) as usize;
            shape[axis] = (end as usize).checked_sub(start[axis]).filter(|size| *size > 0)?;
        }
        Some(Self { start, shape })
    }

    fn draw(&self, rng: &mut Rng) -> [usize; 3] {
        std::array::from_fn(|axis| self.start[axis] + rng.below(self.shape[axis] as u64) as usize)
    }

    fn count(&self) -> u64 {
        self.shape.iter().map(|size| *size as u64).product()
    }

    /// The smallest block that holds two.
    fn around(self, other: Self) -> Self {
        let start: [usize; 3] = std::array::from_fn(|axis| self.start[axis].min(other.start[axis]));
        let end = |block: &Self, axis: usize| block.start[axis] + block.shape[axis];
        let shape = std::array::from_fn(|axis| end(&self, axis).max(end(&other, axis)) - start[axis]);
        Self { start, shape }
    }

    /// All of them, z fastest.
    pub(super) fn voxels(&self) -> impl Iterator<Item = [usize; 3]> {
        let (start, shape) = (self.start, self.shape);
        (0..shape.iter().product()).map(move |i: usize| {
            let local = [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
            std::array::from_fn(|axis| start[axis] + local[axis])
        })
    }
}

/// Draws a centre uniformly among the valid voxels with the wanted label, or `None` where there are none.
///
/// Candidates are drawn and rejected: valid voxels near the wanted ones, or pairs of a source voxel and a place near where
/// it goes, whichever are fewer. Where too many are rejected, every voxel is looked at.
pub(super) fn draw(context: &SamplingContext, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    if wanted.includes(0) {
        return draw_anywhere(context, valid, wanted, rng);
    }
    let count = context.labels.count(|label| wanted.includes(label));
    let (low, high) = context.labels.bounds(|label| wanted.includes(label))?;
    let Some(candidates) = CandidateBoxes::new(context.mapping) else {
        return draw_anywhere(context, valid, wanted, rng);
    };
    let within = valid.within(candidates.bounds(low, high))?;
    let pairs = count.saturating_mul(candidates.shape.iter().map(|size| *size as u64).product());
    let found = if within.count() <= pairs {
        draw_by_rejection(context, &within, wanted, rng)
    } else {
        let source = |rng: &mut Rng| context.labels.nth(|label| wanted.includes(label), rng.below(count));
        draw_from_source(context.mapping, &candidates, valid, source, rng)
    };
    found.or_else(|| scan(context, &reached(context, &candidates, &within, wanted)?, wanted, rng))
}

/// Where nothing tells which valid voxels are near the wanted ones.
fn draw_anywhere(context: &SamplingContext, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    draw_by_rejection(context, valid, wanted, rng).or_else(|| scan(context, valid, wanted, rng))
}

/// The valid voxels that may have the wanted label: around what its runs candidates one by one, which is less than what the
/// box around all of them does. `None` where there are none.
fn reached(context: &SamplingContext, candidates: &CandidateBoxes, valid: &Valid, wanted: Wanted) -> Option<Valid> {
    let runs = context.labels.runs(|label| wanted.includes(label));
    runs.filter_map(|(first, last)| valid.within(candidates.bounds(first, last))).reduce(Valid::around)
}

/// The label of a voxel after the chain.
pub(super) fn label_at(context: &SamplingContext, voxel: [usize; 3]) -> Label {
    context.mapping.source(voxel).map_or(0, |source| context.labels.label(source))
}

/// Draws anywhere and rejects other labels. The background is most of a volume, and voxels without a source belong to it;
/// other labels are found where they fill a good part of what is drawn from.
fn draw_by_rejection(context: &SamplingContext, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    // To look at all of them takes as long as so many draws.
    let most = (valid.count() as usize / 16).clamp(MOST_MISSES / 64, MOST_MISSES);
    (0..most).map(|_| valid.draw(rng)).find(|voxel| wanted.includes(label_at(context, *voxel)))
}

/// Draws a source voxel, then one voxel of a box that holds all outgoing voxels which may come from it.
///
/// Every place in a source voxel's box is equally likely, and all boxes have the same size. An outgoing
/// voxel has exactly one source, so exactly one pair of a source voxel and a place leads to it: accepting
/// a pair if and only if it leads to a valid voxel makes the chance of each valid voxel proportional to
/// that of its source.
///
/// `candidates` is the mapping's. Gives `None` where drawing misses too often.
pub(super) fn draw_from_source(
    mapping: &IndexMapping,
    candidates: &CandidateBoxes,
    valid: &Valid,
    source: impl Fn(&mut Rng) -> [usize; 3],
    rng: &mut Rng,
) -> Option<[usize; 3]> {
    for _ in 0..MOST_MISSES {
        let source = source(rng);
        if !candidates.is_affine() && valid.within(candidates.bounds(source, source)).is_none() {
            // Going back through fields is slow; this one would lead nowhere.
            continue;
        }
        let start = candidates.start(source);
        let candidate = std::array::from_fn(|axis| start[axis] + rng.below(candidates.shape[axis] as u64) as i64);
        if let Some(voxel) = valid.contains(candidate)
            && mapping.source(voxel) == Some(source)
        {
            return Some(voxel);
        }
    }
    None
}

/// Looks at every valid voxel, slice by slice: exact, and only where drawing misses too often.
fn scan(context: &SamplingContext, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    let [size_x, size_y, size_z] = valid.shape;
    let slice = |x: usize| {
        let start = [valid.start[0] + x, valid.start[1], valid.start[2]];
        lazy::resample_labels(context.labels.map(), context.mapping, start, [1, size_y, size_z])
    };
    let count_in = |x: usize| {
        let labels = slice(x);
        let count = labels.iter().filter(|label| wanted.includes(**label)).count() as u64;
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
    let found = slice(x).iter().enumerate().filter(|(_, label)| wanted.includes(**label)).nth(left as usize)?.0;
    Some([valid.start[0] + x, valid.start[1] + found / size_z, valid.start[2] + found % size_z])
}

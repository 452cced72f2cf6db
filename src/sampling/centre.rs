//! Centres of patches, drawn in the volume after a chain without making it.

use super::{Field, valid_centres};
use crate::data::buffers;
use crate::data::volume::Label;
use crate::pipeline::{self, Origin, Reach};
use crate::seed::Rng;

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
pub(super) fn draw(field: &Field, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    if wanted.includes(0) {
        return draw_by_rejection(field, valid, wanted, rng).or_else(|| scan(field, valid, wanted, rng));
    }
    let count = field.index.count(|label| wanted.includes(label));
    let (low, high) = field.index.bounds(|label| wanted.includes(label))?;
    let Some(reach) = field.origin.reach() else { return scan(field, valid, wanted, rng) };
    let within = valid.within(reach.of_box(low, high))?;
    let source = |rng: &mut Rng| field.index.nth(|label| wanted.includes(label), rng.below(count));
    draw_from_source(field.origin, &reach, valid, source, rng).or_else(|| scan(field, &within, wanted, rng))
}

/// The label of a voxel after the chain.
pub(super) fn label_at(field: &Field, voxel: [usize; 3]) -> Label {
    field.origin.source(voxel).map_or(0, |source| field.index.label(source))
}

/// The background is most of a volume, and voxels without a source belong to it: draw anywhere, reject other labels.
fn draw_by_rejection(field: &Field, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    (0..MOST_MISSES).map(|_| valid.draw(rng)).find(|voxel| wanted.includes(label_at(field, *voxel)))
}

/// Draws a source voxel, then one voxel of a box that holds all outgoing voxels which may come from it.
///
/// Every place in a source voxel's box is equally likely, and all boxes have the same size. An outgoing
/// voxel has exactly one source, so exactly one pair of a source voxel and a place leads to it: accepting
/// a pair if and only if it leads to a valid voxel makes the chance of each valid voxel proportional to
/// that of its source.
///
/// `reach` is the origin's. Gives `None` where drawing misses too often.
pub(super) fn draw_from_source(
    origin: &Origin,
    reach: &Reach,
    valid: &Valid,
    source: impl Fn(&mut Rng) -> [usize; 3],
    rng: &mut Rng,
) -> Option<[usize; 3]> {
    for _ in 0..MOST_MISSES {
        let source = source(rng);
        if !reach.is_straight() && valid.within(reach.of_box(source, source)).is_none() {
            // Going back through fields is slow; this one would lead nowhere.
            continue;
        }
        let start = reach.start(source);
        let candidate = std::array::from_fn(|axis| start[axis] + rng.below(reach.shape[axis] as u64) as i64);
        if let Some(voxel) = valid.contains(candidate)
            && origin.source(voxel) == Some(source)
        {
            return Some(voxel);
        }
    }
    None
}

/// Looks at every valid voxel, slice by slice: exact, and only where drawing misses too often.
fn scan(field: &Field, valid: &Valid, wanted: Wanted, rng: &mut Rng) -> Option<[usize; 3]> {
    let [size_x, size_y, size_z] = valid.shape;
    let slice = |x: usize| {
        let start = [valid.start[0] + x, valid.start[1], valid.start[2]];
        pipeline::labels(field.index.map(), field.origin, start, [1, size_y, size_z])
    };
    let count_in = |x: usize| {
        let labels = slice(x);
        let count = labels.iter().filter(|label| wanted.includes(**label)).count() as u64;
        buffers::give(labels);
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

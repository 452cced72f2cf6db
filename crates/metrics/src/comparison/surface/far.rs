//! Nearest-neighbour search over long distances, in a hierarchy of bounding boxes.

use super::bits::Bits;

/// The side of a block in points.
const BLOCK: usize = 8;

/// The side of a group of blocks in points; a multiple of [`BLOCK`].
const GROUP: usize = 64;

/// The points of a set, sorted into blocks and groups of blocks.
pub struct Blocks {
    points: Vec<[usize; 3]>,
    /// The bounding box of each block, with the range of its points.
    blocks: Vec<Bounds>,
    /// The bounding box of each group, with the range of its blocks.
    groups: Vec<Bounds>,
    spacing: [f64; 3],
}

/// The bounding box in mm of a range of a list.
struct Bounds {
    first: usize,
    end: usize,
    low: [f64; 3],
    high: [f64; 3],
}

impl Blocks {
    /// Sorts the points of a set into blocks.
    pub fn new(set: &Bits, spacing: [f64; 3]) -> Self {
        let mut sorted = Self { points: Vec::new(), blocks: Vec::new(), groups: Vec::new(), spacing };
        for group in boxes([0; 3], set.shape, GROUP) {
            let first = sorted.blocks.len();
            let end = std::array::from_fn(|axis| (group[axis] + GROUP).min(set.shape[axis]));
            for block in boxes(group, end, BLOCK) {
                sorted.add_block(set, block);
            }
            if let Some(bounds) = Bounds::around(&sorted.blocks, first) {
                sorted.groups.push(bounds);
            }
        }
        sorted
    }

    fn add_block(&mut self, set: &Bits, start: [usize; 3]) {
        let first = self.points.len();
        let [size_x, size_y, _] = set.shape;
        for x in start[0]..(start[0] + BLOCK).min(size_x) {
            for y in start[1]..(start[1] + BLOCK).min(size_y) {
                let indices = set.z_indices_in_byte(x, y, start[2]);
                self.points.extend(indices.map(|z| [x, y, z]));
            }
        }
        let points = &self.points[first..];
        let position = |point: &[usize; 3]| std::array::from_fn(|axis| point[axis] as f64 * self.spacing[axis]);
        let positions: Vec<Bounds> = points.iter().map(|point| Bounds::from_point(position(point))).collect();
        if let Some(bounds) = Bounds::around(&positions, 0) {
            self.blocks.push(Bounds { first, end: self.points.len(), ..bounds });
        }
    }

    /// Returns the squared distance in mm² from a point to the nearest of the set, or `best` if that is smaller.
    ///
    /// `last` is the index of the nearest neighbour of a previous point, which bounds the distance; it is updated.
    pub fn nearest(&self, point: [usize; 3], mut best: f64, last: &mut Option<usize>) -> f64 {
        if let Some(index) = *last {
            best = best.min(self.squared(point, self.points[index]));
        }
        let position: [f64; 3] = std::array::from_fn(|axis| point[axis] as f64 * self.spacing[axis]);
        for group in &self.groups {
            if group.is_beyond(position, best) {
                continue;
            }
            for block in &self.blocks[group.first..group.end] {
                if block.is_beyond(position, best) {
                    continue;
                }
                for index in block.first..block.end {
                    let squared = self.squared(point, self.points[index]);
                    if squared < best {
                        (best, *last) = (squared, Some(index));
                    }
                }
            }
        }
        best
    }

    /// Returns the squared distance in mm², from differences of indices, so that equal offsets have equal lengths.
    fn squared(&self, a: [usize; 3], b: [usize; 3]) -> f64 {
        let side = |axis: usize| a[axis].abs_diff(b[axis]) as f64 * self.spacing[axis];
        side(0) * side(0) + side(1) * side(1) + side(2) * side(2)
    }
}

impl Bounds {
    fn from_point(position: [f64; 3]) -> Self {
        Self { first: 0, end: 0, low: position, high: position }
    }

    /// Returns the bounding box of a list from `first` on; `None` if that is empty.
    fn around(list: &[Bounds], first: usize) -> Option<Self> {
        let (low, high) = list[first..].iter().map(|bounds| (bounds.low, bounds.high)).reduce(|a, b| {
            let low = std::array::from_fn(|axis| a.0[axis].min(b.0[axis]));
            (low, std::array::from_fn(|axis| a.1[axis].max(b.1[axis])))
        })?;
        Some(Self { first, end: list.len(), low, high })
    }

    /// Returns whether the whole box is farther from a position than a squared distance.
    fn is_beyond(&self, position: [f64; 3], squared: f64) -> bool {
        let outside =
            |axis: usize| (self.low[axis] - position[axis]).max(position[axis] - self.high[axis]).max(0.0).powi(2);
        // The tolerance covers rounding, so that no box is skipped by mistake.
        (outside(0) + outside(1) + outside(2)) * (1.0 - 1e-9) > squared
    }
}

/// Returns the first points of the boxes of this side that tile a box.
fn boxes(start: [usize; 3], end: [usize; 3], side: usize) -> impl Iterator<Item = [usize; 3]> {
    let along = move |axis: usize| (start[axis]..end[axis]).step_by(side);
    along(0).flat_map(move |x| along(1).flat_map(move |y| along(2).map(move |z| [x, y, z])))
}

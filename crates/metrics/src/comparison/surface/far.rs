//! The points of a set in blocks of blocks, for distances to points far away.

use super::bits::Bits;

/// Points along each side of a block.
const BLOCK: usize = 8;

/// Points along each side of a group of blocks; a multiple of those of a block.
const GROUP: usize = 64;

/// Points of a set, block by block and group by group.
pub struct Blocks {
    points: Vec<[usize; 3]>,
    /// Each with the range of its points.
    blocks: Vec<Bounds>,
    /// Each with the range of its blocks.
    groups: Vec<Bounds>,
    spacing: [f64; 3],
}

/// The smallest box in mm that holds what lies in a range of a list.
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
                let places = set.places_in_eight(x, y, start[2]);
                self.points.extend(places.map(|z| [x, y, z]));
            }
        }
        let points = &self.points[first..];
        let place = |point: &[usize; 3]| std::array::from_fn(|axis| point[axis] as f64 * self.spacing[axis]);
        let places: Vec<Bounds> = points.iter().map(|point| Bounds::of_place(place(point))).collect();
        if let Some(bounds) = Bounds::around(&places, 0) {
            self.blocks.push(Bounds { first, end: self.points.len(), ..bounds });
        }
    }

    /// The squared distance in mm² from a point to the nearest of the set, if it is below `best`, or `best`.
    ///
    /// `last` is the index of the nearest of a point close by, and becomes that of this point: it bounds the distance.
    pub fn nearest(&self, point: [usize; 3], mut best: f64, last: &mut Option<usize>) -> f64 {
        if let Some(index) = *last {
            best = best.min(self.squared(point, self.points[index]));
        }
        let place: [f64; 3] = std::array::from_fn(|axis| point[axis] as f64 * self.spacing[axis]);
        for group in &self.groups {
            if group.is_beyond(place, best) {
                continue;
            }
            for block in &self.blocks[group.first..group.end] {
                if block.is_beyond(place, best) {
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

    /// From differences of indices, so that equal ways have equal lengths.
    fn squared(&self, a: [usize; 3], b: [usize; 3]) -> f64 {
        let side = |axis: usize| a[axis].abs_diff(b[axis]) as f64 * self.spacing[axis];
        side(0) * side(0) + side(1) * side(1) + side(2) * side(2)
    }
}

impl Bounds {
    fn of_place(place: [f64; 3]) -> Self {
        Self { first: 0, end: 0, low: place, high: place }
    }

    /// What holds all of a list from `first` on; `None` where that is nothing.
    fn around(list: &[Bounds], first: usize) -> Option<Self> {
        let (low, high) = list[first..].iter().map(|bounds| (bounds.low, bounds.high)).reduce(|a, b| {
            let low = std::array::from_fn(|axis| a.0[axis].min(b.0[axis]));
            (low, std::array::from_fn(|axis| a.1[axis].max(b.1[axis])))
        })?;
        Some(Self { first, end: list.len(), low, high })
    }

    /// Whether everything in the box is farther from a place than a squared distance.
    fn is_beyond(&self, place: [f64; 3], squared: f64) -> bool {
        let outside = |axis: usize| (self.low[axis] - place[axis]).max(place[axis] - self.high[axis]).max(0.0).powi(2);
        // Rounding must leave no box out.
        (outside(0) + outside(1) + outside(2)) * (1.0 - 1e-9) > squared
    }
}

/// The first points of the boxes with this side that a box falls into.
fn boxes(start: [usize; 3], end: [usize; 3], side: usize) -> impl Iterator<Item = [usize; 3]> {
    let along = move |axis: usize| (start[axis]..end[axis]).step_by(side);
    along(0).flat_map(move |x| along(1).flat_map(move |y| along(2).map(move |z| [x, y, z])))
}

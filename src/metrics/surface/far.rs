//! The points of a set in blocks, for distances to points far away.

use super::bits::Bits;

/// Points along each side of a block.
const SIDE: usize = 8;

/// Points of a set, block by block.
pub struct Blocks {
    points: Vec<[usize; 3]>,
    blocks: Vec<Block>,
    spacing: [f64; 3],
}

/// Some of the points, and the smallest box that holds them.
struct Block {
    first: usize,
    end: usize,
    low: [f64; 3],
    high: [f64; 3],
}

impl Blocks {
    /// Sorts the points of a set into blocks.
    pub fn new(set: &Bits, spacing: [f64; 3]) -> Self {
        let [size_x, size_y, _] = set.shape;
        let rows = (0..size_x).flat_map(|x| (0..size_y).map(move |y| (x, y)));
        let mut points: Vec<[usize; 3]> = rows.flat_map(|(x, y)| set.places(x, y).map(move |z| [x, y, z])).collect();
        points.sort_by_key(block_of);
        let mut blocks = Vec::new();
        let mut first = 0;
        for block in points.chunk_by(|a, b| block_of(a) == block_of(b)) {
            let (mut low, mut high) = ([f64::INFINITY; 3], [0.0f64; 3]);
            for point in block {
                for axis in 0..3 {
                    let place = point[axis] as f64 * spacing[axis];
                    low[axis] = low[axis].min(place);
                    high[axis] = high[axis].max(place);
                }
            }
            blocks.push(Block { first, end: first + block.len(), low, high });
            first += block.len();
        }
        Self { points, blocks, spacing }
    }

    /// The squared distance in mm² from a point to the nearest of the set, if it is below `best`, or `best`.
    ///
    /// `last` is the index of the nearest of a point close by, and becomes that of this point: it bounds the distance.
    pub fn nearest(&self, point: [usize; 3], mut best: f64, last: &mut Option<usize>) -> f64 {
        if let Some(index) = *last {
            best = best.min(self.squared(point, self.points[index]));
        }
        let place: [f64; 3] = std::array::from_fn(|axis| point[axis] as f64 * self.spacing[axis]);
        for block in &self.blocks {
            // A little less than the distance to the box, so that rounding leaves no block out.
            if block.squared(place) * (1.0 - 1e-9) > best {
                continue;
            }
            for index in block.first..block.end {
                let squared = self.squared(point, self.points[index]);
                if squared < best {
                    (best, *last) = (squared, Some(index));
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

impl Block {
    /// The squared distance from a place to the box.
    fn squared(&self, place: [f64; 3]) -> f64 {
        let mut squared = 0.0;
        for axis in 0..3 {
            let outside = (self.low[axis] - place[axis]).max(place[axis] - self.high[axis]).max(0.0);
            squared += outside * outside;
        }
        squared
    }
}

fn block_of(point: &[usize; 3]) -> [usize; 3] {
    point.map(|place| place / SIDE)
}

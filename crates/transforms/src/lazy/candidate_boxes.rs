//! Candidate boxes: the inverse of an index mapping, as boxes of outgoing voxels around each source voxel.

use std::sync::Arc;

use super::index_mapping::IndexMapping;
use crate::ElasticDisplacement;
use volume::Affine;

/// For each source voxel, a box that contains every outgoing voxel with that source; all have the same shape.
#[derive(Clone, Debug)]
pub struct CandidateBoxes {
    inverse: Affine,
    /// The displacements in the order from source to output: each field, with the inverse of the map to its grid.
    displacements: Vec<(Arc<ElasticDisplacement>, Affine)>,
    /// From source to outgoing indices without displacements, and half the size of a box that allows for them.
    affine: Affine,
    loose_half: [f64; 3],
    half: [f64; 3],
    /// Voxels of each box along x, y and z.
    pub shape: [usize; 3],
}

/// Iterations after which a fixed-point iteration counts as divergent.
const MAX_ITERATIONS: usize = 200;

/// Boxes with more voxels along an axis are not worth sampling from.
const MAX_BOX_VOXELS: f64 = 8.0;

impl CandidateBoxes {
    /// Inverts a mapping; `None` if it is singular or its displacements are so steep that they may fold.
    pub fn new(mapping: &IndexMapping) -> Option<Self> {
        let inverse = mapping.map.inverse()?;
        let mut half = half_size_under(&inverse, [0.5; 3]);
        let (mut affine, mut loose_half) = (inverse, half);
        let mut displacements = Vec::with_capacity(mapping.displacements.len());
        for step in mapping.displacements.iter().rev() {
            half = half_size_before(step.field.slopes(), half)?;
            let inverse = step.map.inverse()?;
            half = half_size_under(&inverse, half);
            let farthest = step.field.max_displacement();
            loose_half = half_size_under(&inverse, std::array::from_fn(|axis| loose_half[axis] + farthest[axis]));
            affine = inverse.after(&affine);
            displacements.push((Arc::clone(&step.field), inverse));
        }
        // Fields are inverted to a thousandth of a voxel, which steep ones magnify.
        let tolerance = if displacements.is_empty() { 1e-6 } else { 1e-2 };
        let half = half.map(|half| half + tolerance);
        let loose_half = loose_half.map(|half| half + tolerance);
        let shape = half.map(|half| (2.0 * half).floor() as usize + 1);
        Some(Self { inverse, displacements, affine, loose_half, half, shape })
    }

    /// Returns whether the mapping has no displacements, so that every box is cheap to compute.
    pub fn is_affine(&self) -> bool {
        self.displacements.is_empty()
    }

    /// Returns the first outgoing index of the box of `source`; the box may extend past the grid.
    pub fn start(&self, source: [usize; 3]) -> [i64; 3] {
        let mut centre = self.inverse.apply(source.map(|index| index as f64));
        for (field, inverse) in &self.displacements {
            centre = inverse.apply(invert(field, centre));
        }
        std::array::from_fn(|axis| (centre[axis] - self.half[axis]).ceil() as i64)
    }

    /// Returns the first and the last outgoing index whose source may be in a box of source voxels, given by its first
    /// and last voxel; a loose bound if there are displacements.
    pub fn bounds(&self, low: [usize; 3], high: [usize; 3]) -> ([i64; 3], [i64; 3]) {
        let (low, high) = self.affine.map_box(low.map(|index| index as f64), high.map(|index| index as f64));
        (
            std::array::from_fn(|axis| (low[axis] - self.loose_half[axis]).ceil() as i64),
            std::array::from_fn(|axis| (high[axis] + self.loose_half[axis]).floor() as i64),
        )
    }
}

/// Returns half the size of a box that contains the image of a box of half that size.
fn half_size_under(map: &Affine, half: [f64; 3]) -> [f64; 3] {
    map.linear().map(|row| row.iter().zip(half).map(|(value, half)| value.abs() * half).sum())
}

/// Returns half the size of a box of points that a field may displace into a box: the fixed point of
/// `h = half + slopes h`, or `None` where it diverges.
fn half_size_before(slopes: [[f64; 3]; 3], half: [f64; 3]) -> Option<[f64; 3]> {
    let mut wide = half;
    for _ in 0..MAX_ITERATIONS {
        let next: [f64; 3] =
            std::array::from_fn(|axis| half[axis] + (0..3).map(|along| slopes[axis][along] * wide[along]).sum::<f64>());
        if (0..3).all(|axis| next[axis] - wide[axis] < 1e-6) {
            return (next.iter().all(|half| *half < MAX_BOX_VOXELS)).then_some(next);
        }
        wide = next;
    }
    None
}

/// Returns the point that a field displaces to `target`.
fn invert(field: &ElasticDisplacement, target: [f64; 3]) -> [f64; 3] {
    let mut point = target;
    for _ in 0..MAX_ITERATIONS {
        let displacement = field.at(point);
        let next: [f64; 3] = std::array::from_fn(|axis| target[axis] - displacement[axis]);
        let has_converged = (0..3).all(|axis| (next[axis] - point[axis]).abs() < 1e-3);
        point = next;
        if has_converged {
            break;
        }
    }
    point
}

//! A map of weights, from which voxels are drawn.

use std::sync::Arc;

use volume::{Voxels, offset, unravel_index};

/// Refuses maps from which no voxel can be drawn.
///
/// # Errors
/// When a weight of the map `[1, x, y, z]` is negative or not finite, or all are 0.
pub fn check_weights(map: &Voxels<f32>) -> Result<(), String> {
    if let Some(place) = map.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        let voxel = unravel_index(map.shape, place);
        return Err(format!("voxel {voxel:?} has the weight {}, expected a finite number of at least 0", map[place]));
    }
    if map.iter().all(|weight| *weight == 0.0) {
        return Err("every weight is 0, so no patch can be drawn".to_owned());
    }
    Ok(())
}

/// Non-negative weights of voxels, with their sums row by row. To clone it copies none.
///
/// A voxel is drawn by a binary search for its row along z and a walk along that row, so beside the map,
/// which is shared, one number a row is kept.
#[derive(Clone, Debug)]
pub struct WeightIndex {
    weights: Voxels<f32>,
    up_to: CumulativeRowSums,
}

/// For each row of a map of weights, the sum of all rows up to and with it.
pub type CumulativeRowSums = Arc<[f64]>;

/// Looks at each weight of a map `[1, x, y, z]` once.
pub fn cumulative_row_sums(weights: &Voxels<f32>) -> CumulativeRowSums {
    let mut sum = 0.0;
    let rows = weights.chunks_exact(weights.shape[2]);
    let up_to = rows.map(|row| {
        sum += row.iter().copied().map(f64::from).sum::<f64>();
        sum
    });
    up_to.collect()
}

impl WeightIndex {
    /// Looks at each weight of a map `[1, x, y, z]` once. The map itself is shared, not copied.
    pub fn new(weights: Voxels<f32>) -> Self {
        Self { up_to: cumulative_row_sums(&weights), weights }
    }

    /// A map whose sums are known.
    pub fn with_sums(weights: Voxels<f32>, up_to: CumulativeRowSums) -> Self {
        Self { weights, up_to }
    }

    /// The weight of a voxel.
    pub fn weight(&self, voxel: [usize; 3]) -> f64 {
        f64::from(self.weights[offset(self.weights.shape, voxel)])
    }

    /// The sum of all weights.
    pub fn total(&self) -> f64 {
        self.up_to.last().copied().unwrap_or(0.0)
    }

    /// The voxel at which the running sum of the weights, z fastest, exceeds a share of the total; it has a weight above 0.
    ///
    /// With a share drawn evenly from `[0, 1)` voxels are drawn in proportion to their weights.
    ///
    /// # Panics
    /// When all weights are 0.
    pub fn at_share(&self, share: f64) -> [usize; 3] {
        let wanted = share * self.total();
        // Rounding may put the sum at the total itself; the last row with a weight is meant then.
        let row = self.up_to.partition_point(|sum| *sum <= wanted).min(self.last_row());
        let [_, size_y, size_z] = self.weights.shape;
        let mut left = wanted - if row == 0 { 0.0 } else { self.up_to[row - 1] };
        let mut found = None;
        for (z, weight) in self.weights[row * size_z..(row + 1) * size_z].iter().enumerate() {
            if *weight > 0.0 {
                found = Some([row / size_y, row % size_y, z]);
                left -= f64::from(*weight);
                if left < 0.0 {
                    break;
                }
            }
        }
        found.expect("a row that adds to the sum has a weight above 0")
    }

    /// The last row with a weight above 0: the first to reach the total.
    fn last_row(&self) -> usize {
        self.up_to.partition_point(|sum| *sum < self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> WeightIndex {
        WeightIndex::new(Voxels::new(1, [1, 4, 2], vec![0.0, 1.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0]))
    }

    #[test]
    fn a_share_of_the_total_falls_on_the_voxel_that_holds_it() {
        let index = index();
        assert_eq!((index.total(), index.weight([0, 2, 0])), (4.0, 2.0));
        let found = [0.0, 0.2, 0.25, 0.5, 0.74, 0.75, 0.999].map(|share| index.at_share(share));
        assert_eq!(found, [[0, 0, 1], [0, 0, 1], [0, 2, 0], [0, 2, 0], [0, 2, 0], [0, 2, 1], [0, 2, 1]]);
    }

    #[test]
    fn a_share_that_rounds_up_to_one_falls_on_the_last_weight() {
        assert_eq!(index().at_share(1.0), [0, 2, 1]);
    }
}

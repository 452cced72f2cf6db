//! Weight maps, from which voxels are sampled.

use std::sync::Arc;

use volume::{Voxels, offset, unravel_index};

/// Checks the weights of a map `[1, x, y, z]`.
///
/// # Errors
/// When a weight is negative or not finite, or all are 0.
pub fn check_weights(map: &Voxels<f32>) -> Result<(), String> {
    if let Some(position) = map.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        let voxel = unravel_index(map.shape, position);
        return Err(format!(
            "voxel {voxel:?} has the weight {}, expected a finite number of at least 0",
            map[position]
        ));
    }
    if map.iter().all(|weight| *weight == 0.0) {
        return Err("every weight is 0".to_owned());
    }
    Ok(())
}

/// A map of non-negative weights with the cumulative sums of its rows along z. Clones share both.
///
/// Sampling a voxel takes a binary search for its row and a pass along that row, so the index is one number per row.
#[derive(Clone, Debug)]
pub struct WeightIndex {
    weights: Voxels<f32>,
    row_sums: CumulativeRowSums,
}

/// For each row of a weight map, the sum of all rows up to and including it.
pub type CumulativeRowSums = Arc<[f64]>;

/// Computes the sums of a map `[1, x, y, z]` in one pass.
pub fn cumulative_row_sums(weights: &Voxels<f32>) -> CumulativeRowSums {
    let mut sum = 0.0;
    let rows = weights.chunks_exact(weights.shape[2]);
    let row_sums = rows.map(|row| {
        sum += row.iter().copied().map(f64::from).sum::<f64>();
        sum
    });
    row_sums.collect()
}

impl WeightIndex {
    /// Indexes a map `[1, x, y, z]` in one pass. The map itself is shared, not copied.
    pub fn new(weights: Voxels<f32>) -> Self {
        Self { row_sums: cumulative_row_sums(&weights), weights }
    }

    /// Returns an index with known sums.
    pub fn with_sums(weights: Voxels<f32>, row_sums: CumulativeRowSums) -> Self {
        Self { weights, row_sums }
    }

    /// Returns the weight of a voxel.
    pub fn weight(&self, voxel: [usize; 3]) -> f64 {
        f64::from(self.weights[offset(self.weights.shape, voxel)])
    }

    /// Returns the sum of all weights.
    pub fn total(&self) -> f64 {
        self.row_sums.last().copied().unwrap_or(0.0)
    }

    /// Returns the voxel at which the cumulative sum of the weights, z fastest, exceeds a fraction of the total; its weight
    /// is above 0.
    ///
    /// With a fraction distributed uniformly in `[0, 1)`, voxels are sampled in proportion to their weights.
    ///
    /// # Panics
    /// When all weights are 0.
    pub fn voxel_at_quantile(&self, fraction: f64) -> [usize; 3] {
        let target = fraction * self.total();
        // If rounding makes the target the total itself, take the last row with a weight.
        let row = self.row_sums.partition_point(|sum| *sum <= target).min(self.last_row());
        let [_, size_y, size_z] = self.weights.shape;
        let mut left = target - if row == 0 { 0.0 } else { self.row_sums[row - 1] };
        let mut voxel = None;
        for (z, weight) in self.weights[row * size_z..(row + 1) * size_z].iter().enumerate() {
            if *weight > 0.0 {
                voxel = Some([row / size_y, row % size_y, z]);
                left -= f64::from(*weight);
                if left < 0.0 {
                    break;
                }
            }
        }
        voxel.expect("a row that adds to the sum has a weight above 0")
    }

    /// Returns the last row with a weight above 0: the first whose sum is the total.
    fn last_row(&self) -> usize {
        self.row_sums.partition_point(|sum| *sum < self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> WeightIndex {
        WeightIndex::new(Voxels::new(1, [1, 4, 2], vec![0.0, 1.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0]))
    }

    #[test]
    fn a_fraction_of_the_total_selects_the_voxel_whose_weight_covers_it() {
        let index = index();
        assert_eq!((index.total(), index.weight([0, 2, 0])), (4.0, 2.0));
        let voxels = [0.0, 0.2, 0.25, 0.5, 0.74, 0.75, 0.999].map(|fraction| index.voxel_at_quantile(fraction));
        assert_eq!(voxels, [[0, 0, 1], [0, 0, 1], [0, 2, 0], [0, 2, 0], [0, 2, 0], [0, 2, 1], [0, 2, 1]]);
    }

    #[test]
    fn a_fraction_that_rounds_up_to_1_selects_the_last_weight() {
        assert_eq!(index().voxel_at_quantile(1.0), [0, 2, 1]);
    }
}

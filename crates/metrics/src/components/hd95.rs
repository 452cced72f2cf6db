//! 95th percentile of the Hausdorff distance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::class_scorer::ClassScorer;
use crate::comparison::{LabelComparison, Surfel};
use crate::{Better, Regions, Unit};
use volume::Label;

/// 95th percentile of the Hausdorff distance: the 95th percentile of the distances in mm between the surfaces of a class,
/// which is robust to a few outlying voxels.
///
/// ```yaml
/// - hd95: { variant: monai }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hd95Metric")]
pub struct Hd95 {
    /// The implementation to reproduce: `monai`, `deepmind` or `medpy`; they often differ by 10 %. Default: `monai`.
    #[serde(default)]
    pub variant: Hd95Variant,
    /// Named unions of labels to score in addition to the labels, such as `{ whole_liver: [1, 2] }`. Default: none.
    #[serde(default)]
    pub regions: Regions,
}

/// The implementation of the 95th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hd95Variant {
    /// MONAI 1.6.1, `compute_hausdorff_distance(percentile=95)`: the larger of two percentiles, one for each direction,
    /// of distances between voxels. Undefined if a mask is empty.
    #[default]
    Monai,
    /// DeepMind's surface-distance 0.1, `compute_robust_hausdorff(95)`: the larger of two percentiles of distances
    /// between the corners of voxels, each weighted by the area of its surface element. Infinite if a mask is empty.
    Deepmind,
    /// MedPy 0.5.2, `hd95`: one percentile of the distances of both directions. Undefined if a mask is empty, where MedPy
    /// raises an error.
    Medpy,
}

impl ClassScorer for Hd95 {
    fn regions(&self) -> &Regions {
        &self.regions
    }

    fn title() -> &'static str {
        "HD95"
    }

    fn better() -> Better {
        Better::Lower
    }

    fn unit(&self) -> Unit {
        Unit::Millimetres
    }

    fn score_class(&self, comparison: &mut LabelComparison, class: &[Label]) -> Option<f64> {
        match self.variant {
            Hd95Variant::Monai => {
                let edges = comparison.edges(class);
                Some(single_percentile(&edges.from_prediction)?.max(single_percentile(&edges.from_truth)?))
            }
            Hd95Variant::Medpy => {
                let edges = comparison.edges(class);
                let is_empty = edges.from_prediction.is_empty() || edges.from_truth.is_empty();
                (!is_empty).then(|| percentile(edges.both().collect()))
            }
            Hd95Variant::Deepmind => {
                let surfels = comparison.surfels(class);
                let side = weighted_percentile;
                let (one, other) = rayon::join(|| side(&surfels.from_prediction), || side(&surfels.from_truth));
                Some(one.max(other))
            }
        }
    }
}

/// Returns the percentile as NumPy does: linear interpolation between the two nearest ranks.
fn percentile(mut distances: Vec<f64>) -> f64 {
    let rank = 0.95 * (distances.len() - 1) as f64;
    let (low, high) = around(&mut distances, rank as usize, f64::total_cmp);
    let weight = rank.fract();
    // Interpolates from the nearer end, as NumPy does.
    if weight < 0.5 { low + (high - low) * weight } else { high - (high - low) * (1.0 - weight) }
}

/// Returns the percentile as PyTorch does, with the rank in single precision too, which matters for many distances. `None`
/// if there are no distances or the percentile is infinite.
fn single_percentile(distances: &[f64]) -> Option<f64> {
    let mut distances: Vec<f32> = distances.iter().map(|distance| *distance as f32).collect();
    let last = distances.len().checked_sub(1)?;
    let rank = 0.95 * last as f32;
    let (low, high) = around(&mut distances, rank as usize, f32::total_cmp);
    let weight = rank.fract();
    let high = if weight == 0.0 { low } else { high };
    let between = if weight < 0.5 { low + weight * (high - low) } else { high - (high - low) * (1.0 - weight) };
    between.is_finite().then(|| f64::from(between))
}

/// Returns the numbers of this rank and of the next one; for the last rank, the same number twice.
fn around<T: Copy>(numbers: &mut [T], rank: usize, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> (T, T) {
    let (_, low, above) = numbers.select_nth_unstable_by(rank, &order);
    let low = *low;
    (low, above.iter().copied().min_by(&order).unwrap_or(low))
}

/// Returns the smallest distance that at least 95 % of the area do not exceed; infinite without surface.
fn weighted_percentile(surfels: &[Surfel]) -> f64 {
    let mut surfels = surfels.to_vec();
    surfels.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.area.total_cmp(&b.area)));
    let whole: f64 = surfels.iter().map(|surfel| surfel.area).sum();
    let mut area = 0.0;
    let reached = surfels.iter().find(|surfel| {
        area += surfel.area;
        area / whole >= 0.95
    });
    reached.or(surfels.last()).map_or(f64::INFINITY, |surfel| surfel.distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_interpolated() {
        let distances: Vec<f64> = (0..11).rev().map(f64::from).collect();
        assert_eq!(percentile(distances.clone()), 9.5);
        assert_eq!(single_percentile(&distances), Some(9.5));
    }

    #[test]
    fn the_percentile_of_one_distance_is_that_distance() {
        assert_eq!((percentile(vec![3.0]), single_percentile(&[3.0])), (3.0, Some(3.0)));
    }

    #[test]
    fn infinite_or_no_distances_have_no_percentile_in_monai() {
        assert_eq!((single_percentile(&[f64::INFINITY; 3]), single_percentile(&[])), (None, None));
    }

    #[test]
    fn surface_elements_are_weighted_by_area() {
        let surfel = |distance, area| Surfel { distance, area };
        assert_eq!(weighted_percentile(&[surfel(7.0, 4.0), surfel(1.0, 96.0)]), 1.0);
        assert_eq!(weighted_percentile(&[surfel(7.0, 6.0), surfel(1.0, 94.0)]), 7.0);
        assert_eq!(weighted_percentile(&[]), f64::INFINITY);
    }
}

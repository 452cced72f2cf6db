//! Exact distances from the points of one set to the nearest points of another.
//!
//! Compared surfaces are mostly close together. Rows of the other set are searched from the nearest outwards, up to the
//! first row that is farther away than the nearest point so far. Points without a result after a number of rows are
//! searched in bounding boxes ([`super::far`]).

use rayon::prelude::*;

use super::bits::{Bits, gap};
use super::far::Blocks;

/// Rows around a point that are searched before bounding boxes.
const NEAR_ROWS: usize = 200;

/// A row relative to that of a point.
struct RowOffset {
    x: isize,
    y: isize,
    /// The squared distance to it in mm².
    squared: f64,
}

/// A point whose search is unfinished.
struct Unfinished {
    /// Its index among the distances of its slab.
    index: usize,
    point: [usize; 3],
    /// The smallest squared distance so far.
    squared: f64,
}

/// Returns the distance in mm of each of `points`, in order, to the nearest of `others` in the same box; infinite if there
/// is none.
pub fn distances(points: &Bits, others: &Bits, spacing: [f64; 3]) -> Vec<f64> {
    if others.is_empty() {
        return vec![f64::INFINITY; points.points().count()];
    }
    let rows = nearest_rows(points.shape, spacing);
    let slabs: Vec<(Vec<f64>, Vec<Unfinished>)> =
        (0..points.shape[0]).into_par_iter().map(|x| near(points, others, spacing, &rows, x)).collect();
    let blocks = slabs.iter().any(|(_, unfinished)| !unfinished.is_empty()).then(|| Blocks::new(others, spacing));
    let resolved = slabs.into_par_iter().flat_map_iter(|(mut squared, unfinished)| {
        let mut last = None;
        for Unfinished { index, point, squared: best } in unfinished {
            let blocks = blocks.as_ref().expect("blocks are built if a search is unfinished");
            squared[index] = blocks.nearest(point, best, &mut last);
        }
        squared.into_iter().map(f64::sqrt)
    });
    resolved.collect()
}

/// Searches near rows for the points of a slab; returns squared distances and unfinished points.
fn near(points: &Bits, others: &Bits, spacing: [f64; 3], rows: &[RowOffset], x: usize) -> (Vec<f64>, Vec<Unfinished>) {
    let mut distances = Vec::new();
    let mut unfinished = Vec::new();
    for point in points.slab(x) {
        let (squared, is_final) = near_point(others, spacing[2], rows, point);
        if !is_final {
            unfinished.push(Unfinished { index: distances.len(), point, squared });
        }
        distances.push(squared);
    }
    (distances, unfinished)
}

/// Returns the smallest squared distance in the near rows, and whether no other row can be nearer.
#[inline]
fn near_point(others: &Bits, spacing_z: f64, rows: &[RowOffset], [x, y, z]: [usize; 3]) -> (f64, bool) {
    let mut best = f64::INFINITY;
    for row in rows {
        if row.squared >= best {
            return (best, true);
        }
        let (Some(x), Some(y)) = (x.checked_add_signed(row.x), y.checked_add_signed(row.y)) else { continue };
        if x < others.shape[0]
            && y < others.shape[1]
            && let Some(gap) = gap(others.row(x, y), z)
        {
            let along = gap as f64 * spacing_z;
            best = best.min(row.squared + along * along);
        }
    }
    (best, false)
}

/// Returns the nearest rows around a row in order of distance, at most [`NEAR_ROWS`].
fn nearest_rows(shape: [usize; 3], spacing: [f64; 3]) -> Vec<RowOffset> {
    // A disc of twice the required area, because its rim is ragged.
    let radius = (2.0 * NEAR_ROWS as f64 * spacing[0] * spacing[1] / std::f64::consts::PI).sqrt();
    let reach = [0, 1].map(|axis| ((radius / spacing[axis]) as isize).min(shape[axis] as isize - 1));
    let mut rows = Vec::new();
    for x in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            let (side, other) = (x as f64 * spacing[0], y as f64 * spacing[1]);
            let squared = side * side + other * other;
            if squared <= radius * radius {
                rows.push(RowOffset { x, y, squared });
            }
        }
    }
    rows.sort_by(|a, b| a.squared.total_cmp(&b.squared));
    rows.truncate(NEAR_ROWS);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};
    use volume::Label;

    const SHAPE: [usize; 3] = [30, 25, 150];

    /// Random voxels of a box, each with a probability of one in `rarity`.
    fn speckles(index: u64, start: [usize; 3], end: [usize; 3], rarity: u64) -> Bits {
        let mut rng = Seed(5).stream(Purpose::Sample, 0, "speckles", index);
        let mut labels = vec![0; SHAPE.iter().product()];
        for x in start[0]..end[0] {
            for y in start[1]..end[1] {
                for z in start[2]..end[2] {
                    labels[(x * SHAPE[1] + y) * SHAPE[2] + z] = Label::from(rng.below(rarity) == 0);
                }
            }
        }
        Bits::from_class(&labels, SHAPE, &SHAPE.map(|size| 0..size), &[1])
    }

    fn assert_equal_to_brute_force(points: &Bits, others: &Bits) {
        let spacing = [0.7, 1.3, 0.9];
        let actual = distances(points, others, spacing);
        assert!(actual.len() > 20);
        for (point, actual) in points.points().zip(actual) {
            let squared = others.points().map(|other| {
                let side = |axis: usize| (point[axis].abs_diff(other[axis]) as f64 * spacing[axis]).powi(2);
                side(0) + side(1) + side(2)
            });
            assert_eq!(actual, squared.fold(f64::INFINITY, f64::min).sqrt(), "{point:?}");
        }
    }

    #[test]
    fn distances_between_speckles_are_those_of_a_brute_force_search() {
        assert_equal_to_brute_force(&speckles(0, [0; 3], SHAPE, 400), &speckles(1, [0; 3], SHAPE, 50));
        assert_equal_to_brute_force(&speckles(2, [0; 3], SHAPE, 400), &speckles(3, [0; 3], SHAPE, 5000));
    }

    #[test]
    fn distances_to_far_points_are_those_of_a_brute_force_search() {
        let (near, far) = (speckles(4, [0; 3], [4, 5, 20], 5), speckles(5, [26, 20, 100], SHAPE, 20));
        assert_equal_to_brute_force(&near, &far);
        assert_equal_to_brute_force(&far, &near);
    }

    #[test]
    fn distances_to_an_empty_set_are_infinite() {
        let empty = speckles(6, [0; 3], [0; 3], 1);
        let actual = distances(&speckles(7, [0; 3], [2, 2, 9], 1), &empty, [1.0; 3]);
        assert_eq!(actual, [f64::INFINITY; 36]);
        assert!(distances(&empty, &empty, [1.0; 3]).is_empty());
    }
}

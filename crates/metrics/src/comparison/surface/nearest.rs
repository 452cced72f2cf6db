//! Exact distances from the points of one set to the nearest of another.
//!
//! Surfaces that are compared mostly lie close together. So rows of the other set are looked at from the nearest
//! outwards, and the search ends at the first row that is farther away than the best point. Points that few rows do not
//! settle go on in blocks of points ([`super::far`]).

use rayon::prelude::*;

use super::bits::{Bits, gap};
use super::far::Blocks;

/// Rows that are looked at around a point before its search goes on in blocks.
const NEAR_ROWS: usize = 200;

/// A row beside the one of a point.
struct Beside {
    x: isize,
    y: isize,
    /// mm² to it.
    squared: f64,
}

/// A point whose search is not over, and the best distance so far.
struct Open {
    /// Its place among the distances of its slab.
    index: usize,
    point: [usize; 3],
    squared: f64,
}

/// The distance in mm of each of `points`, in order, to the nearest of `others` in the same box; infinite where there is none.
pub fn distances(points: &Bits, others: &Bits, spacing: [f64; 3]) -> Vec<f64> {
    if others.is_empty() {
        return vec![f64::INFINITY; points.points().count()];
    }
    let beside = rows_beside(points.shape, spacing);
    let slabs: Vec<(Vec<f64>, Vec<Open>)> =
        (0..points.shape[0]).into_par_iter().map(|x| near(points, others, spacing, &beside, x)).collect();
    let blocks = slabs.iter().any(|(_, open)| !open.is_empty()).then(|| Blocks::new(others, spacing));
    let resolved = slabs.into_par_iter().flat_map_iter(|(mut squared, open)| {
        let mut last = None;
        for Open { index, point, squared: best } in open {
            let blocks = blocks.as_ref().expect("they are made where a search is not over");
            squared[index] = blocks.nearest(point, best, &mut last);
        }
        squared.into_iter().map(f64::sqrt)
    });
    resolved.collect()
}

/// The squared distances of the points of a slab as far as near rows tell, and the points for which they do not.
fn near(points: &Bits, others: &Bits, spacing: [f64; 3], beside: &[Beside], x: usize) -> (Vec<f64>, Vec<Open>) {
    let mut found = Vec::new();
    let mut open = Vec::new();
    for point in points.slab(x) {
        let (squared, is_settled) = near_point(others, spacing[2], beside, point);
        if !is_settled {
            open.push(Open { index: found.len(), point, squared });
        }
        found.push(squared);
    }
    (found, open)
}

/// The best squared distance in the near rows, and whether no other row can be better.
#[inline]
fn near_point(others: &Bits, spacing_z: f64, beside: &[Beside], [x, y, z]: [usize; 3]) -> (f64, bool) {
    let mut best = f64::INFINITY;
    for row in beside {
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

/// The nearest rows around a row, from the nearest; all of the box if it has few.
fn rows_beside(shape: [usize; 3], spacing: [f64; 3]) -> Vec<Beside> {
    // A disc of twice the area that is wanted, for its rim is ragged.
    let radius = (2.0 * NEAR_ROWS as f64 * spacing[0] * spacing[1] / std::f64::consts::PI).sqrt();
    let reach = [0, 1].map(|axis| ((radius / spacing[axis]) as isize).min(shape[axis] as isize - 1));
    let mut rows = Vec::new();
    for x in -reach[0]..=reach[0] {
        for y in -reach[1]..=reach[1] {
            let (side, other) = (x as f64 * spacing[0], y as f64 * spacing[1]);
            let squared = side * side + other * other;
            if squared <= radius * radius {
                rows.push(Beside { x, y, squared });
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

    /// Voxels of a box, each taken with a chance of one in `rarity`.
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
        Bits::of_class(&labels, SHAPE, &SHAPE.map(|size| 0..size), &[1])
    }

    fn hold(points: &Bits, others: &Bits) {
        let spacing = [0.7, 1.3, 0.9];
        let found = distances(points, others, spacing);
        assert!(found.len() > 20);
        for (point, found) in points.points().zip(found) {
            let squared = others.points().map(|other| {
                let side = |axis: usize| (point[axis].abs_diff(other[axis]) as f64 * spacing[axis]).powi(2);
                side(0) + side(1) + side(2)
            });
            assert_eq!(found, squared.fold(f64::INFINITY, f64::min).sqrt(), "{point:?}");
        }
    }

    #[test]
    fn distances_among_speckles_are_the_smallest_of_all() {
        hold(&speckles(0, [0; 3], SHAPE, 400), &speckles(1, [0; 3], SHAPE, 50));
        hold(&speckles(2, [0; 3], SHAPE, 400), &speckles(3, [0; 3], SHAPE, 5000));
    }

    #[test]
    fn distances_to_what_lies_far_away_are_the_smallest_of_all() {
        let (near, far) = (speckles(4, [0; 3], [4, 5, 20], 5), speckles(5, [26, 20, 100], SHAPE, 20));
        hold(&near, &far);
        hold(&far, &near);
    }

    #[test]
    fn distances_to_nothing_are_infinite() {
        let nothing = speckles(6, [0; 3], [0; 3], 1);
        let found = distances(&speckles(7, [0; 3], [2, 2, 9], 1), &nothing, [1.0; 3]);
        assert_eq!(found, [f64::INFINITY; 36]);
        assert!(distances(&nothing, &nothing, [1.0; 3]).is_empty());
    }
}

//! Filling rows whose places lie on lines.
//!
//! Rows that follow one another along y are filled together: what is the same for all of them is found once, and the ones
//! that lie wholly inside are told from the others at once.

use super::{LabelSource, ROWS_PER_TILE, Slice, Source, Wanted};
use crate::Interpolation;
use crate::lazy::empty_space::MARGIN;
use crate::lazy::fixed_point::{Line, bounds};
#[cfg(target_arch = "x86_64")]
use crate::lazy::resample::avx2;
use crate::lazy::warp::GROUP;
use volume::Label;

/// Rows and voxels of each of them for which it is asked at once whether all their labels are 0.
const RUN: [usize; 2] = [8, 16];

/// The places of rows of one direction.
pub(in crate::lazy) struct Places<'a> {
    /// From a voxel's place to that of the next one of its row.
    pub(in crate::lazy) step: [i64; 3],
    /// The place of each row's first voxel; the last number is nothing.
    pub(in crate::lazy) bases: &'a [[i64; 4]],
    /// Voxels of a row.
    pub(in crate::lazy) length: usize,
}

/// Some voxels of a row: the first one, and the one behind the last.
pub(in crate::lazy) type Span = [usize; 2];

/// BorderValues slices, of which the first one lies at `first_x`.
pub(super) fn fill(wanted: &Wanted, first_x: usize, slices: &mut [Slice]) {
    let [_, size_y, size_z] = wanted.shape;
    let block = Block::new(wanted);
    let mut rows = Rows::default();
    for first_y in (0..size_y).step_by(ROWS_PER_TILE) {
        let count = ROWS_PER_TILE.min(size_y - first_y);
        let voxels = first_y * size_z..(first_y + count) * size_z;
        for (x, (images, label)) in (first_x..).zip(slices.iter_mut()) {
            block.find([x, first_y, 0], count, &mut rows);
            for ((image, source), fill) in images.iter_mut().zip(wanted.sources).zip(wanted.border_values) {
                block.interpolate(source, *fill, &rows, &mut image[voxels.clone()]);
            }
            if let (Some(label), Some(source)) = (label.as_mut(), wanted.labels) {
                block.look_up(source, &mut rows, &mut label[voxels.clone()]);
            }
        }
    }
}

const _: () = assert!(ROWS_PER_TILE <= u32::BITS as usize, "each row has its bit");

/// Rows of outgoing voxels that follow one another along y.
#[derive(Default)]
struct Rows {
    bases: [[i64; 4]; ROWS_PER_TILE],
    count: usize,
    /// The voxels of each row whose places lie inside of every grid.
    inside: [Span; ROWS_PER_TILE],
    /// Those of them whose neighbours all lie in the block.
    interior: [Span; ROWS_PER_TILE],
    /// Whether those are all voxels of all rows.
    are_whole: bool,
}

/// What is the same for all rows of a block.
struct Block<'a> {
    wanted: &'a Wanted<'a>,
    /// The line of the row at the mapping; of the others it has the steps.
    direction: Line,
    /// The smallest and the largest place whose neighbours all lie in the block, or where only labels are wanted, inside.
    interior: ([i64; 3], [i64; 3]),
    /// Whether groups of intensities, and of labels, are taken at once.
    takes_groups: [bool; 2],
    /// Whether all voxels of a run lie within the margin around its middle.
    has_short_runs: bool,
}

impl<'a> Block<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Self {
        let (map, shape) = (&wanted.mapping.map, wanted.mapping.source_shape);
        let inside = (shape.map(|size| bounds(size).0), shape.map(|size| bounds(size).1));
        let half = RUN.map(|voxels| (voxels / 2) as f64);
        // From a voxel to the nearest one of the source it is half a voxel at most.
        let is_near = |[_, y, z, _]: [f64; 4]| y.abs() * half[0] + z.abs() * half[1] < MARGIN as f64 - 0.51;
        #[cfg(target_arch = "x86_64")]
        let takes_groups = [
            wanted.interpolation == Interpolation::Linear && wanted.sources.iter().all(avx2::can_interpolate),
            wanted.labels.is_some_and(avx2::can_look_up),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let takes_groups = [false; 2];
        Self {
            wanted,
            direction: Line::new(map, 0.0, 0.0),
            interior: wanted.sources.first().map_or(inside, Source::interior),
            takes_groups,
            has_short_runs: map.0.into_iter().all(is_near),
        }
    }

    /// Finds so many rows, the first one from a voxel of the block on.
    fn find(&self, first: [usize; 3], count: usize, rows: &mut Rows) {
        let (mapping, length) = (self.wanted.mapping, self.wanted.shape[2]);
        let [x, y, z] = self.wanted.voxel(first);
        let is_simple = mapping.intermediate_grids.is_empty() && !self.direction.is_steep();
        let whole = if is_simple { self.find_at_once([x, y, z], &mut rows.bases[..count]) } else { 0 };
        rows.count = count;
        rows.are_whole = whole.count_ones() as usize == count;
        (rows.inside, rows.interior) = ([[0, length]; ROWS_PER_TILE], [[0, length]; ROWS_PER_TILE]);
        if rows.are_whole {
            return;
        }
        for row in (0..count).filter(|row| whole >> row & 1 == 0) {
            let (inside, line) = mapping.inside(x, y + row, z..z + length);
            let interior = line.between(self.interior.0, self.interior.1, z, length);
            let [along_x, along_y, along_z] = line.at(z);
            rows.bases[row] = [along_x, along_y, along_z, 0];
            rows.inside[row] = [inside.start, inside.end];
            rows.interior[row] = common([interior.start, interior.end], rows.inside[row]);
        }
    }

    /// Finds rows from a voxel of the outgoing volume on. A bit for each, the first one's the lowest, says whether all of it
    /// lies in the interior; where the processor cannot, none is found and no bit is set.
    fn find_at_once(&self, first: [usize; 3], bases: &mut [[i64; 4]]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        let whole = {
            let length = self.wanted.shape[2];
            avx2::find_rows(&self.wanted.mapping.map, first, length, self.interior, bases).unwrap_or(0)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let whole = {
            let _ = (first, bases);
            0
        };
        whole
    }

    fn places<'r>(&self, rows: &'r Rows) -> Places<'r> {
        Places { step: self.direction.step, bases: &rows.bases[..rows.count], length: self.wanted.shape[2] }
    }

    fn interpolate(&self, source: &Source, fill: f32, rows: &Rows, image: &mut [f32]) {
        let places = self.places(rows);
        #[cfg(target_arch = "x86_64")]
        if self.takes_groups[0] {
            avx2::interpolate_rows(source, &places, &rows.interior, image);
            if rows.are_whole && places.length >= GROUP {
                return;
            }
        }
        let one_by_one = |place| source.at(self.wanted.interpolation, place);
        places.fill_rest(fill, self.takes_groups[0], &rows.inside, &rows.interior, image, one_by_one);
    }

    fn look_up(&self, source: LabelSource, rows: &mut Rows, label: &mut [Label]) {
        let shape = self.wanted.mapping.source_shape;
        let are_cut = self.cut_empty(source, rows);
        let places = self.places(rows);
        #[cfg(target_arch = "x86_64")]
        if self.takes_groups[1] {
            avx2::look_up_rows(source.labels, shape, &places, &rows.inside, label);
            if rows.are_whole && !are_cut && places.length >= GROUP {
                return;
            }
        }
        let one_by_one = |place| source.nearest(shape, place);
        places.fill_rest(0, self.takes_groups[1], &rows.inside, &rows.inside, label, one_by_one);
    }

    /// Leaves, of the voxels inside, only those between the first and the last run whose labels may be above 0. Says whether
    /// any are left out.
    fn cut_empty(&self, source: LabelSource, rows: &mut Rows) -> bool {
        let (Some(empty), true) = (source.empty, self.has_short_runs) else { return false };
        let length = self.wanted.shape[2];
        let runs = 0..length.div_ceil(RUN[1]);
        let mut are_cut = false;
        for first in (0..rows.count).step_by(RUN[0]) {
            let together = first..rows.count.min(first + RUN[0]);
            let middle = (together.start + together.end) / 2;
            let run = |index: usize| [index * RUN[1], length.min((index + 1) * RUN[1])];
            let is_filled = |index: &usize| {
                let [start, end] = run(*index);
                !empty.is_empty_around(self.places(rows).at(middle, (start + end) / 2))
            };
            let filled = match (runs.clone().find(is_filled), runs.clone().rev().find(is_filled)) {
                (Some(first), Some(last)) => [run(first)[0], run(last)[1]],
                _ => [0, 0],
            };
            if filled != [0, length] {
                are_cut = true;
                rows.inside[together].iter_mut().for_each(|inside| *inside = common(filled, *inside));
            }
        }
        are_cut
    }
}

impl Places<'_> {
    /// The place of a row's voxel.
    fn at(&self, row: usize, z: usize) -> [i64; 3] {
        let base = &self.bases[row];
        std::array::from_fn(|axis| base[axis].wrapping_add(self.step[axis].wrapping_mul(z as i64)))
    }

    /// BorderValues what lies outside, and one by one those voxels inside that were not taken in groups: where there are groups,
    /// the spans `taken` of at least one group were.
    fn fill_rest<T: Copy>(
        &self,
        fill: T,
        has_groups: bool,
        inside: &[Span],
        taken: &[Span],
        out: &mut [T],
        one_by_one: impl Fn([i64; 3]) -> T,
    ) {
        for (row, out) in out.chunks_exact_mut(self.length).enumerate() {
            let [start, end] = inside[row];
            let [first, last] = taken[row];
            let taken = if has_groups && last - first >= GROUP { first..last } else { start..start };
            out[..start].fill(fill);
            out[end..].fill(fill);
            for z in (start..taken.start).chain(taken.end..end) {
                out[z] = one_by_one(self.at(row, z));
            }
        }
    }
}

/// What a span has in common with another one; an empty span within that one where that is nothing.
fn common([first, end]: Span, within: Span) -> Span {
    let start = first.clamp(within[0], within[1]);
    [start, end.clamp(start, within[1])]
}

#[cfg(test)]
mod tests {
    use super::super::{labels, warp};
    use super::*;
    use crate::Map;
    use crate::lazy::{Block, EmptySpace, IndexMapping};
    use random::{Purpose, Rng, Seed};
    use volume::{Affine, offset, unravel_index};

    const SOURCE: [usize; 3] = [30, 50, 45];
    const OUT: [usize; 3] = [28, 60, 50];

    /// A map that turns, scales and shifts a little, so that some rows stick out at either end and some do not.
    fn turned(rng: &mut Rng) -> Affine {
        let mut near = |middle: f64, room: f64| middle + room * (rng.unit() - 0.5);
        Affine([
            [near(1.0, 0.3), near(0.0, 0.2), near(0.0, 0.2), near(0.0, 6.0)],
            [near(0.0, 0.2), near(0.8, 0.3), near(0.0, 0.2), near(0.0, 6.0)],
            [near(0.0, 0.2), near(0.0, 0.2), near(0.9, 0.4), near(0.0, 9.0)],
        ])
    }

    fn mapping(rng: &mut Rng, steps: usize) -> IndexMapping {
        let mut mapping = IndexMapping::identity(SOURCE);
        (0..steps).for_each(|_| mapping.extend(&Map::Warp(turned(rng)), OUT));
        mapping
    }

    #[test]
    fn blocks_have_the_voxels_that_their_rows_one_by_one_have() {
        let mut rng = Seed(7).stream(Purpose::Phantom, 0, "straight", 0);
        let voxels: usize = SOURCE.iter().product();
        let values: Vec<f32> = (0..2 * voxels).map(|_| rng.normal() as f32).collect();
        let (mut inside, mut outside) = (0, 0);
        // Through two grids no rows are found at once.
        for steps in [1, 1, 2] {
            let mapping = mapping(&mut rng, steps);
            let incoming = Block::new([0; 3], SOURCE, &values[..]);
            for (start, shape) in
                [([0; 3], OUT), ([3, 20, 10], [9, 33, 40]), ([5, 9, 1], [4, 5, 17]), ([1, 2, 20], [5, 40, 7])]
            {
                for interpolation in [Interpolation::Linear, Interpolation::Nearest] {
                    let border_values = [-50.0, 50.0];
                    let (image, _) = warp(&incoming, (&mapping, interpolation), &border_values, None, start, shape);
                    let size: usize = shape.iter().product();
                    for (index, value) in image.into_iter().enumerate() {
                        let (channel, [x, y, z]) = (index / size, unravel_index(shape, index % size));
                        let z = start[2] + z;
                        let (within, line) = mapping.inside(start[0] + x, start[1] + y, z..z + 1);
                        let source = Source::of(&incoming, channel, SOURCE);
                        let expected = if within.is_empty() {
                            border_values[channel]
                        } else {
                            source.at(interpolation, line.at(z))
                        };
                        assert_eq!(value.to_bits(), expected.to_bits(), "{start:?} {shape:?} {x} {y} {z}");
                        inside += usize::from(!within.is_empty());
                        outside += usize::from(within.is_empty());
                    }
                }
            }
        }
        assert!(inside > 100_000 && outside > 100_000, "{inside} {outside}");
    }

    #[test]
    fn labels_are_the_same_where_it_is_known_that_space_is_empty() {
        let mut rng = Seed(8).stream(Purpose::Phantom, 0, "straight", 0);
        let mut source = vec![0; SOURCE.iter().product()];
        let runs = [([4, 7, 3], 9), ([5, 8, 40], 5), ([25, 44, 20], 2)];
        for (first, length) in runs {
            source[offset(SOURCE, first)..][..length].fill(3);
        }
        let empty = EmptySpace::new(SOURCE, runs.into_iter());
        let mut labelled = 0;
        // Large steps reach beyond what is known around a run's middle.
        for scale in [0.6, 1.0, 1.7] {
            for steps in [1, 2] {
                let mut mapping = mapping(&mut rng, steps);
                mapping.extend(&Map::Warp(Affine::scale_and_shift([scale; 3], [0.0; 3])), OUT);
                for (start, shape) in [([0; 3], OUT), ([2, 1, 3], [20, 43, 40]), ([3, 3, 0], [20, 9, 7])] {
                    let found = labels(LabelSource { labels: &source, empty: Some(&empty) }, &mapping, start, shape);
                    for (index, label) in found.into_iter().enumerate() {
                        let voxel = unravel_index(shape, index);
                        let voxel = std::array::from_fn(|axis| start[axis] + voxel[axis]);
                        let expected = mapping.source(voxel).map_or(0, |voxel| source[offset(SOURCE, voxel)]);
                        assert_eq!(label, expected, "{scale} {steps} {voxel:?}");
                        labelled += usize::from(label > 0);
                    }
                }
            }
        }
        assert!(labelled > 100, "{labelled}");
    }
}

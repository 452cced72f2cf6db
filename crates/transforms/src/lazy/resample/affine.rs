//! Resampling under affine mappings, whose rows have equidistant source points.
//!
//! Neighbouring rows along y form a tile and are computed together: shared terms are computed once, and rows that are
//! completely inside are detected together.

use super::aligned::{self, AlongZ};
use super::request::{ROWS_PER_TILE, Request, Slice};
use super::rows::{Rows, Span, intersection};
use super::source::{ImageSource, LabelSource, interior};
use super::votes::VoteQueue;
use crate::lazy::empty_space::MARGIN;
use crate::lazy::fixed_point::grid_bounds;
use crate::lazy::lanes::GROUP;
use crate::lazy::line::Line;
#[cfg(target_arch = "x86_64")]
use crate::lazy::resample::avx2;
use crate::{Convention, Interpolation};
use volume::Label;

/// Rows and voxels of a patch of a tile that is tested for empty space as a whole.
const PATCH: [usize; 2] = [8, 16];

/// Computes slices of a request, of which the first one is at `first_x`.
pub(super) fn fill(request: &Request, first_x: usize, slices: &mut [Slice]) {
    let [_, size_y, size_z] = request.shape;
    let resampler = Resampler::new(request);
    let mut tile = Tile::default();
    for first_y in (0..size_y).step_by(ROWS_PER_TILE) {
        let count = ROWS_PER_TILE.min(size_y - first_y);
        let voxels = first_y * size_z..(first_y + count) * size_z;
        for (x, (images, label)) in (first_x..).zip(slices.iter_mut()) {
            resampler.locate([x, first_y, 0], count, &mut tile);
            for ((image, source), border) in images.iter_mut().zip(request.sources).zip(request.border_values) {
                resampler.interpolate(source, *border, &tile, &mut image[voxels.clone()]);
            }
            if let (Some(label), Some(source)) = (label.as_mut(), request.labels) {
                resampler.look_up(source, &mut tile, &mut label[voxels.clone()]);
            }
        }
    }
}

const _: () = assert!(ROWS_PER_TILE <= u32::BITS as usize, "each row has its bit");

/// Outgoing rows that are neighbours along y.
#[derive(Default)]
struct Tile {
    bases: [[i64; 4]; ROWS_PER_TILE],
    count: usize,
    /// The voxels of each row whose source points are inside every grid.
    inside: [Span; ROWS_PER_TILE],
    /// Of these, the voxels whose interpolation neighbours are all in the block.
    interior: [Span; ROWS_PER_TILE],
    /// Whether these are all voxels of all rows.
    is_all_interior: bool,
}

/// The state that all rows of a block have in common.
struct Resampler<'a> {
    request: &'a Request<'a>,
    /// The line of the row at x = y = 0; the others have the same steps.
    direction: Line,
    /// The smallest and the largest point whose neighbours are all in the block; for labels alone, inside.
    interior: ([i64; 3], [i64; 3]),
    /// Whether labels are interpolated, and voxels outside the source have the border value.
    votes: bool,
    /// The voxels of a row, if the map only scales the axes: source rows are then interpolated as a whole.
    aligned: Option<AlongZ>,
    /// Whether intensities are computed in groups of eight, or in source rows.
    vectorizes_image: bool,
    /// Whether labels are looked up in groups of eight.
    vectorizes_labels: bool,
    /// Whether all source points of a patch are within the margin around that of its middle.
    can_skip_empty: bool,
}

impl<'a> Resampler<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        let map = &request.mapping.map;
        let (shape, votes) = (request.mapping.source_shape, request.mapping.convention == Convention::GridSample);
        let inside = if votes { interior([0; 3], shape) } else { grid_bounds(shape) };
        let half = PATCH.map(|voxels| (voxels / 2) as f64);
        // The nearest voxel of the source is at most half a voxel away.
        let is_near = |[_, y, z, _]: [f64; 4]| y.abs() * half[0] + z.abs() * half[1] < MARGIN as f64 - 0.51;
        #[cfg(target_arch = "x86_64")]
        let [vectorizes_image, vectorizes_labels] = [
            request.interpolation == Interpolation::Linear && request.sources.iter().all(avx2::can_interpolate),
            request.labels.is_some_and(avx2::can_look_up),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let [vectorizes_image, vectorizes_labels] = [false; 2];
        let direction = Line::new(map, 0.0, 0.0);
        let interior = request.sources.first().map_or(inside, ImageSource::interior);
        let is_aligned = aligned::applies(request.mapping, request.interpolation);
        Self {
            request,
            direction,
            interior,
            votes,
            aligned: is_aligned.then(|| AlongZ::new(map, interior, request.start[2], request.shape[2])),
            vectorizes_image: vectorizes_image || is_aligned,
            vectorizes_labels,
            can_skip_empty: map.0.into_iter().all(is_near),
        }
    }

    /// Computes the source points of a tile of `count` rows, the first one starting at a voxel of the block.
    fn locate(&self, first: [usize; 3], count: usize, tile: &mut Tile) {
        let (mapping, length) = (self.request.mapping, self.request.shape[2]);
        let [x, y, z] = self.request.voxel(first);
        let is_simple = mapping.intermediate_grids.is_empty() && !self.direction.may_overflow();
        let interior_rows = if is_simple { self.locate_simple([x, y, z], &mut tile.bases[..count]) } else { 0 };
        tile.count = count;
        tile.is_all_interior = interior_rows.count_ones() as usize == count;
        (tile.inside, tile.interior) = ([[0, length]; ROWS_PER_TILE], [[0, length]; ROWS_PER_TILE]);
        if tile.is_all_interior {
            return;
        }
        for row in (0..count).filter(|row| interior_rows >> row & 1 == 0) {
            let (inside, line) = mapping.row_sampled(x, y + row, z..z + length);
            let interior = line.range_within(self.interior.0, self.interior.1, z, length);
            let [along_x, along_y, along_z] = line.at(z);
            tile.bases[row] = [along_x, along_y, along_z, 0];
            tile.inside[row] = [inside.start, inside.end];
            tile.interior[row] = intersection([interior.start, interior.end], tile.inside[row]);
        }
    }

    /// Computes the bases of rows from a voxel of the outgoing volume on, with vector instructions. Returns a bit per
    /// row, the first one lowest: whether all of it is in the interior. Without AVX2 no base is computed and no bit set.
    fn locate_simple(&self, first: [usize; 3], bases: &mut [[i64; 4]]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        let interior_rows = {
            let length = self.request.shape[2];
            avx2::locate_rows(&self.request.mapping.map, first, length, self.interior, bases).unwrap_or(0)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let interior_rows = {
            let _ = (first, bases);
            0
        };
        interior_rows
    }

    fn rows<'r>(&self, tile: &'r Tile) -> Rows<'r> {
        Rows { step: self.direction.step, bases: &tile.bases[..tile.count], length: self.request.shape[2] }
    }

    fn interpolate(&self, source: &ImageSource, border: f32, tile: &Tile, image: &mut [f32]) {
        let rows = self.rows(tile);
        if let Some(along_z) = &self.aligned {
            along_z.interpolate_rows(source, &rows, &tile.interior, image);
        } else {
            #[cfg(target_arch = "x86_64")]
            if self.vectorizes_image {
                avx2::interpolate_rows(source, &rows, &tile.interior, image);
            }
        }
        if self.vectorizes_image && tile.is_all_interior && rows.length >= GROUP {
            return;
        }
        let one_by_one = |point| match self.votes {
            true => source.linear_with_border(point, border),
            false => source.interpolate(self.request.interpolation, point),
        };
        rows.complete(border, self.vectorizes_image, &tile.inside, &tile.interior, image, one_by_one);
    }

    fn look_up(&self, source: LabelSource, tile: &mut Tile, label: &mut [Label]) {
        let is_cut = self.skip_empty(source, tile);
        let rows = self.rows(tile);
        if self.votes {
            return self.look_up_votes(source, &rows, tile, label);
        }
        #[cfg(target_arch = "x86_64")]
        if self.vectorizes_labels {
            avx2::look_up_rows(source, &rows, &tile.inside, label);
            if tile.is_all_interior && !is_cut && rows.length >= GROUP {
                return;
            }
        }
        let one_by_one = |point| source.nearest(point);
        rows.complete(source.outside, self.vectorizes_labels, &tile.inside, &tile.inside, label, one_by_one);
    }

    /// Shrinks the spans inside to the range from the first to the last patch that may have labels above 0. Returns
    /// whether any span changed.
    fn skip_empty(&self, source: LabelSource, tile: &mut Tile) -> bool {
        let (Some(empty), true) = (source.empty, self.can_skip_empty) else { return false };
        let length = self.request.shape[2];
        let patches = 0..length.div_ceil(PATCH[1]);
        let mut is_cut = false;
        for first in (0..tile.count).step_by(PATCH[0]) {
            let together = first..tile.count.min(first + PATCH[0]);
            let middle = (together.start + together.end) / 2;
            let span = |patch: usize| [patch * PATCH[1], length.min((patch + 1) * PATCH[1])];
            let is_occupied = |patch: &usize| {
                let [start, end] = span(*patch);
                !empty.is_empty_around(self.rows(tile).point(middle, (start + end) / 2))
            };
            let occupied = match (patches.clone().find(is_occupied), patches.clone().rev().find(is_occupied)) {
                (Some(first), Some(last)) => [span(first)[0], span(last)[1]],
                _ => [0, 0],
            };
            if occupied != [0, length] {
                is_cut = true;
                tile.inside[together].iter_mut().for_each(|inside| *inside = intersection(occupied, *inside));
            }
        }
        is_cut
    }

    /// Interpolates labels: each voxel takes the label with the largest weight.
    fn look_up_votes(&self, source: LabelSource, rows: &Rows, tile: &Tile, label: &mut [Label]) {
        let shape = self.request.mapping.source_shape;
        let mut queue = VoteQueue::new(source);
        let mut interior = [[0; 2]; ROWS_PER_TILE];
        let interior = &mut interior[..tile.count];
        for (row, interior) in interior.iter_mut().enumerate() {
            let [start, end] = tile.inside[row];
            *interior = intersection(tile.interior[row], [start, end]);
            let from = row * rows.length;
            label[from..from + start].fill(source.outside);
            label[from + end..from + rows.length].fill(source.outside);
            for z in (start..interior[0]).chain(interior[1]..end) {
                label[from + z] = source.vote(shape, rows.point(row, z));
            }
        }
        match &self.aligned {
            Some(along_z) => along_z.look_up_rows(&source, rows, interior, &mut queue, label),
            None => look_up_interior(&source, rows, interior, &mut queue, label),
        }
        queue.finish(label);
    }
}

/// Interpolates the labels of a span of each row whose points are in the interior of the block.
fn look_up_interior(source: &LabelSource, rows: &Rows, spans: &[Span], queue: &mut VoteQueue, label: &mut [Label]) {
    #[cfg(target_arch = "x86_64")]
    let has_groups = avx2::vote_rows(source, rows, spans, queue, label);
    #[cfg(not(target_arch = "x86_64"))]
    let has_groups = false;
    for (row, [first, last]) in spans.iter().enumerate() {
        if has_groups && last - first >= GROUP {
            continue;
        }
        for z in *first..*last {
            let point = rows.point(row, z);
            queue.vote(label, row * rows.length + z, source.corners(point), point);
        }
    }
}

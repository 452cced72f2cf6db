//! The source points of a row of outgoing voxels under a warp.

use super::{Warp, source_point};
use crate::VECTORS;
use crate::lazy::lanes::GROUP;
use crate::lazy::line::Line;
#[cfg(target_arch = "x86_64")]
use simd::has_avx2;

/// The source points of a row of outgoing voxels along z.
pub(in crate::lazy) struct SourceRow {
    pub(super) length: usize,
    /// For each group a bit per voxel, the first one lowest: whether its point is inside. The number of groups is a
    /// multiple of those computed together, so the last ones may extend past the row.
    pub(super) is_inside: Vec<u8>,
    /// The offset of each voxel's point by displacements.
    pub(super) offsets: [Vec<[f32; GROUP]>; 3],
    /// Each voxel's source point; unspecified outside.
    pub(super) sources: [Vec<[i64; GROUP]>; 3],
}

impl SourceRow {
    /// Allocates rows of `length` voxels.
    pub(in crate::lazy) fn new(length: usize) -> Self {
        let groups = length.div_ceil(GROUP).next_multiple_of(VECTORS);
        Self {
            length,
            is_inside: vec![0; groups],
            offsets: std::array::from_fn(|_| vec![[0.0; GROUP]; groups]),
            sources: std::array::from_fn(|_| vec![[0; GROUP]; groups]),
        }
    }

    /// Computes the row that starts at an outgoing voxel.
    pub(in crate::lazy) fn compute(&mut self, warp: &Warp, [x, y, z]: [usize; 3]) {
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            self.is_inside.fill(u8::MAX);
            for segment in &warp.0 {
                let line = Line::new(&segment.map, x as f64, y as f64);
                if segment.contains_row(&line, z, self.length) {
                    continue;
                }
                super::avx2::apply(segment, &line, z, self).expect("the processor has AVX2");
            }
            return;
        }
        self.compute_one_by_one(warp, [x, y, z]);
    }

    /// Computes the same without vector instructions.
    pub(in crate::lazy) fn compute_one_by_one(&mut self, warp: &Warp, [x, y, z]: [usize; 3]) {
        let lines: Vec<Line> = warp.0.iter().map(|segment| Line::new(&segment.map, x as f64, y as f64)).collect();
        self.is_inside.fill(0);
        for index in 0..self.length {
            if let Some(point) = source_point(warp.0.iter().zip(lines.iter().copied()), z + index) {
                self.is_inside[index / GROUP] |= 1 << (index % GROUP);
                (0..3).for_each(|axis| self.sources[axis][index / GROUP][index % GROUP] = point[axis]);
            }
        }
    }

    /// Returns the source point of a voxel, or `None` where it is outside.
    pub(in crate::lazy) fn source(&self, index: usize) -> Option<[i64; 3]> {
        let is_inside = self.is_inside[index / GROUP] >> (index % GROUP) & 1 == 1;
        is_inside.then(|| std::array::from_fn(|axis| self.sources[axis][index / GROUP][index % GROUP]))
    }

    /// Returns which voxels of a group are inside, the first one in the lowest bit, and their source points.
    #[cfg(target_arch = "x86_64")]
    pub(in crate::lazy) fn group(&self, group: usize) -> (u8, [&[i64; GROUP]; 3]) {
        (self.is_inside[group], self.sources.each_ref().map(|sources| &sources[group]))
    }
}

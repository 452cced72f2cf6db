//! Interpolation of the labels of eight voxels.

use super::affine::{Cursor, group_mut, locate_groups};
use super::prefetch::{LABEL_LANES, prefetch};
use super::scratch::{Scratch, with_scratch};
use super::strides::Strides;
use crate::lazy::fixed_point::ONE;
use crate::lazy::resample::rows::{Rows, Span};
use crate::lazy::resample::source::LabelSource;
use crate::lazy::resample::votes::VoteQueue;
use simd::{CornerComparison, LANES, for_avx2};
use volume::Label;

/// Interpolates the labels of a span of each row, whose points are all in the interior of the block, or adds them to the queue.
/// Spans of fewer than eight voxels are left unchanged. Returns false, and does nothing, if the source or the processor is not
/// supported.
pub(in crate::lazy::resample) fn vote_rows(
    source: &LabelSource,
    rows: &Rows,
    spans: &[Span],
    queue: &mut VoteQueue,
    label: &mut [Label],
) -> bool {
    let Some(corners) = CornerComparison::new(source.labels, [source.shape[1], source.shape[2]]) else { return false };
    with_scratch(|scratch| vote_in_groups(&corners, source, rows, spans, queue, label, scratch)).is_some()
}

for_avx2! {
    fn vote_in_groups(
        corners: &CornerComparison,
        source: &LabelSource,
        rows: &Rows,
        spans: &[Span],
        queue: &mut VoteQueue,
        label: &mut [Label],
        scratch: &mut Scratch,
    ) {
        let strides = Strides::new(rows.step, source.start.map(|index| -(index as i64 * ONE)));
        let mut around = [[0; LANES]; 4];
        for (row, (base, span)) in rows.bases.iter().zip(spans).enumerate() {
            let mut cursor = Cursor::new(&strides, base, *span);
            let (first, length) = (row * rows.length + span[0], span[1] - span[0]);
            while let Some(from) = cursor {
                cursor = locate_groups::<false>(source.shape, &strides, from, length, scratch);
                let corners = corners.at(&scratch.positions);
                for (group, positions) in scratch.positions.groups().iter().enumerate() {
                    prefetch(source.labels, source.shape, positions, LABEL_LANES);
                    let voxels = group_mut(&mut label[first..first + length], from.done, group);
                    let mut different = corners.group(group, voxels, &mut around);
                    while different != 0 {
                        let lane = different.trailing_zeros() as usize;
                        different &= different - 1;
                        let z = (from.done + group * LANES).min(length - LANES) + lane;
                        let (a, b) = (around[0][lane], around[1][lane]);
                        let (c, d) = (around[2][lane], around[3][lane]);
                        let near = [a as Label, (a >> 16) as Label, b as Label, (b >> 16) as Label];
                        let far = [c as Label, (c >> 16) as Label, d as Label, (d >> 16) as Label];
                        let labels = [near[0], near[1], near[2], near[3], far[0], far[1], far[2], far[3]];
                        queue.push(label, first + z, labels, rows.point(row, span[0] + z));
                    }
                }
            }
        }
    }
}

//! Rows with equidistant source points, and spans of their voxels.

use crate::lazy::lanes::GROUP;

/// The source points of parallel rows of voxels along z.
pub(in crate::lazy) struct Rows<'a> {
    /// The difference between the points of neighbouring voxels.
    pub(in crate::lazy) step: [i64; 3],
    /// The point of each row's first voxel; the fourth number is padding.
    pub(in crate::lazy) bases: &'a [[i64; 4]],
    /// Voxels of a row.
    pub(in crate::lazy) length: usize,
}

/// A range of voxels of a row: the first one, and one past the last.
pub(in crate::lazy) type Span = [usize; 2];

impl Rows<'_> {
    /// Returns the source point of a voxel.
    #[inline]
    pub(super) fn point(&self, row: usize, z: usize) -> [i64; 3] {
        let base = &self.bases[row];
        std::array::from_fn(|axis| base[axis].wrapping_add(self.step[axis].wrapping_mul(z as i64)))
    }

    /// Completes rows whose `done` spans were computed in groups, if `has_groups` and the span has at least one group:
    /// fills voxels that are not `inside` with a value, and computes the others one by one.
    pub(super) fn complete<T: Copy>(
        &self,
        fill: T,
        has_groups: bool,
        inside: &[Span],
        done: &[Span],
        out: &mut [T],
        one_by_one: impl Fn([i64; 3]) -> T,
    ) {
        for (row, out) in out.chunks_exact_mut(self.length).enumerate() {
            let [start, end] = inside[row];
            let [first, last] = done[row];
            let done = if has_groups && last - first >= GROUP { first..last } else { start..start };
            out[..start].fill(fill);
            out[end..].fill(fill);
            for z in (start..done.start).chain(done.end..end) {
                out[z] = one_by_one(self.point(row, z));
            }
        }
    }
}

/// Returns the intersection of a span with another; if that is empty, an empty span inside the other.
pub(super) fn intersection([first, end]: Span, within: Span) -> Span {
    let start = first.clamp(within[0], within[1]);
    [start, end.clamp(start, within[1])]
}

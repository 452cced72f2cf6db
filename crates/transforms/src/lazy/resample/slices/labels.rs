//! Interpolation of the labels of rows within slices.

use simd::vectorized;

use super::{AlongZ, GROUP, Neighbours, Row};
use crate::lazy::fixed_point::ONE;
use crate::lazy::resample::source::LabelSource;
use crate::lazy::resample::votes::VoteQueue;
use volume::Label;

/// Interpolates the labels of the rows at one x.
pub(super) fn look_up(source: &LabelSource, volume: [usize; 3], rows: &[Row], along_z: &AlongZ, label: &mut [Label]) {
    let AlongZ { length, inside, first, .. } = along_z;
    for (row, out) in rows.iter().zip(label.chunks_exact_mut(*length)) {
        if row.neighbours == Neighbours::None || inside.is_empty() {
            out.fill(source.outside);
            continue;
        }
        out[..inside.start].fill(source.outside);
        out[inside.end..].fill(source.outside);
        if row.neighbours == Neighbours::Some {
            for (z, label) in (*first as i64..).zip(&mut out[inside.clone()]) {
                *label = source.vote(volume, [row.point[0], row.point[1], z * ONE]);
            }
        }
    }
    if !inside.is_empty() {
        vote(source, rows, along_z, label);
    }
}

/// Interpolates the labels of rows between four rows of the source; where these are equal, no weights are compared.
fn vote(source: &LabelSource, rows: &[Row], along_z: &AlongZ, label: &mut [Label]) {
    let AlongZ { length, inside, first, .. } = along_z;
    let mut are_different = vec![false; rows.len()];
    copy_and_compare(source.labels, (source.start, source.shape), rows, along_z, label, &mut are_different);
    let mut queue = VoteQueue::new(*source);
    for (index, row) in rows.iter().enumerate().filter(|(index, _)| are_different[*index]) {
        let (positions, [x, y]) = (row.positions(source.start, source.shape, *first), row.point);
        for z in 0..inside.len() {
            let [a, b, c, d] = positions.map(|position| source.labels[position + z]);
            queue.vote(label, index * length + inside.start + z, [a, a, b, b, c, c, d, d], [x, y, 0]);
        }
    }
    queue.finish(label);
}

vectorized! {
    /// Copies the first of the four source rows of each row that has all of them, and finds out whether they differ.
    fn copy_and_compare(
        labels: &[Label],
        block: ([usize; 3], [usize; 3]),
        rows: &[Row],
        along_z: &AlongZ,
        out: &mut [Label],
        are_different: &mut [bool],
    ) {
        let AlongZ { length: row_length, inside, first: slice, .. } = along_z;
        let length = inside.len();
        for ((row, out), are_different) in rows.iter().zip(out.chunks_exact_mut(*row_length)).zip(are_different) {
            if row.neighbours != Neighbours::All {
                continue;
            }
            let [a, b, c, d] = row.positions(block.0, block.1, *slice);
            along_z.prefetch(labels, block.1, a);
            let from = |position: usize| &labels[position..position + length];
            let ([a, b, c, d], out) = ([from(a), from(b), from(c), from(d)], &mut out[inside.start..inside.end]);
            let mut bits = [0; GROUP];
            let mut first = 0;
            while first + GROUP <= length {
                let (a, b) = (&a[first..first + GROUP], &b[first..first + GROUP]);
                let (c, d) = (&c[first..first + GROUP], &d[first..first + GROUP]);
                let out = &mut out[first..first + GROUP];
                out.copy_from_slice(a);
                for lane in 0..GROUP {
                    bits[lane] |= (a[lane] ^ b[lane]) | (a[lane] ^ c[lane]) | (a[lane] ^ d[lane]);
                }
                // The last labels may overlap those before.
                let left = length - first - GROUP;
                first += if left == 0 || left >= GROUP { GROUP } else { left };
            }
            out[first..].copy_from_slice(&a[first..]);
            for index in first..length {
                bits[0] |= (a[index] ^ b[index]) | (a[index] ^ c[index]) | (a[index] ^ d[index]);
            }
            *are_different = bits != [0; GROUP];
        }
    }
}

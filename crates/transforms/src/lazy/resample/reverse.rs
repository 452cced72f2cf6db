//! Flips of whole blocks, in place.

use rayon::prelude::*;

use super::request::MIN_PARALLEL_VOXELS;
use crate::Lattice;
use crate::lazy::block::Block;

/// Returns along which axes a map flips a block, if it does nothing else: if the outgoing voxels `shape` come from the incoming
/// region `(start, size)`, which is all of the block.
pub(in crate::lazy) fn flipped_axes(
    lattice: &Lattice,
    block: &Block,
    (start, size): ([usize; 3], [usize; 3]),
    shape: [usize; 3],
) -> Option<[bool; 3]> {
    let keeps_axes = lattice.axes.iter().enumerate().all(|(axis, along)| along.source == axis);
    let is_whole = (block.start, block.shape) == (start, size) && size == shape;
    (keeps_axes && is_whole).then(|| lattice.axes.map(|axis| axis.flipped))
}

/// Reverses an array `[x, y, z]` along axes.
pub(in crate::lazy) fn reverse<T: Send>(values: &mut [T], [size_x, size_y, size_z]: [usize; 3], flipped: [bool; 3]) {
    let [flips_x, flips_y, flips_z] = flipped;
    let (plane, is_large) = (size_y * size_z, values.len() >= MIN_PARALLEL_VOXELS);
    let reverse = |plane: &mut [T]| reverse_plane(plane, size_z, [flips_y, flips_z]);
    if !flips_x {
        return match is_large {
            true => values.par_chunks_exact_mut(plane).for_each(reverse),
            false => values.chunks_exact_mut(plane).for_each(reverse),
        };
    }
    let (front, rest) = values.split_at_mut(size_x / 2 * plane);
    let (middle, back) = rest.split_at_mut(size_x % 2 * plane);
    middle.chunks_exact_mut(plane).for_each(reverse);
    let swap = |(front, back): (&mut [T], &mut [T])| swap_planes(front, back, size_z, [flips_y, flips_z]);
    match is_large {
        true => front.par_chunks_exact_mut(plane).zip(back.par_chunks_exact_mut(plane).rev()).for_each(swap),
        false => front.chunks_exact_mut(plane).zip(back.chunks_exact_mut(plane).rev()).for_each(swap),
    }
}

/// Reverses a plane `[y, z]` along axes.
pub(super) fn reverse_plane<T>(plane: &mut [T], size_z: usize, flipped: [bool; 2]) {
    match flipped {
        [false, false] => {}
        [false, true] => plane.chunks_exact_mut(size_z).for_each(<[T]>::reverse),
        [true, true] => plane.reverse(),
        [true, false] => {
            let (front, back) = plane.split_at_mut(plane.len() / size_z / 2 * size_z);
            let pairs = front.chunks_exact_mut(size_z).zip(back.rchunks_exact_mut(size_z));
            pairs.for_each(|(front, back)| front.swap_with_slice(back));
        }
    }
}

/// Swaps two planes `[y, z]` and reverses both along axes.
fn swap_planes<T>(front: &mut [T], back: &mut [T], size_z: usize, flipped: [bool; 2]) {
    match flipped {
        [false, false] => front.swap_with_slice(back),
        [true, true] => swap_reversed(front, back),
        [false, true] => {
            let pairs = front.chunks_exact_mut(size_z).zip(back.chunks_exact_mut(size_z));
            pairs.for_each(|(front, back)| swap_reversed(front, back));
        }
        [true, false] => {
            let pairs = front.chunks_exact_mut(size_z).zip(back.rchunks_exact_mut(size_z));
            pairs.for_each(|(front, back)| front.swap_with_slice(back));
        }
    }
}

/// Swaps two rows and reverses both.
fn swap_reversed<T>(front: &mut [T], back: &mut [T]) {
    front.iter_mut().zip(back.iter_mut().rev()).for_each(|(front, back)| std::mem::swap(front, back));
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{offset, unravel_index};

    #[test]
    fn arrays_are_reversed_along_each_combination_of_axes() {
        for shape in [[4, 3, 14], [5, 4, 2], [1, 1, 9], [2, 1, 1], [128, 128, 129]] {
            let count: usize = shape.iter().product();
            for combination in 0..8 {
                let flipped = [0, 1, 2].map(|axis| combination >> axis & 1 == 1);
                let mut values: Vec<u32> = (0..count as u32).collect();
                reverse(&mut values, shape, flipped);
                for (index, value) in values.into_iter().enumerate() {
                    let voxel = unravel_index(shape, index);
                    let from = std::array::from_fn(|axis| match flipped[axis] {
                        true => shape[axis] - 1 - voxel[axis],
                        false => voxel[axis],
                    });
                    assert_eq!(value as usize, offset(shape, from), "{shape:?} {flipped:?} {voxel:?}");
                }
            }
        }
    }
}

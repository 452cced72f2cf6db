//! Per-thread scratch memory: array positions and interpolation weights of several groups.

use std::arch::x86_64::*;
use std::cell::RefCell;

use crate::lazy::lanes::Coordinates;
use simd::{GatherIndices, LANES, MAX_GROUPS, load_f32x8, store_f32x8};

/// The array positions and interpolation weights of groups, computed before the first of their voxels is read.
pub(super) struct Scratch {
    pub(super) positions: GatherIndices,
    /// For each group the interpolation weights along x, y and z.
    weights: [[[f32; LANES]; 3]; MAX_GROUPS],
}

thread_local! {
    // Reused between rows, since initializing it for each would write two kilobytes.
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch { positions: GatherIndices::new(), weights: [[[0.0; LANES]; 3]; MAX_GROUPS] })
    };
}

/// Calls `run` with the thread's scratch memory.
pub(super) fn with_scratch<T>(run: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(run)
}

impl Scratch {
    /// Adds a group with its positions in an array of this shape, and its weights if `WEIGHTS`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn add<const WEIGHTS: bool>(&mut self, shape: [usize; 3], points: [Coordinates; 3]) {
        if WEIGHTS {
            self.set_weights(points);
        }
        self.positions.add(positions(shape, points));
    }

    /// Stores the weights of the group whose positions are added next.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn set_weights(&mut self, [x, y, z]: [Coordinates; 3]) {
        let [along_x, along_y, along_z] = &mut self.weights[self.positions.groups().len()];
        store_f32x8(x.weights(), along_x);
        store_f32x8(y.weights(), along_y);
        store_f32x8(z.weights(), along_z);
    }

    /// Returns the weights of a group.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn weights(&self, group: usize) -> [__m256; 3] {
        let [x, y, z] = &self.weights[group];
        [load_f32x8(x), load_f32x8(y), load_f32x8(z)]
    }
}

/// Returns the positions of voxels in an array of this shape.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn positions([_, size_y, size_z]: [usize; 3], [x, y, z]: [Coordinates; 3]) -> __m256i {
    let (size_y, size_z) = (_mm256_set1_epi32(size_y as i32), _mm256_set1_epi32(size_z as i32));
    let rows = _mm256_add_epi32(_mm256_mullo_epi32(x.indices(), size_y), y.indices());
    _mm256_add_epi32(_mm256_mullo_epi32(rows, size_z), z.indices())
}

/// Returns whether positions in an array fit a signed 32-bit number.
pub(super) fn fits_32_bits<T>(array: &[T]) -> bool {
    array.len() < i32::MAX as usize
}

//! Regions: blocks of voxels of the volume after a chain.

use random::Rng;

/// A block of voxels.
pub(in crate::samplers) struct Region {
    pub(in crate::samplers) start: [usize; 3],
    pub(in crate::samplers) shape: [usize; 3],
}

impl Region {
    /// Returns the voxels at which a patch can be centred: at least half a patch from the border.
    pub(in crate::samplers) fn of_centres(volume: [usize; 3], patch: [usize; 3]) -> Self {
        let shape = std::array::from_fn(|axis| (volume[axis] + 1).saturating_sub(patch[axis]));
        Self { start: patch.map(|size| size / 2), shape }
    }

    /// Returns every voxel of a volume.
    pub(in crate::samplers) fn whole(volume: [usize; 3]) -> Self {
        Self { start: [0; 3], shape: volume }
    }

    /// Returns the voxel if it is in the region.
    pub(super) fn get(&self, voxel: [i64; 3]) -> Option<[usize; 3]> {
        let mut inside = [0; 3];
        for axis in 0..3 {
            let index = usize::try_from(voxel[axis]).ok()?;
            if index < self.start[axis] || index >= self.start[axis] + self.shape[axis] {
                return None;
            }
            inside[axis] = index;
        }
        Some(inside)
    }

    /// Returns the intersection with the block from a first to a last voxel, or `None` if it is empty.
    pub(super) fn intersection(&self, (first, last): ([i64; 3], [i64; 3])) -> Option<Self> {
        let (mut start, mut shape) = ([0; 3], [0; 3]);
        for axis in 0..3 {
            let end = (last[axis] + 1).clamp(0, (self.start[axis] + self.shape[axis]) as i64);
            start[axis] = first[axis].max(self.start[axis] as i64) as usize;
            shape[axis] = (end as usize).checked_sub(start[axis]).filter(|size| *size > 0)?;
        }
        Some(Self { start, shape })
    }

    /// Returns the bounding box of two regions.
    pub(super) fn union(self, other: Self) -> Self {
        let start: [usize; 3] = std::array::from_fn(|axis| self.start[axis].min(other.start[axis]));
        let end = |region: &Self, axis: usize| region.start[axis] + region.shape[axis];
        let shape = std::array::from_fn(|axis| end(&self, axis).max(end(&other, axis)) - start[axis]);
        Self { start, shape }
    }

    /// Samples a voxel uniformly.
    pub(super) fn sample(&self, rng: &mut Rng) -> [usize; 3] {
        std::array::from_fn(|axis| self.start[axis] + rng.below(self.shape[axis] as u64) as usize)
    }

    /// Returns the number of voxels.
    pub(super) fn count(&self) -> u64 {
        self.shape.iter().map(|size| *size as u64).product()
    }

    /// Iterates over the voxels, z fastest.
    pub(in crate::samplers) fn voxels(&self) -> impl Iterator<Item = [usize; 3]> {
        let (start, shape) = (self.start, self.shape);
        (0..shape.iter().product()).map(move |i: usize| {
            let local = [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
            std::array::from_fn(|axis| start[axis] + local[axis])
        })
    }
}

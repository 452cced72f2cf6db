//! The geometry of convolutions: which voxels a kernel connects.
//!
//! A convolution maps a *fine* grid to a *coarse* one, which is smaller by its stride; a transposed convolution, like the
//! gradient of a convolution's input, maps the coarse grid to the fine one. Both use a weight `[coarse, fine, kernel]`,
//! with the channels of each grid, and a [`Stencil`].
//!
//! With a stride, the fine voxels are divided into [`Phase`]s by the remainder of their coordinates. Each phase is a volume
//! of the coarse grid's size, so that a strided convolution is a sum of convolutions without stride, one for each phase.

/// The kernel, stride and zero padding of a convolution along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stencil {
    /// The kernel's size, `[x, y, z]`.
    pub kernel: [usize; 3],
    /// Fine voxels per coarse voxel.
    pub stride: [usize; 3],
    /// Voxels of zeros before the fine grid.
    pub padding: [usize; 3],
}

/// The fine voxels whose coordinates have the same remainder when divided by the stride.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The remainder, `[x, y, z]`.
    pub remainder: [usize; 3],
    /// The taps of the kernel that act on these voxels, in ascending order of their shifts.
    pub taps: Vec<Tap>,
}

/// One value of a kernel: it connects the coarse voxel `v` with the voxel `v + shift` of its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The shift, `[x, y, z]`.
    pub shift: [isize; 3],
    /// The index in the kernel.
    pub index: usize,
}

impl Stencil {
    /// Creates the stencil of a convolution with an odd kernel that preserves the grid, apart from the stride.
    pub fn centred(kernel: [usize; 3], stride: [usize; 3]) -> Self {
        Self { kernel, stride, padding: kernel.map(|size| size / 2) }
    }

    /// Creates the stencil whose kernel covers each fine voxel once.
    pub fn tiling(stride: [usize; 3]) -> Self {
        Self { kernel: stride, stride, padding: [0; 3] }
    }

    /// Returns the number of values of a kernel.
    pub fn len(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Returns the coarse grid of a fine one, whose axes are multiples of the stride.
    pub fn coarse(&self, fine: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| fine[axis] / self.stride[axis])
    }

    /// Returns the fine grid of a coarse one.
    pub fn fine(&self, coarse: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| coarse[axis] * self.stride[axis])
    }

    /// Returns the phases that have taps.
    pub fn phases(&self) -> Vec<Phase> {
        let [x, y, z] = self.stride;
        let remainders = (0..x * y * z).map(|index| [index / (y * z), index / z % y, index % z]);
        let phases = remainders.map(|remainder| Phase { remainder, taps: self.taps(remainder) });
        phases.filter(|phase| !phase.taps.is_empty()).collect()
    }

    /// Returns the greatest shift along each axis, in either direction.
    pub fn reach(&self) -> [usize; 3] {
        let taps = self.phases().into_iter().flat_map(|phase| phase.taps);
        taps.fold([0; 3], |reach, tap| std::array::from_fn(|axis| reach[axis].max(tap.shift[axis].unsigned_abs())))
    }

    fn taps(&self, remainder: [usize; 3]) -> Vec<Tap> {
        let [_, y, z] = self.kernel;
        let coordinates = (0..self.len()).map(|index| [index / (y * z), index / z % y, index % z]);
        let taps = coordinates.enumerate().filter_map(|(index, coordinate)| {
            let offset = |axis: usize| coordinate[axis] as isize - self.padding[axis] as isize;
            let stride = self.stride.map(|stride| stride as isize);
            let is_of_phase = (0..3).all(|axis| offset(axis).rem_euclid(stride[axis]) == remainder[axis] as isize);
            let shift = std::array::from_fn(|axis| offset(axis).div_euclid(stride[axis]));
            is_of_phase.then_some(Tap { shift, index })
        });
        taps.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_stride_there_is_one_phase_with_all_taps_in_the_order_of_the_kernel() {
        let phases = Stencil::centred([3, 1, 3], [1; 3]).phases();
        let [Phase { remainder: [0, 0, 0], taps }] = phases.as_slice() else { panic!("{phases:?}") };
        let expected = [[-1, 0, -1], [-1, 0, 0], [-1, 0, 1], [0, 0, -1], [0, 0, 0], [0, 0, 1], [1, 0, -1], [1, 0, 0]];
        assert!(taps.iter().zip(expected).all(|(tap, shift)| tap.shift == shift));
        assert!(taps.iter().enumerate().all(|(index, tap)| tap.index == index));
        assert_eq!(taps.len(), 9);
    }

    #[test]
    fn each_tap_belongs_to_one_phase() {
        for stencil in [
            Stencil::centred([3; 3], [2; 3]),
            Stencil::centred([3, 3, 1], [2, 2, 1]),
            Stencil::centred([5, 3, 1], [3, 2, 2]),
            Stencil::tiling([2, 1, 3]),
        ] {
            let phases = stencil.phases();
            let mut indices: Vec<usize> = phases.iter().flat_map(|phase| &phase.taps).map(|tap| tap.index).collect();
            indices.sort_unstable();
            assert_eq!(indices, (0..stencil.len()).collect::<Vec<_>>(), "{stencil:?}");
            for Phase { remainder, taps } in phases {
                for Tap { shift, index } in taps {
                    let [_, y, z] = stencil.kernel;
                    let coordinate = [index / (y * z), index / z % y, index % z];
                    for axis in 0..3 {
                        // The fine voxel relative to the first one that the coarse voxel 0 covers.
                        let fine = shift[axis] * stencil.stride[axis] as isize + remainder[axis] as isize;
                        assert_eq!(fine, coordinate[axis] as isize - stencil.padding[axis] as isize);
                    }
                }
            }
        }
    }

    #[test]
    fn a_kernel_of_three_with_stride_two_reaches_back_one_coarse_voxel() {
        let stencil = Stencil::centred([3, 3, 1], [2, 1, 1]);
        assert_eq!(stencil.phases().iter().map(|phase| phase.taps.len()).collect::<Vec<_>>(), [3, 6]);
        assert_eq!(stencil.reach(), [1, 1, 0]);
        assert_eq!(Stencil::tiling([2; 3]).reach(), [0; 3]);
    }
}

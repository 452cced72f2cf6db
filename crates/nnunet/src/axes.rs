//! The axes of nnU-Net's lists and kernels, and those of image files.
//!
//! nnU-Net reads the axes x, y, z of a file as z, y, x and permutes them by `transpose_forward`. Its plans and kernels have that
//! order; a two-dimensional configuration lacks the first of its axes. This program keeps the order of the file.

use crate::ImportError;
use nn::weights::NamedTensor;

/// How the axes of a configuration correspond to those of image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    /// The axis of the file for each of nnU-Net's axes.
    to_file: [usize; 3],
    /// Whether nnU-Net's first axis is absent from lists and kernels.
    is_planar: bool,
}

impl Axes {
    /// Creates the axes of a configuration with two or three of them.
    pub fn new(transpose_forward: &[usize], dimensions: usize) -> Result<Self, ImportError> {
        let mut sorted = transpose_forward.to_vec();
        sorted.sort_unstable();
        if sorted != [0, 1, 2] || !(2..=3).contains(&dimensions) {
            return Err(ImportError::problem(
                format!(
                    "plans.json has transpose_forward {transpose_forward:?} and a patch of {dimensions} axes; expected an order of 0, 1 and 2, and 2 or 3 axes"
                ),
                "use the plans.json that nnU-Net wrote",
            ));
        }
        let to_file = std::array::from_fn(|axis| 2 - transpose_forward[axis]);
        Ok(Self { to_file, is_planar: dimensions == 2 })
    }

    /// Creates the axes of a configuration whose first axis is one of the file, as nnU-Net plans them: the others
    /// follow from z to x. A planar configuration has slices across that axis.
    pub fn with_first(first: usize, is_planar: bool) -> Self {
        let mut to_file = [first; 3];
        for (place, axis) in [2, 1, 0].into_iter().filter(|axis| *axis != first).enumerate() {
            to_file[place + 1] = axis;
        }
        Self { to_file, is_planar }
    }

    /// Returns the number of axes of the network: 2 or 3.
    pub fn dimensions(&self) -> usize {
        self.in_network().len()
    }

    /// Returns the axis of nnU-Net's reader of images, z, y, x, for each of nnU-Net's axes.
    pub fn transpose_forward(&self) -> [usize; 3] {
        self.to_file.map(|axis| 2 - axis)
    }

    /// Returns the order that undoes [`transpose_forward`](Self::transpose_forward).
    pub fn transpose_backward(&self) -> [usize; 3] {
        let forward = self.transpose_forward();
        std::array::from_fn(|axis| forward.iter().position(|other| *other == axis).expect("it is a permutation"))
    }

    /// Returns the axes of the file in the order of the network.
    fn in_network(&self) -> &[usize] {
        &self.to_file[usize::from(self.is_planar)..]
    }

    /// Returns values along x, y and z of the file in the order of the network's axes.
    pub fn in_network_order<T: Copy>(&self, values: [T; 3]) -> Vec<T> {
        self.in_network().iter().map(|axis| values[*axis]).collect()
    }

    /// Returns the axis of nnU-Net's network for an axis of the file; `None` for the one across planar slices.
    pub fn to_network(self, axis: usize) -> Option<usize> {
        self.in_network().iter().position(|other| *other == axis)
    }

    /// Returns nnU-Net's value of each axis in the order x, y, z of the file; `across` is that of the axis that a
    /// two-dimensional configuration lacks. `None` if the number of values is wrong.
    pub fn in_file_order<T: Copy>(&self, values: &[T], across: T) -> Option<[T; 3]> {
        if values.len() != self.dimensions() {
            return None;
        }
        let mut all = [across; 3];
        for (value, axis) in values.iter().zip(self.in_network()) {
            all[*axis] = *value;
        }
        Some(all)
    }

    /// Returns the axis of the file for an axis of nnU-Net's network, counted without batch and channels.
    pub fn of_network(&self, axis: usize) -> Option<usize> {
        self.in_network().get(axis).copied()
    }

    /// Returns a convolution's weight `[a, b, ...]` with kernels in the order x, y, z of the file; other tensors stay as they
    /// are.
    ///
    /// # Shapes
    /// - tensor: `[a, b, k0, k1, k2]`, or `[a, b, k1, k2]` of a two-dimensional configuration
    /// - result: `[a, b, x, y, z]`
    pub fn of_kernel(&self, tensor: NamedTensor) -> NamedTensor {
        let [first, second, ref kernel @ ..] = tensor.shape[..] else { return tensor };
        let Some(shape) = self.in_file_order(kernel, 1) else { return tensor };
        // The distance in memory between neighbours along each axis of the file.
        let strides: Vec<usize> = (0..kernel.len()).map(|axis| kernel[axis + 1..].iter().product()).collect();
        let strides = self.in_file_order(&strides, 0).expect("there are as many strides as sizes");
        let size: usize = kernel.iter().product();
        let mut data = Vec::with_capacity(tensor.data.len());
        for kernel in tensor.data.chunks_exact(size.max(1)) {
            for x in 0..shape[0] {
                for y in 0..shape[1] {
                    data.extend((0..shape[2]).map(|z| kernel[x * strides[0] + y * strides[1] + z * strides[2]]));
                }
            }
        }
        let [x, y, z] = shape;
        NamedTensor { name: tensor.name, shape: vec![first, second, x, y, z], data }
    }

    /// Returns a convolution's weight with the kernel in the order of nnU-Net's axes: the inverse of
    /// [`of_kernel`](Self::of_kernel). Other tensors stay as they are.
    ///
    /// # Shapes
    /// - tensor: `[a, b, x, y, z]`
    /// - result: `[a, b, k0, k1, k2]`, or `[a, b, k1, k2]` of a two-dimensional configuration
    pub fn to_kernel(self, tensor: NamedTensor) -> NamedTensor {
        let [first, second, x, y, z] = tensor.shape[..] else { return tensor };
        let kernel = [x, y, z];
        let strides = [y * z, z, 1];
        let all = |values: [usize; 3]| self.to_file.map(|axis| values[axis]);
        let (shape, strides) = (all(kernel), all(strides));
        let mut data = Vec::with_capacity(tensor.data.len());
        for kernel in tensor.data.chunks_exact((x * y * z).max(1)) {
            for i in 0..shape[0] {
                for j in 0..shape[1] {
                    data.extend((0..shape[2]).map(|k| kernel[i * strides[0] + j * strides[1] + k * strides[2]]));
                }
            }
        }
        let shape = [first, second].into_iter().chain(self.in_network_order(kernel)).collect();
        NamedTensor { name: tensor.name, shape, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(shape: &[usize]) -> NamedTensor {
        let data = (0..shape.iter().product()).map(|index: usize| index as f32).collect();
        NamedTensor { name: "weight".to_owned(), shape: shape.to_vec(), data }
    }

    #[test]
    fn without_transposition_lists_are_reversed() {
        let axes = Axes::new(&[0, 1, 2], 3).unwrap();
        assert_eq!(axes.in_file_order(&[1, 2, 3], 0), Some([3, 2, 1]));
        assert_eq!([0, 1, 2].map(|axis| axes.of_network(axis).unwrap()), [2, 1, 0]);
        assert_eq!(axes.of_network(3), None);
        assert_eq!(axes.in_file_order(&[1, 2], 0), None);
    }

    #[test]
    fn a_transposition_is_part_of_the_order() {
        // nnU-Net's axes are x, z, y of the file.
        let axes = Axes::new(&[2, 0, 1], 3).unwrap();
        assert_eq!(axes.in_file_order(&['x', 'z', 'y'], '-'), Some(['x', 'y', 'z']));
        let planar = Axes::new(&[2, 0, 1], 2).unwrap();
        assert_eq!(planar.in_file_order(&['z', 'y'], '-'), Some(['-', 'y', 'z']));
        assert_eq!([0, 1].map(|axis| planar.of_network(axis).unwrap()), [2, 1]);
        assert!(Axes::new(&[0, 1, 1], 3).is_err() && Axes::new(&[0, 1, 2], 4).is_err());
    }

    #[test]
    fn the_first_axis_is_followed_by_the_others_from_z_to_x() {
        for (first, forward, backward) in
            [(2, [0, 1, 2], [0, 1, 2]), (0, [2, 0, 1], [1, 2, 0]), (1, [1, 0, 2], [1, 0, 2])]
        {
            for (is_planar, dimensions) in [(false, 3), (true, 2)] {
                let axes = Axes::with_first(first, is_planar);
                assert_eq!((axes.transpose_forward(), axes.transpose_backward()), (forward, backward));
                assert_eq!(axes, Axes::new(&forward, dimensions).unwrap());
                let values = axes.in_network_order(['x', 'y', 'z']);
                let restored = axes.in_file_order(&values, ['x', 'y', 'z'][first]);
                assert_eq!(restored, Some(['x', 'y', 'z']));
                for axis in 0..3 {
                    let of_network = axes.to_network(axis).map(|axis| axes.of_network(axis).unwrap());
                    assert_eq!(of_network, (axis != first || !is_planar).then_some(axis));
                }
            }
        }
    }

    #[test]
    fn kernels_return_to_the_order_of_the_network() {
        for (first, is_planar, shape) in
            [(2, false, [2, 3, 1, 3, 5]), (0, false, [2, 3, 1, 3, 5]), (1, true, [2, 3, 3, 1, 5])]
        {
            let (axes, ours) = (Axes::with_first(first, is_planar), kernel(&shape));
            let theirs = axes.to_kernel(ours.clone());
            assert_eq!(theirs.shape.len(), axes.dimensions() + 2);
            assert_eq!(axes.of_kernel(theirs), ours);
        }
        let theirs = Axes::with_first(2, false).to_kernel(kernel(&[1, 1, 5, 3, 2]));
        assert_eq!((theirs.shape, &theirs.data[..3]), (vec![1, 1, 2, 3, 5], &[0.0, 6.0, 12.0][..]));
        assert_eq!(Axes::with_first(2, false).to_kernel(kernel(&[4])), kernel(&[4]));
    }

    #[test]
    fn kernels_are_permuted_like_volumes() {
        // Sizes 2, 3, 5 along z, y, x, with the value 15 z + 5 y + x.
        let axes = Axes::new(&[0, 1, 2], 3).unwrap();
        let ours = axes.of_kernel(kernel(&[1, 2, 2, 3, 5]));
        assert_eq!(ours.shape, [1, 2, 5, 3, 2]);
        let at = |channel: usize, [x, y, z]: [usize; 3]| ours.data[((channel * 5 + x) * 3 + y) * 2 + z];
        for (channel, [x, y, z]) in [(0, [4, 1, 1]), (1, [2, 2, 0])] {
            assert_eq!(at(channel, [x, y, z]), (30 * channel + 15 * z + 5 * y + x) as f32);
        }
        let planar = Axes::new(&[0, 1, 2], 2).unwrap().of_kernel(kernel(&[1, 1, 3, 5]));
        assert_eq!(planar.shape, [1, 1, 5, 3, 1]);
        assert_eq!(planar.data[..4], [0.0, 5.0, 10.0, 1.0]);
        assert_eq!(axes.of_kernel(kernel(&[4])), kernel(&[4]));
    }
}

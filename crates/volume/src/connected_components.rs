//! Connected-component labelling.

/// The connected components of a mask, with 6-connectivity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedComponents {
    /// The component of each voxel, counted from 1; 0 outside the mask.
    pub ids: Vec<u32>,
    /// The number of voxels of each component; the first entry is component 1.
    pub sizes: Vec<usize>,
}

/// Labels the connected components of the voxels for which `is_inside` returns true, with 6-connectivity: voxels are
/// connected by their faces. `is_inside` receives a voxel's index in an array `[x, y, z]`. Components are numbered in the
/// order of their first voxels.
///
/// ```
/// use volume::connected_components::connected_components;
///
/// let mask = [true, true, false, true];
/// assert_eq!(connected_components([1, 1, 4], |voxel| mask[voxel]).sizes, [2, 1]);
/// ```
///
/// # Panics
/// When there are 2³² components or more.
pub fn connected_components(shape: [usize; 3], is_inside: impl Fn(usize) -> bool) -> ConnectedComponents {
    let [size_x, size_y, size_z] = shape;
    let mut components = ConnectedComponents { ids: vec![0; size_x * size_y * size_z], sizes: Vec::new() };
    let mut stack = Vec::new();
    for seed in 0..components.ids.len() {
        if components.ids[seed] != 0 || !is_inside(seed) {
            continue;
        }
        let id = u32::try_from(components.sizes.len() + 1).expect("a volume has fewer than 2^32 components");
        components.ids[seed] = id;
        stack.push(seed);
        let mut size = 0;
        while let Some(voxel) = stack.pop() {
            size += 1;
            let (x, y, z) = (voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z);
            let neighbours = [
                (x > 0).then(|| voxel - size_y * size_z),
                (x + 1 < size_x).then(|| voxel + size_y * size_z),
                (y > 0).then(|| voxel - size_z),
                (y + 1 < size_y).then(|| voxel + size_z),
                (z > 0).then(|| voxel - 1),
                (z + 1 < size_z).then(|| voxel + 1),
            ];
            for neighbour in neighbours.into_iter().flatten() {
                if components.ids[neighbour] == 0 && is_inside(neighbour) {
                    components.ids[neighbour] = id;
                    stack.push(neighbour);
                }
            }
        }
        components.sizes.push(size);
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonal_neighbours_are_not_connected() {
        let mask = [true, false, false, true];
        assert_eq!(connected_components([1, 2, 2], |i| mask[i]).sizes, [1, 1]);
    }

    #[test]
    fn voxels_around_a_corner_are_one_component() {
        let mask = [true, true, false, true, false, true, false, true];
        let components = connected_components([2, 2, 2], |i| mask[i]);
        assert_eq!(components.sizes, [5]);
        assert_eq!(components.ids, [1, 1, 0, 1, 0, 1, 0, 1]);
    }
}

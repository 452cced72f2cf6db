//! Connected components of label maps.

/// The voxels of a mask, grouped by touching faces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedComponents {
    /// For each voxel its component, counted from 1; 0 outside the mask.
    pub ids: Vec<u32>,
    /// Voxels of each component; the first entry is component 1.
    pub sizes: Vec<usize>,
}

/// Finds the components of the voxels `[x, y, z]` for which `is_inside` holds. Voxels touch by their faces.
///
/// ConnectedComponents are numbered in the order of their first voxels.
///
/// # Panics
/// When there are more than 2³² components, which no volume of NIfTI's size has.
pub fn connected_components(shape: [usize; 3], is_inside: impl Fn(usize) -> bool) -> ConnectedComponents {
    let [size_x, size_y, size_z] = shape;
    let mut found = ConnectedComponents { ids: vec![0; size_x * size_y * size_z], sizes: Vec::new() };
    let mut open = Vec::new();
    for seed in 0..found.ids.len() {
        if found.ids[seed] != 0 || !is_inside(seed) {
            continue;
        }
        let id = u32::try_from(found.sizes.len() + 1).expect("a volume has fewer than 2^32 components");
        found.ids[seed] = id;
        open.push(seed);
        let mut size = 0;
        while let Some(voxel) = open.pop() {
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
                if found.ids[neighbour] == 0 && is_inside(neighbour) {
                    found.ids[neighbour] = id;
                    open.push(neighbour);
                }
            }
        }
        found.sizes.push(size);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonal_neighbours_do_not_touch() {
        let mask = [true, false, false, true];
        assert_eq!(connected_components([1, 2, 2], |i| mask[i]).sizes, [1, 1]);
    }

    #[test]
    fn a_bend_is_one_component() {
        let mask = [true, true, false, true, false, true, false, true];
        let found = connected_components([2, 2, 2], |i| mask[i]);
        assert_eq!(found.sizes, [5]);
        assert_eq!(found.ids, [1, 1, 0, 1, 0, 1, 0, 1]);
    }
}

//! Connected-component labelling.

/// The connected components of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedComponents {
    /// The component of each voxel, counted from 1; 0 outside the mask.
    pub ids: Vec<u32>,
    /// The number of voxels of each component; the first entry is component 1.
    pub sizes: Vec<usize>,
}

/// Which voxels are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connectivity {
    /// Those that share a face: 6 around each.
    #[default]
    Faces,
    /// Those that share a face or an edge: 18 around each.
    Edges,
    /// Those that share a face, an edge or a corner: 26 around each.
    Corners,
}

impl Connectivity {
    /// Returns the steps along x, y and z from a voxel to those that it is connected to.
    fn steps(self) -> Vec<[isize; 3]> {
        let max_axes = match self {
            Self::Faces => 1,
            Self::Edges => 2,
            Self::Corners => 3,
        };
        let along = -1..=1isize;
        let all = along.clone().flat_map(|x| along.clone().flat_map(move |y| (-1..=1).map(move |z| [x, y, z])));
        all.filter(|step| (1..=max_axes).contains(&step.iter().filter(|along| **along != 0).count())).collect()
    }
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
    connected_components_by(Connectivity::Faces, shape, is_inside)
}

/// The same as [`connected_components`], with any connectivity.
///
/// # Panics
/// When there are 2³² components or more.
pub fn connected_components_by(
    connectivity: Connectivity,
    shape: [usize; 3],
    is_inside: impl Fn(usize) -> bool,
) -> ConnectedComponents {
    let [size_x, size_y, size_z] = shape;
    let mut components = ConnectedComponents { ids: vec![0; size_x * size_y * size_z], sizes: Vec::new() };
    // A step as its parts and as a distance in the array.
    let distance = |[x, y, z]: [isize; 3]| (x * size_y as isize + y) * size_z as isize + z;
    let steps: Vec<([isize; 3], isize)> = connectivity.steps().into_iter().map(|step| (step, distance(step))).collect();
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
            let position = [voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z];
            for (step, distance) in &steps {
                let is_in_volume = (0..3).all(|axis| position[axis].wrapping_add_signed(step[axis]) < shape[axis]);
                if !is_in_volume {
                    continue;
                }
                let neighbour = voxel.wrapping_add_signed(*distance);
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

    #[test]
    fn diagonals_connect_by_their_edges_or_corners() {
        let sizes = |connectivity, shape: [usize; 3], inside: &[usize]| {
            connected_components_by(connectivity, shape, |voxel| inside.contains(&voxel)).sizes.len()
        };
        // Two voxels that share an edge, and two that share a corner.
        for (inside, expected) in [([0, 3], [2, 1, 1]), ([0, 7], [2, 2, 1])] {
            let all = [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners];
            assert_eq!(all.map(|connectivity| sizes(connectivity, [2, 2, 2], &inside)), expected);
        }
        let counts = [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners].map(|one| one.steps().len());
        assert_eq!(counts, [6, 18, 26]);
    }

    #[test]
    fn the_ends_of_two_rows_are_not_connected() {
        // The last voxel of one row and the first of the next are neighbours in the array only.
        let components = connected_components_by(Connectivity::Corners, [1, 2, 3], |voxel| voxel == 2 || voxel == 3);
        assert_eq!(components.sizes, [1, 1]);
    }
}

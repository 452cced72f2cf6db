//! The voxels that are not zero: their bounding box, and their mask with its holes filled.

use rayon::prelude::*;

use crate::WholeVolume;
use crate::statistics::region::Bounds;
use volume::offset;

/// Returns the bounding box of the voxels with an intensity other than 0 in any channel; `None` if there are none.
pub(crate) fn bounds(whole: &WholeVolume) -> Option<Bounds> {
    let [size_x, size_y, size_z] = whole.grid.shape;
    let of_plane = |x: usize| {
        let mut bounds: Option<Bounds> = None;
        for channel in whole.channels() {
            for y in 0..size_y {
                let row = &channel[offset(whole.grid.shape, [x, y, 0])..][..size_z];
                let Some(first) = row.iter().position(|value| *value != 0.0) else { continue };
                let last = row.iter().rposition(|value| *value != 0.0).unwrap_or(first);
                bounds = union(bounds, Some(([x, y, first], [x + 1, y + 1, last + 1])));
            }
        }
        bounds
    };
    (0..size_x).into_par_iter().map(of_plane).reduce(|| None, union)
}

/// Returns the bounding box of two boxes.
fn union(a: Option<Bounds>, b: Option<Bounds>) -> Option<Bounds> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    let low = std::array::from_fn(|axis| a.0[axis].min(b.0[axis]));
    Some((low, std::array::from_fn(|axis| a.1[axis].max(b.1[axis]))))
}

/// The voxels of a volume with an intensity other than 0 in any channel, and those that they enclose: nnU-Net's
/// `create_nonzero_mask`. Background is outside if it is connected to the border of the volume by faces.
#[derive(Clone, Debug)]
pub(crate) struct NonzeroMask {
    shape: [usize; 3],
    states: Vec<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Every channel is 0; a hole unless it is found to be outside.
    Zero,
    /// A channel is not 0.
    Nonzero,
    /// Connected to the border by zeros.
    Outside,
}

/// Consecutive zeros of a row along z: the row's x and y, and the first and the last z.
type Run = ([usize; 2], [usize; 2]);

impl NonzeroMask {
    /// Returns the mask of a volume.
    pub(crate) fn new(whole: &WholeVolume) -> Self {
        let mut states = vec![State::Zero; whole.grid.num_voxels()];
        for channel in whole.channels() {
            for (state, value) in states.iter_mut().zip(channel) {
                if *value != 0.0 {
                    *state = State::Nonzero;
                }
            }
        }
        let mut mask = Self { shape: whole.grid.shape, states };
        if mask.states.contains(&State::Zero) {
            mask.mark_outside();
        }
        mask
    }

    /// Returns whether a voxel is in the mask.
    pub(crate) fn contains(&self, voxel: [usize; 3]) -> bool {
        self.states[offset(self.shape, voxel)] != State::Outside
    }

    /// Marks the zeros that are connected to the border, run by run.
    fn mark_outside(&mut self) {
        let [size_x, size_y, size_z] = self.shape;
        let mut runs: Vec<Run> = Vec::new();
        for x in 0..size_x {
            for y in 0..size_y {
                if x == 0 || y == 0 || x + 1 == size_x || y + 1 == size_y {
                    self.mark_within([x, y], [0, size_z - 1], &mut runs);
                } else {
                    self.mark_within([x, y], [0, 0], &mut runs);
                    self.mark_within([x, y], [size_z - 1, size_z - 1], &mut runs);
                }
            }
        }
        while let Some(([x, y], along)) = runs.pop() {
            let neighbours = [
                (x > 0, x.wrapping_sub(1), y),
                (x + 1 < size_x, x + 1, y),
                (y > 0, x, y.wrapping_sub(1)),
                (y + 1 < size_y, x, y + 1),
            ];
            for (_, x, y) in neighbours.into_iter().filter(|(exists, ..)| *exists) {
                self.mark_within([x, y], along, &mut runs);
            }
        }
    }

    /// Marks the runs of a row that have a voxel between two indices along z, and adds them to `runs`.
    fn mark_within(&mut self, [x, y]: [usize; 2], [first, last]: [usize; 2], runs: &mut Vec<Run>) {
        let start = offset(self.shape, [x, y, 0]);
        let row = &mut self.states[start..start + self.shape[2]];
        let mut z = first;
        while z <= last {
            if row[z] == State::Zero {
                let begin = row[..z].iter().rposition(|state| *state != State::Zero).map_or(0, |before| before + 1);
                let end = row[z..].iter().position(|state| *state != State::Zero).map_or(row.len(), |size| z + size);
                row[begin..end].fill(State::Outside);
                runs.push(([x, y], [begin, end - 1]));
                z = end;
            }
            z += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid, unravel_index};

    fn mask(shape: [usize; 3], image: &[f32]) -> Vec<bool> {
        let grid = Grid { shape, affine: Affine::IDENTITY };
        let mask = NonzeroMask::new(&WholeVolume { grid, image, label: None });
        (0..grid.num_voxels()).map(|voxel| mask.contains(unravel_index(shape, voxel))).collect()
    }

    #[test]
    fn enclosed_zeros_are_inside_and_open_ones_outside() {
        // A shell of 5 x 5 x 5 voxels in a volume of 7 x 7 x 7.
        let shape = [7; 3];
        let in_box =
            |voxel: [usize; 3], low: usize, high: usize| voxel.iter().all(|index| (low..=high).contains(index));
        let shell = |voxel: [usize; 3]| in_box(voxel, 1, 5) && !in_box(voxel, 2, 4);
        let voxels: Vec<[usize; 3]> = (0..343).map(|voxel| unravel_index(shape, voxel)).collect();
        let closed: Vec<f32> = voxels.iter().map(|voxel| f32::from(shell(*voxel))).collect();
        let expected: Vec<bool> = voxels.iter().map(|voxel| in_box(*voxel, 1, 5)).collect();
        assert_eq!(mask(shape, &closed), expected);
        // A hole in the wall.
        let mut open = closed;
        open[offset(shape, [1, 3, 3])] = 0.0;
        let inside: Vec<bool> = open.iter().map(|value| *value != 0.0).collect();
        assert_eq!(mask(shape, &open), inside);
    }

    #[test]
    fn zeros_that_touch_only_by_an_edge_are_not_connected() {
        // 0 at (1, 1) touches the border's 0 at (0, 0) by an edge alone.
        let image = [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        // An axis of one voxel is at the border as a whole.
        assert_eq!(mask([3, 3, 1], &image).iter().filter(|inside| **inside).count(), 7);
        let thick: Vec<f32> = (0..27).map(|i| if (9..18).contains(&i) { image[i - 9] } else { 1.0 }).collect();
        assert_eq!(mask([3, 3, 3], &thick).iter().filter(|inside| **inside).count(), 26);
    }

    #[test]
    fn any_channel_counts() {
        let image = [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, /* second channel */ 0.0, -1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(mask([1, 1, 6], &image), [false, true, false, false, true, false]);
        assert_eq!(mask([1, 1, 3], &[0.0; 3]), [false; 3]);
    }
}

//! Signed distances to the boundary of a mask: the exact Euclidean distance transform of Felzenszwalb and Huttenlocher (2012).

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// Returns the signed distance of each voxel to the boundary of its class, in voxels: outside the distance to the nearest voxel
/// inside, inside 1 minus the distance to the nearest voxel outside. It is 0 for a class without voxels or without outside.
///
/// Distances are computed on the host, and are the same on every device.
///
/// # Shapes
/// - classes: 0 or 1, `[batch, class, x, y, z]`
/// - output: the same, without autodiff
pub(super) fn signed(classes: Tensor<5>) -> Tensor<5> {
    let shape = classes.dims();
    let [.., x, y, z] = shape;
    let classes = classes.inner();
    let device = classes.device();
    let mut values: Vec<f32> =
        classes.into_data_as::<f32>().try_to_vec().expect("a tensor converted to f32 contains f32");
    values.par_chunks_exact_mut(x * y * z).for_each(|map| signed_map(map, [x, y, z]));
    Tensor::from_data(TensorData::new(values, shape), &device)
}

/// Replaces a mask by its signed distances.
fn signed_map(map: &mut [f32], shape: [usize; 3]) {
    let inside: Vec<bool> = map.iter().map(|value| *value > 0.5).collect();
    map.fill(0.0);
    if inside.iter().all(|is_inside| *is_inside == inside[0]) {
        return;
    }
    let to_inside = squared_distances(inside.iter().copied(), shape);
    let to_outside = squared_distances(inside.iter().map(|is_inside| !is_inside), shape);
    for (voxel, value) in map.iter_mut().enumerate() {
        *value = if inside[voxel] { 1.0 - to_outside[voxel].sqrt() as f32 } else { to_inside[voxel].sqrt() as f32 };
    }
}

/// Returns the squared distance of each voxel to the nearest one of a mask.
fn squared_distances(mask: impl Iterator<Item = bool>, [size_x, size_y, size_z]: [usize; 3]) -> Vec<f64> {
    let mut distances: Vec<f64> = mask.map(|is_in| if is_in { 0.0 } else { f64::INFINITY }).collect();
    let mut envelope = Envelope::default();
    for start in (0..size_x * size_y).map(|row| row * size_z) {
        envelope.transform(&mut distances, start, 1, size_z);
    }
    for x in 0..size_x {
        for z in 0..size_z {
            envelope.transform(&mut distances, x * size_y * size_z + z, size_z, size_y);
        }
    }
    for start in 0..size_y * size_z {
        envelope.transform(&mut distances, start, size_y * size_z, size_x);
    }
    distances
}

/// The lower envelope of the parabolas that start at the values of a row.
#[derive(Default)]
struct Envelope {
    row: Vec<f64>,
    /// The positions of the parabolas of the envelope, and where each begins to be the lowest.
    parabolas: Vec<(usize, f64)>,
}

impl Envelope {
    /// Replaces each value of a row by the minimum over the row of squared distance plus value.
    fn transform(&mut self, values: &mut [f64], start: usize, stride: usize, length: usize) {
        let Self { row, parabolas } = self;
        row.clear();
        row.extend((0..length).map(|index| values[start + index * stride]));
        parabolas.clear();
        for position in (0..length).filter(|position| row[*position].is_finite()) {
            let height = |position: usize| row[position] + (position * position) as f64;
            let begin = loop {
                let Some(&(other, begin)) = parabolas.last() else { break f64::NEG_INFINITY };
                let intersection = (height(position) - height(other)) / (2.0 * (position - other) as f64);
                if intersection > begin {
                    break intersection;
                }
                parabolas.pop();
            };
            parabolas.push((position, begin));
        }
        let mut current = 0;
        for index in 0..if parabolas.is_empty() { 0 } else { length } {
            while parabolas.get(current + 1).is_some_and(|(_, begin)| *begin < index as f64) {
                current += 1;
            }
            let (position, _) = parabolas[current];
            let distance = index as f64 - position as f64;
            values[start + index * stride] = distance * distance + row[position];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_nearest_voxel() {
        let shape = [5, 6, 7];
        let points: Vec<[usize; 3]> = (0..210).map(|voxel| [voxel / 42, voxel / 7 % 6, voxel % 7]).collect();
        let inside: Vec<bool> = (0..210usize).map(|voxel| (voxel * voxel * 31 + voxel) % 17 == 3).collect();
        let mut map: Vec<f32> = inside.iter().map(|is_inside| f32::from(u8::from(*is_inside))).collect();
        signed_map(&mut map, shape);
        for (voxel, point) in points.iter().enumerate() {
            let others = points.iter().zip(&inside).filter(|(_, other)| **other != inside[voxel]);
            let squared =
                others.map(|(other, _)| (0..3).map(|axis| point[axis].abs_diff(other[axis]).pow(2)).sum::<usize>());
            let nearest = (squared.min().unwrap() as f64).sqrt() as f32;
            assert_eq!(map[voxel], if inside[voxel] { 1.0 - nearest } else { nearest }, "{point:?}");
        }
    }

    #[test]
    fn a_mask_without_boundary_has_no_distances() {
        for value in [0.0, 1.0] {
            let mut map = vec![value; 8];
            signed_map(&mut map, [2, 2, 2]);
            assert_eq!(map, [0.0; 8]);
        }
    }
}

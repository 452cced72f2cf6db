//! Renders an anatomy as voxels, with the blur and the noise of a scanner.

use rayon::prelude::*;

use super::anatomy::{Anatomy, HALF_VIEW};
use super::{PhantomSource, name};
use crate::sources::Generator;
use random::{NoiseField, Purpose, Seed};
use volume::{Label, Volume, Voxels};

/// Weights of the blur along x and y, which simulates partial volumes and correlates the noise of neighbours.
const BLUR: [f32; 3] = [0.25, 0.5, 0.25];
/// Factor by which the blur reduces the standard deviation of white noise: the sum of squares of its weights.
const BLUR_NOISE_FACTOR: f32 = 0.375;
/// Range of the values that a CT scanner stores.
const MIN_HU: f32 = -1024.0;
const MAX_HU: f32 = 3071.0;

/// Generates one subject in integer Hounsfield units; label 1 is the liver, 2 its tumours.
///
/// Every subject has its own random stream, so it depends neither on other subjects nor on the number of threads.
pub fn generate(source: &PhantomSource, index: usize) -> Volume {
    let grid = source.grid();
    let [_, height, depth] = grid.shape;
    let plane = height * depth;
    let stream = |part| Seed(source.seed).stream(Purpose::Phantom, 0, &name(index), part);
    let anatomy = Anatomy::sample(&mut stream(0), source.tumours);
    let noise = NoiseField::sample(&mut stream(1));
    let deviation = source.noise_hu.get() as f32 / BLUR_NOISE_FACTOR;
    let mut sharp = vec![0f32; grid.num_voxels()];
    let mut label: Vec<Label> = vec![0; grid.num_voxels()];
    sharp.par_chunks_mut(plane).zip(label.par_chunks_mut(plane)).enumerate().for_each(|(x, (sharp, label))| {
        noise.normals((x * plane) as u64, sharp);
        for y in 0..height {
            for z in 0..depth {
                let (intensity, class) = anatomy.tissue(nominal(grid.shape, [x, y, z]));
                let value = &mut sharp[y * depth + z];
                *value = intensity + deviation * *value;
                label[y * depth + z] = class;
            }
        }
    });
    let image = blurred(&sharp, grid.shape);
    Volume { grid, image: Voxels::new(1, grid.shape, image), label: Some(Voxels::new(1, grid.shape, label)) }
}

/// Returns the position of a voxel in the nominal field of view.
fn nominal(shape: [usize; 3], voxel: [usize; 3]) -> [f32; 3] {
    std::array::from_fn(|axis| ((voxel[axis] as f32 + 0.5) / shape[axis] as f32 * 2.0 - 1.0) * HALF_VIEW[axis])
}

/// Blurs along x and y, replicating the border, and rounds.
fn blurred(sharp: &[f32], shape: [usize; 3]) -> Vec<f32> {
    let [width, height, depth] = shape;
    let plane = height * depth;
    let mut image = vec![0f32; sharp.len()];
    image.par_chunks_mut(plane).enumerate().for_each(|(x, out)| {
        for (dx, wx) in BLUR.into_iter().enumerate() {
            let near_x = (x + dx).saturating_sub(1).min(width - 1);
            for y in 0..height {
                for (dy, wy) in BLUR.into_iter().enumerate() {
                    let near_y = (y + dy).saturating_sub(1).min(height - 1);
                    let row = &sharp[near_x * plane + near_y * depth..][..depth];
                    for (value, &near) in out[y * depth..][..depth].iter_mut().zip(row) {
                        *value += wx * wy * near;
                    }
                }
            }
        }
        for value in out {
            *value = value.round().clamp(MIN_HU, MAX_HU);
        }
    });
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> PhantomSource {
        serde_json::from_str("{}").unwrap()
    }

    fn counts(volume: &Volume) -> [usize; 3] {
        let label = volume.label.as_ref().unwrap();
        [0, 1, 2].map(|class| label.iter().filter(|&&value| value == class).count())
    }

    #[test]
    fn a_subject_is_the_same_for_any_number_of_threads() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| generate(&source(), 3))
        };
        let (one, three) = (with(1), with(3));
        assert_eq!(one.image[..], three.image[..]);
        assert_eq!(one.label.unwrap()[..], three.label.unwrap()[..]);
    }

    #[test]
    fn livers_have_a_realistic_size_and_some_subjects_have_no_tumour() {
        let all: Vec<_> = (0..12).map(|index| counts(&generate(&source(), index))).collect();
        let total = source().grid().num_voxels() as f64;
        for [_, liver, tumour] in &all {
            let fraction = (liver + tumour) as f64 / total;
            assert!((0.02..0.09).contains(&fraction), "{fraction}");
            assert!(tumour < liver);
        }
        let with = all.iter().filter(|counts| counts[2] > 0).count();
        assert!((1..12).contains(&with), "{with} of 12 have tumours");
        let none = PhantomSource { tumours: 0, ..source() };
        assert_eq!(counts(&generate(&none, 0))[2], 0);
    }

    #[test]
    fn the_liver_is_on_the_right_and_in_the_upper_half() {
        let volume = generate(&source(), 1);
        let [width, height, depth] = volume.grid.shape;
        let (mut sum, mut count) = ([0.0; 3], 0.0);
        for (position, &label) in volume.label.as_ref().unwrap().iter().enumerate() {
            if label > 0 {
                let voxel = [position / (height * depth), position / depth % height, position % depth];
                let point = volume.grid.affine.apply(voxel.map(|index| index as f64));
                count += 1.0;
                for axis in 0..3 {
                    sum[axis] += point[axis];
                }
            }
        }
        assert!(width > 0 && sum[0] / count > 20.0 && sum[2] / count > 0.0, "{sum:?} / {count}");
    }

    #[test]
    fn intensities_are_integers_and_tumours_are_darker_than_the_liver() {
        let quiet = PhantomSource { noise_hu: values::NonNegative::new(0.0).unwrap(), ..source() };
        let volume = (0..20).map(|index| generate(&quiet, index)).find(|volume| counts(volume)[2] > 30).unwrap();
        assert!(volume.image.iter().all(|value| value.fract() == 0.0 && (MIN_HU..=MAX_HU).contains(value)));
        let mean = |class| {
            let label = volume.label.as_ref().unwrap();
            let values: Vec<f32> =
                volume.image.iter().zip(label.iter()).filter(|pair| *pair.1 == class).map(|pair| *pair.0).collect();
            values.iter().sum::<f32>() / values.len() as f32
        };
        assert!(mean(1) - mean(2) > 20.0, "liver {}, tumour {}", mean(1), mean(2));
    }
}

//! Voxels as text within a page.
//!
//! In parts of some slices; sixteen bits a voxel, x fastest: the difference to the voxel before, zigzag (0, -1, 1, -2, …), first
//! all low bytes, then all high bytes; then gzip, then base64. `volume.js` undoes it.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use rayon::prelude::*;

use crate::viewer::scene::Scene;

/// The largest number that stands for an intensity; 0 stands for what is no number.
const MOST: f64 = 65535.0;
/// Voxels of a part, about.
const PART: usize = 1 << 22;
/// How many times its width the page keeps beside the window, where there is more than 16 bits can tell apart.
const BESIDE: f64 = 16.0;

/// How intensities become whole numbers of 16 bits: the value of a number is `offset + step * number`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Codes {
    pub offset: f64,
    pub step: f64,
    /// The largest number that is used.
    last: f64,
    /// Whether some intensities lie outside.
    pub is_cut: bool,
}

impl Codes {
    /// Exact for whole numbers of a range of 16 bits, else fine enough for the scene's window.
    pub(super) fn of(scene: &Scene) -> Self {
        let values = scene.image.channel(0);
        let finite = || values.par_iter().copied().filter(|value| value.is_finite());
        let low = finite().reduce(|| f32::INFINITY, f32::min);
        let high = finite().reduce(|| f32::NEG_INFINITY, f32::max);
        if low > high {
            return Self { offset: -1.0, step: 1.0, last: 1.0, is_cut: false };
        }
        let (low, high) = (f64::from(low), f64::from(high));
        if high - low <= MOST - 1.0 && finite().all(|value| value.fract() == 0.0) {
            return Self { offset: low - 1.0, step: 1.0, last: high - low + 1.0, is_cut: false };
        }
        let [black, white] = [scene.window.low, scene.window.high].map(f64::from);
        let beside = BESIDE * (white - black);
        // A window that lies beside all values keeps them all.
        let kept = [low.max(black - beside), high.min(white + beside)];
        let [first, last] = if kept[0] < kept[1] { kept } else { [low, high] };
        let step = if first < last { (last - first) / (MOST - 1.0) } else { 1.0 };
        let numbers = if first < last { MOST } else { 1.0 };
        Self { offset: first - step, step, last: numbers, is_cut: [first, last] != [low, high] }
    }

    /// The number of an intensity; the nearest where it lies outside, 0 where it is no number.
    pub(super) fn code(&self, value: f32) -> u16 {
        let number = ((f64::from(value) - self.offset) / self.step).round();
        if number.is_nan() { 0 } else { number.clamp(1.0, self.last) as u16 }
    }

    /// The least and the largest intensity.
    pub(super) fn range(&self) -> [f32; 2] {
        [1.0, self.last].map(|number| (self.offset + self.step * number) as f32)
    }
}

/// The numbers of all voxels of a scene, read from where they are stored, in parts that cores pack side by side.
pub(super) fn packed(scene: &Scene, number: impl Fn(usize) -> u16 + Sync) -> Vec<String> {
    let [width, height, depth] = scene.grid().shape;
    let (start, strides) = (scene.start(), scene.strides());
    let row = |y: usize, z: usize| {
        let first = start + z as isize * strides[2] + y as isize * strides[1];
        let number = &number;
        (0..width as isize).map(move |x| number((first + x * strides[0]) as usize))
    };
    let slices = (PART / (width * height)).max(1);
    let part = |part: usize| {
        let slices = part * slices..((part + 1) * slices).min(depth);
        let row = &row;
        let numbers = slices.flat_map(move |z| (0..height).flat_map(move |y| row(y, z)));
        packed_part(&numbers.collect::<Vec<u16>>())
    };
    (0..depth.div_ceil(slices)).into_par_iter().map(part).collect()
}

fn packed_part(numbers: &[u16]) -> String {
    // A fast level: what is left after the differences is mostly noise.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(3));
    let packed = gzip.write_all(&zigzag(numbers)).and_then(|()| gzip.finish());
    STANDARD.encode(packed.expect("memory takes every byte"))
}

/// The differences of neighbours, low bytes first.
fn zigzag(numbers: &[u16]) -> Vec<u8> {
    let (mut low, mut high) = (Vec::with_capacity(2 * numbers.len()), Vec::with_capacity(numbers.len()));
    let mut before = 0u16;
    for &number in numbers {
        let difference = number.wrapping_sub(before) as i16;
        let [first, second] = ((difference << 1) ^ (difference >> 15)).to_le_bytes();
        low.push(first);
        high.push(second);
        before = number;
    }
    low.extend(high);
    low
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::viewer::Window;
    use volume::{Affine, Grid, Voxels};

    fn scene(values: &[f32]) -> Scene {
        let grid = Grid { shape: [values.len(), 1, 1], affine: Affine::IDENTITY };
        Scene::new(&grid, &Voxels::new(1, grid.shape, values.to_vec()), None, None)
    }

    #[test]
    fn differences_of_neighbours_stand_low_bytes_first() {
        assert_eq!(zigzag(&[1, 0, 300, 300, 65535]), [2, 1, 88, 0, 89, 0, 0, 2, 0, 2]);
    }

    #[test]
    fn parts_hold_all_voxels_in_order() {
        let shape = [2048, 1024, 3];
        let grid = Grid { shape, affine: Affine::IDENTITY };
        let scene = Scene::new(&grid, &Voxels::new(1, shape, vec![0.0; grid.num_voxels()]), None, None);
        // The number of a voxel is its slice, for z runs fastest where it is stored.
        let parts = packed(&scene, |place| (place % 3) as u16);
        let slices: Vec<Vec<u16>> = parts.iter().map(|part| unpacked(part)).collect();
        assert_eq!(slices.iter().map(Vec::len).collect::<Vec<_>>(), [2 * 2048 * 1024, 2048 * 1024]);
        let numbers = slices.concat();
        assert!(numbers.iter().enumerate().all(|(place, number)| place / (2048 * 1024) == usize::from(*number)));
    }

    /// What the page's script makes of a part.
    fn unpacked(part: &str) -> Vec<u16> {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&STANDARD.decode(part).unwrap()[..]).read_to_end(&mut bytes).unwrap();
        let (low, high) = bytes.split_at(bytes.len() / 2);
        let mut number = 0u16;
        let next = |(low, high): (&u8, &u8)| {
            let zigzag = u16::from_le_bytes([*low, *high]);
            number = number.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
            number
        };
        low.iter().zip(high).map(next).collect()
    }

    #[test]
    fn whole_numbers_are_kept_exactly() {
        let codes = Codes::of(&scene(&[-1024.0, 0.0, 3071.0, f32::NAN]));
        assert_eq!((codes.step, codes.range(), codes.is_cut), (1.0, [-1024.0, 3071.0], false));
        assert_eq!([-1024.0, 0.0, f32::NAN].map(|value| codes.code(value)), [1, 1025, 0]);
    }

    #[test]
    fn an_outlier_leaves_the_window_its_greys() {
        let mut values: Vec<f32> = (0..1000).map(|value| value as f32 / 1000.0).collect();
        values[500] = 1e9;
        let mut scene = scene(&values);
        scene.window = Window { low: 0.0, high: 1.0 };
        let codes = Codes::of(&scene);
        assert!(codes.is_cut && 1.0 / codes.step > 2000.0, "{codes:?}");
        assert_eq!(codes.code(1e9), 65535);
        assert!((codes.range()[1] - 17.0).abs() < 1e-3);
    }

    #[test]
    fn one_value_alone_and_no_numbers_at_all_have_a_number() {
        let codes = Codes::of(&scene(&[0.5; 3]));
        assert_eq!((codes.code(0.5), codes.range()), (1, [0.5; 2]));
        assert_eq!(Codes::of(&scene(&[f32::NAN; 3])).code(f32::NAN), 0);
    }
}

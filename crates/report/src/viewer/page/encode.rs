//! Voxels as text in a page.
//!
//! Intensities are quantized to 16 bits ([`Quantization`]). A chunk has whole slices, x fastest: the difference to the
//! previous voxel in zigzag code (0, -1, 1, -2, …), first all low bytes, then all high bytes, then gzip, then base64.
//! `volume.js` decodes it.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use rayon::prelude::*;

use crate::viewer::Scene;

/// The largest code of an intensity; code 0 is NaN.
const MAX_CODE: f64 = 65535.0;
/// The approximate number of voxels in a chunk.
const CHUNK_SIZE: usize = 1 << 22;
/// If 16 bits are too few for all intensities, this many window widths on either side of the window are kept.
const MARGIN: f64 = 16.0;

/// The quantization of intensities to 16 bits: the intensity of a code is `offset + step * code`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantization {
    pub offset: f64,
    pub step: f64,
    /// The largest code in use.
    last: f64,
    /// Whether some intensities are clipped.
    pub is_clipped: bool,
}

impl Quantization {
    /// Chooses the quantization of a scene: lossless for integers within a range of 16 bits, otherwise fine within the
    /// window and a margin around it.
    pub(super) fn of(scene: &Scene) -> Self {
        let values = scene.image.channel(0);
        let finite = || values.par_iter().copied().filter(|value| value.is_finite());
        let low = finite().reduce(|| f32::INFINITY, f32::min);
        let high = finite().reduce(|| f32::NEG_INFINITY, f32::max);
        if low > high {
            return Self { offset: -1.0, step: 1.0, last: 1.0, is_clipped: false };
        }
        let (low, high) = (f64::from(low), f64::from(high));
        if high - low <= MAX_CODE - 1.0 && finite().all(|value| value.fract() == 0.0) {
            return Self { offset: low - 1.0, step: 1.0, last: high - low + 1.0, is_clipped: false };
        }
        let [black, white] = [scene.window.low, scene.window.high].map(f64::from);
        let margin = MARGIN * (white - black);
        // If the window contains no value, all values are kept.
        let kept = [low.max(black - margin), high.min(white + margin)];
        let [first, last] = if kept[0] < kept[1] { kept } else { [low, high] };
        let step = if first < last { (last - first) / (MAX_CODE - 1.0) } else { 1.0 };
        let max_code = if first < last { MAX_CODE } else { 1.0 };
        Self { offset: first - step, step, last: max_code, is_clipped: [first, last] != [low, high] }
    }

    /// Returns the code of an intensity: the nearest code if it is clipped, 0 for NaN.
    pub(super) fn code(&self, value: f32) -> u16 {
        let code = ((f64::from(value) - self.offset) / self.step).round();
        if code.is_nan() { 0 } else { code.clamp(1.0, self.last) as u16 }
    }

    /// Returns the smallest and the largest intensity.
    pub(super) fn range(&self) -> [f32; 2] {
        [1.0, self.last].map(|code| (self.offset + self.step * code) as f32)
    }
}

/// Encodes all voxels of a scene in chunks, which are compressed in parallel.
///
/// `code` returns the code of a voxel by its storage index.
pub(super) fn encode(scene: &Scene, code: impl Fn(usize) -> u16 + Sync) -> Vec<String> {
    let [width, height, depth] = scene.grid().shape;
    let (start, strides) = (scene.start(), scene.strides());
    let row = |y: usize, z: usize| {
        let first = start + z as isize * strides[2] + y as isize * strides[1];
        let code = &code;
        (0..width as isize).map(move |x| code((first + x * strides[0]) as usize))
    };
    let slices_per_chunk = (CHUNK_SIZE / (width * height)).max(1);
    let chunk = |chunk: usize| {
        let slices = chunk * slices_per_chunk..((chunk + 1) * slices_per_chunk).min(depth);
        let row = &row;
        let codes = slices.flat_map(move |z| (0..height).flat_map(move |y| row(y, z)));
        encode_chunk(&codes.collect::<Vec<u16>>())
    };
    (0..depth.div_ceil(slices_per_chunk)).into_par_iter().map(chunk).collect()
}

fn encode_chunk(codes: &[u16]) -> String {
    // Differences are mostly noise, which a higher level hardly compresses further.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(3));
    let compressed = gzip.write_all(&zigzag(codes)).and_then(|()| gzip.finish());
    STANDARD.encode(compressed.expect("writing to memory cannot fail"))
}

/// Returns the differences of successive codes in zigzag code, low bytes first.
fn zigzag(codes: &[u16]) -> Vec<u8> {
    let (mut low, mut high) = (Vec::with_capacity(2 * codes.len()), Vec::with_capacity(codes.len()));
    let mut previous = 0u16;
    for &code in codes {
        let difference = code.wrapping_sub(previous) as i16;
        let [first, second] = ((difference << 1) ^ (difference >> 15)).to_le_bytes();
        low.push(first);
        high.push(second);
        previous = code;
    }
    low.extend(high);
    low
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::viewer::IntensityWindow;
    use volume::{Affine, Grid, Voxels};

    fn scene(values: &[f32]) -> Scene {
        let grid = Grid { shape: [values.len(), 1, 1], affine: Affine::IDENTITY };
        Scene::new(&grid, &Voxels::new(1, grid.shape, values.to_vec()), None, None)
    }

    #[test]
    fn differences_are_written_low_bytes_first() {
        assert_eq!(zigzag(&[1, 0, 300, 300, 65535]), [2, 1, 88, 0, 89, 0, 0, 2, 0, 2]);
    }

    #[test]
    fn chunks_have_all_voxels_in_order() {
        let shape = [2048, 1024, 3];
        let grid = Grid { shape, affine: Affine::IDENTITY };
        let scene = Scene::new(&grid, &Voxels::new(1, shape, vec![0.0; grid.num_voxels()]), None, None);
        // Voxels are stored with z fastest, so the code of a voxel is its slice.
        let chunks = encode(&scene, |index| (index % 3) as u16);
        let slices: Vec<Vec<u16>> = chunks.iter().map(|chunk| decode(chunk)).collect();
        assert_eq!(slices.iter().map(Vec::len).collect::<Vec<_>>(), [2 * 2048 * 1024, 2048 * 1024]);
        let codes = slices.concat();
        assert!(codes.iter().enumerate().all(|(index, code)| index / (2048 * 1024) == usize::from(*code)));
    }

    /// Decodes a chunk as the script of the page does.
    fn decode(chunk: &str) -> Vec<u16> {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&STANDARD.decode(chunk).unwrap()[..]).read_to_end(&mut bytes).unwrap();
        let (low, high) = bytes.split_at(bytes.len() / 2);
        let mut code = 0u16;
        let next = |(low, high): (&u8, &u8)| {
            let zigzag = u16::from_le_bytes([*low, *high]);
            code = code.wrapping_add((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
            code
        };
        low.iter().zip(high).map(next).collect()
    }

    #[test]
    fn integers_are_lossless() {
        let quantization = Quantization::of(&scene(&[-1024.0, 0.0, 3071.0, f32::NAN]));
        assert_eq!((quantization.step, quantization.range(), quantization.is_clipped), (1.0, [-1024.0, 3071.0], false));
        assert_eq!([-1024.0, 0.0, f32::NAN].map(|value| quantization.code(value)), [1, 1025, 0]);
    }

    #[test]
    fn an_outlier_does_not_coarsen_the_window() {
        let mut values: Vec<f32> = (0..1000).map(|value| value as f32 / 1000.0).collect();
        values[500] = 1e9;
        let mut scene = scene(&values);
        scene.window = IntensityWindow { low: 0.0, high: 1.0 };
        let quantization = Quantization::of(&scene);
        assert!(quantization.is_clipped && 1.0 / quantization.step > 2000.0, "{quantization:?}");
        assert_eq!(quantization.code(1e9), 65535);
        assert!((quantization.range()[1] - 17.0).abs() < 1e-3);
    }

    #[test]
    fn a_constant_image_and_an_image_of_nan_can_be_encoded() {
        let quantization = Quantization::of(&scene(&[0.5; 3]));
        assert_eq!((quantization.code(0.5), quantization.range()), (1, [0.5; 2]));
        assert_eq!(Quantization::of(&scene(&[f32::NAN; 3])).code(f32::NAN), 0);
    }
}

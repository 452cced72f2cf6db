//! Label maps in memory, compressed: those of hundreds of subjects take a few megabytes.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use volume::{Label, Voxels};

/// A compressed label map.
pub(super) struct CompressedLabels(Vec<u8>);

impl CompressedLabels {
    /// Compresses a label map.
    pub fn new(label_map: &[Label]) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytemuck::cast_slice(label_map)).expect("writing to memory does not fail");
        Self(encoder.finish().expect("writing to memory does not fail"))
    }

    /// Returns the label map, which has a shape.
    pub fn label_map(&self, shape: [usize; 3]) -> Voxels<Label> {
        let mut labels = vec![0; shape.iter().product()];
        let mut decoder = DeflateDecoder::new(&self.0[..]);
        decoder.read_exact(bytemuck::cast_slice_mut(&mut labels)).expect("it was compressed from as many voxels");
        Voxels::new(1, shape, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_maps_survive_and_get_smaller() {
        let labels: Vec<Label> = (0..24_000).map(|voxel| if voxel % 6_000 < 5_000 { 0 } else { 300 }).collect();
        let compressed = CompressedLabels::new(&labels);
        assert!(compressed.0.len() < 1_000);
        assert_eq!(compressed.label_map([20, 30, 40])[..], labels[..]);
    }
}

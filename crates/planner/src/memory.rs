//! nnU-Net's estimate of the memory that training takes: the number of values that convolutions write for one patch.

use crate::preset::Encoder;

/// A U-Net, as far as its feature maps depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network<'a, const D: usize> {
    /// The kind of encoder.
    pub encoder: Encoder,
    /// The stride with which each level begins.
    pub strides: &'a [[usize; D]],
    /// Features of each level.
    pub widths: &'a [usize],
    /// Number of outputs.
    pub classes: usize,
}

impl<const D: usize> Network<'_, D> {
    /// Returns the number of values in the outputs of all convolutions for one patch, without deep supervision.
    ///
    /// A level with `n` plain convolutions writes its features `n` times; one with `n` residual blocks `2 n` times, and once
    /// more if its first block changes the number of features or the size. The stem of a residual encoder is one more
    /// convolution. In the decoder, each level above the last adds its transposed convolution and its convolutions, and the
    /// first one the output.
    pub fn feature_map_size(&self, patch: [i64; D]) -> i64 {
        let mut size = patch;
        let mut total = 0;
        for (level, (stride, &width)) in self.strides.iter().zip(self.widths).enumerate() {
            let is_strided = stride.iter().any(|&step| step != 1);
            size = std::array::from_fn(|axis| size[axis] / stride[axis] as i64);
            let map = size.iter().product::<i64>() * width as i64;
            let changes_width = level > 0 && self.widths[level - 1] != width;
            let blocks = self.encoder.blocks(level) as i64;
            let encoder = match self.encoder {
                Encoder::Plain => blocks,
                Encoder::Residual => 2 * blocks + i64::from(is_strided || changes_width) + i64::from(level == 0),
            };
            let is_last = level + 1 == self.strides.len();
            let decoder = if is_last { 0 } else { self.encoder.decoder_convs() as i64 + 1 };
            total += (encoder + decoder) * map;
            if level == 0 && !is_last {
                total += size.iter().product::<i64>() * self.classes as i64;
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS: [usize; 7] = [32, 64, 128, 256, 512, 512, 512];

    #[test]
    fn sizes_are_those_that_the_networks_of_nnunet_compute() {
        // compute_conv_feature_map_size of PlainConvUNet and ResidualEncoderUNet in dynamic-network-architectures 0.4.4.
        let strides: Vec<[usize; 3]> = (0..6).map(|level| [if level == 0 { 1 } else { 2 }; 3]).collect();
        let network =
            |encoder| Network { encoder, strides: &strides, widths: &[32, 64, 128, 256, 320, 320], classes: 3 };
        assert_eq!(network(Encoder::Plain).feature_map_size([128; 3]), PLAIN_3D);
        assert_eq!(network(Encoder::Residual).feature_map_size([128; 3]), RESIDUAL_3D);
        let strides: Vec<[usize; 2]> = (0..7).map(|level| [if level == 0 { 1 } else { 2 }; 2]).collect();
        let network = |encoder| Network { encoder, strides: &strides, widths: &WIDTHS, classes: 3 };
        assert_eq!(network(Encoder::Plain).feature_map_size([512; 2]), PLAIN_2D);
        assert_eq!(network(Encoder::Residual).feature_map_size([512; 2]), RESIDUAL_2D);
    }

    const PLAIN_3D: i64 = 452_796_416;
    const RESIDUAL_3D: i64 = 557_420_544;
    const PLAIN_2D: i64 = 82_771_968;
    const RESIDUAL_2D: i64 = 129_531_904;
}

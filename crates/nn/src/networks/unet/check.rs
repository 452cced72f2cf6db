//! Validation of the keys of the U-Net.

use std::num::NonZeroUsize;

use super::{CountPerLevel, Downsample, Encoder, SizePerLevel, Unet};
use crate::Diagnostic;
use crate::layers::Norm;

/// The maximum number of levels; more would halve the axes of any volume to nothing.
const MAX_LEVELS: usize = 16;
/// The maximum number of channels of a level.
const MAX_WIDTH: usize = 65_536;
/// The maximum size of a kernel along an axis, in voxels.
const MAX_KERNEL: usize = 15;
/// The maximum stride of a level along an axis.
const MAX_STRIDE: usize = 16;
/// The maximum number of convolutions or blocks of a level.
const MAX_CONVOLUTIONS: usize = 64;

impl Unet {
    /// Validates the keys against one another.
    pub(super) fn check_keys(&self) -> Vec<Diagnostic> {
        if self.widths.is_empty() {
            let message = "expected at least one width, got none";
            return vec![Diagnostic::problem("widths", message, "for example widths: [32, 64, 128, 256]")];
        }
        if self.widths.len() > MAX_LEVELS {
            let message = format!("expected at most {MAX_LEVELS} levels, got {}", self.widths.len());
            let help = "each further level halves every axis; give fewer widths";
            return vec![Diagnostic::problem("widths", message, help)];
        }
        let too_wide = self.widths.iter().enumerate().filter(|(_, width)| width.get() > MAX_WIDTH);
        let problem = |(level, width): (usize, &NonZeroUsize)| {
            let message = format!("expected at most {MAX_WIDTH}, got {width}");
            Diagnostic::problem(format!("widths.{level}"), message, "use a smaller number")
        };
        let too_wide: Vec<Diagnostic> = too_wide.map(problem).collect();
        if too_wide.is_empty() { self.check_levels() } else { too_wide }
    }

    /// Validates the normalization against the patch shape and the batch size of training.
    pub(super) fn check_norm(&self, patch: [usize; 3], batch: usize) -> Vec<Diagnostic> {
        let reduction = self.reduction(self.depth() - 1);
        let has_one_deep_voxel = (0..3).all(|axis| patch[axis] / reduction[axis] == 1);
        match self.norm {
            Norm::None => vec![Diagnostic::Warning(
                "the network has no normalization layers; `norm: instance` usually trains faster and to a better Dice"
                    .to_owned(),
            )],
            Norm::Instance if has_one_deep_voxel => {
                let message = "the deepest level has one voxel, and instance normalization of one voxel is always 0";
                vec![Diagnostic::problem("norm", message, "use a larger patch, fewer widths, or another norm")]
            }
            Norm::Batch if batch == 1 => vec![Diagnostic::Warning(
                "batch normalization with a batch of 1 has noisy statistics; `norm: instance` does not depend on the batch"
                    .to_owned(),
            )],
            Norm::Instance | Norm::Batch | Norm::Group => Vec::new(),
        }
    }

    /// Checks the keys that have a value for each level, and how keys agree.
    fn check_levels(&self) -> Vec<Diagnostic> {
        let mut diagnostics = self.check_lengths();
        if diagnostics.is_empty() {
            diagnostics = (0..self.depth()).flat_map(|level| self.check_level(level)).collect();
            diagnostics.dedup();
            diagnostics.extend(self.check_combinations());
        }
        diagnostics
    }

    /// Checks that lists have one value for each level.
    fn check_lengths(&self) -> Vec<Diagnostic> {
        let depth = self.depth();
        let sizes = |sizes: &SizePerLevel| sizes.num_own();
        let counts = |counts: &Option<CountPerLevel>| counts.as_ref().and_then(CountPerLevel::num_own);
        let per_level = "give one for each width, from the full resolution down, or one for all levels";
        let of_decoder = "the decoder has one level less than the encoder: give one for each width but the last";
        let lengths = [
            ("kernel_sizes", sizes(&self.kernel_sizes), depth, per_level),
            ("strides", self.strides.as_ref().and_then(sizes), depth, per_level),
            ("convs_per_level", counts(&self.convs_per_level), depth, per_level),
            ("decoder_convs_per_level", counts(&self.decoder_convs_per_level), depth - 1, of_decoder),
        ];
        let problem = |(key, length, expected, help): (&str, Option<usize>, usize, &str)| {
            let length = length.filter(|length| *length != expected)?;
            let message = format!("expected {expected} values for {depth} widths, got {length}");
            Some(Diagnostic::problem(key, message, help.to_owned()))
        };
        lengths.into_iter().filter_map(problem).collect()
    }

    /// Checks the values of a level.
    fn check_level(&self, level: usize) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        let key = |name: &str, has_own: bool| if has_own { format!("{name}.{level}") } else { name.to_owned() };
        if let Some(size) = self.kernel(level).into_iter().find(|size| size % 2 == 0 || *size > MAX_KERNEL) {
            let message = format!("expected odd kernel sizes from 1 to {MAX_KERNEL}, got {size}");
            let key = key("kernel_sizes", self.kernel_sizes.num_own().is_some());
            diagnostics.push(Diagnostic::problem(key, message, "use 3, or 1 along an axis of thick slices"));
        }
        let has_own = self.strides.as_ref().and_then(SizePerLevel::num_own).is_some();
        if let Some(stride) = self.stride(level).into_iter().find(|stride| *stride == 0 || *stride > MAX_STRIDE) {
            let message = format!("expected strides from 1 to {MAX_STRIDE}, got {stride}");
            diagnostics.push(Diagnostic::problem(key("strides", has_own), message, "use 2, or 1 to keep an axis"));
        } else if level == 0 && self.stride(0) != [1; 3] {
            let message = "the first level has the resolution of the image, so its stride is [1, 1, 1]";
            diagnostics.push(Diagnostic::problem("strides.0", message, "write [1, 1, 1]"));
        }
        let counts = [
            ("convs_per_level", self.encoder_convs(level), &self.convs_per_level),
            ("decoder_convs_per_level", self.decoder_convs(level), &self.decoder_convs_per_level),
        ];
        for (name, count, counts) in counts {
            if !(1..=MAX_CONVOLUTIONS).contains(&count) {
                let message = format!("expected 1 to {MAX_CONVOLUTIONS}, got {count}");
                let has_own = counts.as_ref().and_then(CountPerLevel::num_own).is_some();
                diagnostics.push(Diagnostic::problem(key(name, has_own), message, "nnU-Net uses 2"));
            }
        }
        diagnostics
    }

    /// Checks that keys agree.
    fn check_combinations(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        if self.residual && self.encoder == Encoder::Residual {
            let message = "`encoder: residual` has residual blocks of its own";
            diagnostics.push(Diagnostic::problem("residual", message, "remove `residual: true`"));
        }
        if self.encoder == Encoder::Residual && self.downsample == Downsample::MaxPool {
            let message = "`encoder: residual` reduces the grid by strided convolutions";
            diagnostics.push(Diagnostic::problem("downsample", message, "add `downsample: strided_conv`"));
        }
        if self.deep_supervision && self.depth() < 3 {
            let message =
                "deep supervision needs at least 3 widths: the loss of the lowest level of the decoder has weight 0";
            diagnostics.push(Diagnostic::problem("deep_supervision", message, "add a width, or remove the key"));
        }
        diagnostics
    }
}

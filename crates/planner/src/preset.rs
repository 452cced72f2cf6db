//! The planners of nnU-Net: which network, and how much memory.

use std::fmt;
use std::str::FromStr;

/// A planner of nnU-Net.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// `ExperimentPlanner`: a plain U-Net for 8 GB.
    #[default]
    Nnunet,
    /// `nnUNetPlannerResEncM`: a U-Net with a residual encoder for 8 GB.
    ResencM,
    /// `nnUNetPlannerResEncL`: a U-Net with a residual encoder for 24 GB.
    ResencL,
    /// `nnUNetPlannerResEncXL`: a U-Net with a residual encoder for 40 GB.
    ResencXl,
}

/// The kind of encoder of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// Convolutions.
    Plain,
    /// Residual blocks of two convolutions, after a stem of one convolution.
    Residual,
}

/// The memory that nnU-Net measured for one network, from which others are estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reference {
    /// The number of values that convolutions write for one patch.
    pub feature_map_size: f64,
    /// The number of patches of the batch.
    pub batch_size: f64,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Nnunet, Self::ResencM, Self::ResencL, Self::ResencXl];

    /// Returns the name in the option `--preset`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nnunet => "nnunet",
            Self::ResencM => "resenc_m",
            Self::ResencL => "resenc_l",
            Self::ResencXl => "resenc_xl",
        }
    }

    /// Returns the name of the planner in nnU-Net.
    pub fn planner(self) -> &'static str {
        match self {
            Self::Nnunet => "ExperimentPlanner",
            Self::ResencM => "nnUNetPlannerResEncM",
            Self::ResencL => "nnUNetPlannerResEncL",
            Self::ResencXl => "nnUNetPlannerResEncXL",
        }
    }

    /// Returns the memory in GB for which the preset is made.
    pub fn memory_gb(self) -> f64 {
        match self {
            Self::Nnunet | Self::ResencM => 8.0,
            Self::ResencL => 24.0,
            Self::ResencXl => 40.0,
        }
    }

    /// Returns the kind of encoder.
    pub fn encoder(self) -> Encoder {
        match self {
            Self::Nnunet => Encoder::Plain,
            Self::ResencM | Self::ResencL | Self::ResencXl => Encoder::Residual,
        }
    }

    /// Returns the network that takes the memory of [`Preset::memory_gb`], in 2 or 3 dimensions.
    pub(crate) fn reference(self, dimensions: usize) -> Reference {
        let (flat, full) = match self {
            Self::Nnunet => (85e6, 560e6),
            Self::ResencM => (135e6, 680e6),
            Self::ResencL => (380e6, 2100e6),
            Self::ResencXl => (560e6, 3600e6),
        };
        match dimensions {
            2 => Reference { feature_map_size: flat, batch_size: 12.0 },
            _ => Reference { feature_map_size: full, batch_size: 2.0 },
        }
    }

    /// Returns the largest fraction of the dataset's voxels that a batch may contain.
    pub fn max_batch_fraction(self) -> f64 {
        match self.encoder() {
            Encoder::Plain => 0.05,
            Encoder::Residual => 1.0,
        }
    }

    /// Returns what a patch with a feature map of this size requires of the available one, in 2 or 3 dimensions: the default
    /// planner wants room for a batch of [`MIN_BATCH`], the others for the batch of their reference.
    pub(crate) fn required(self, feature_map_size: i64, dimensions: usize) -> f64 {
        let size = feature_map_size as f64;
        match self.encoder() {
            Encoder::Plain => size / self.reference(dimensions).batch_size * MIN_BATCH as f64,
            Encoder::Residual => size,
        }
    }
}

/// The smallest batch.
pub const MIN_BATCH: i64 = 2;

impl Encoder {
    /// Returns the number of convolutions, or of residual blocks, of a level; level 0 is the first.
    pub fn blocks(self, level: usize) -> usize {
        match self {
            Self::Plain => 2,
            Self::Residual => [1, 3, 4].get(level).copied().unwrap_or(6),
        }
    }

    /// Returns the number of convolutions of each level of the decoder.
    pub fn decoder_convs(self) -> usize {
        match self {
            Self::Plain => 2,
            Self::Residual => 1,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected one of {names}, got {name}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        assert!("resenc".parse::<Preset>().unwrap_err().contains("resenc_xl, got resenc"));
    }
}

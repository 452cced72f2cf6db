//! Which normalization each channel gets, by its name.

/// A normalization of intensities, by nnU-Net's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// `CTNormalization`: clips at percentiles of the dataset's foreground, then subtracts its mean and divides by its
    /// standard deviation.
    Ct,
    /// `ZScoreNormalization`: subtracts the mean of each volume and divides by its standard deviation.
    ZScore,
    /// `RescaleTo01Normalization`: maps the range of each volume to 0 to 1.
    RescaleTo01,
    /// `RGBTo01Normalization`: divides by 255.
    RgbTo01,
    /// `NoNormalization`.
    None,
}

impl Normalization {
    /// Returns the normalization of a channel with this name; case does not matter. Names that nnU-Net does not know, such as
    /// `T1`, have z-scores.
    pub fn of_channel(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "ct" => Self::Ct,
            "nonorm" => Self::None,
            "rescale_to_0_1" => Self::RescaleTo01,
            "rgb_to_0_1" => Self::RgbTo01,
            _ => Self::ZScore,
        }
    }

    /// Returns the name of the class in nnU-Net.
    pub fn class(self) -> &'static str {
        match self {
            Self::Ct => "CTNormalization",
            Self::ZScore => "ZScoreNormalization",
            Self::RescaleTo01 => "RescaleTo01Normalization",
            Self::RgbTo01 => "RGBTo01Normalization",
            Self::None => "NoNormalization",
        }
    }

    /// Returns whether it can be restricted to the voxels that are not 0.
    pub fn can_be_masked(self) -> bool {
        self == Self::ZScore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_unknown_ones_have_z_scores() {
        let classes = ["CT", "Ct", "noNorm", "rgb_to_0_1", "Rescale_to_0_1", "zscore", "T2"]
            .map(|name| Normalization::of_channel(name).class());
        let expected = ["CT", "CT", "No", "RGBTo01", "RescaleTo01", "ZScore", "ZScore"];
        assert_eq!(classes.map(|class| class.trim_end_matches("Normalization")), expected);
    }
}

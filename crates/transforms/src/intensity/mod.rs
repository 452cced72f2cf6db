//! Intensity transforms: one file for each.

pub(crate) mod anisotropy;
pub(crate) mod bias_field;
pub(crate) mod blur;
pub(crate) mod brightness;
pub(crate) mod clamp;
pub(crate) mod contrast;
pub(crate) mod foreground_normalize;
pub(crate) mod gamma;
pub(crate) mod ghosting;
pub(crate) mod histogram_standardization;
pub(crate) mod hu_window;
pub(crate) mod low_resolution;
pub(crate) mod mask;
pub(crate) mod mask_background;
pub(crate) mod motion;
pub(crate) mod noise;
pub(crate) mod replace_non_finite;
pub(crate) mod rescale_intensity;
pub(crate) mod spike;
pub(crate) mod swap;
pub(crate) mod z_normalize;

//! Filters along the axes of a window: symmetric filters, splines, recursive Gaussians and Fourier spectra.

pub(crate) mod separable;
pub(crate) mod short;
pub(crate) mod spectrum;

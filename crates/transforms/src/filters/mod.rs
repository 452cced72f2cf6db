//! Filters along the axes of a window: separable filters, splines and Fourier spectra.

pub(crate) mod separable;
pub(crate) mod spectrum;

//! Trained runs for other programs.
//!
//! [`onnx`] writes the network as an ONNX file, and beside it the [`description`] of everything around the network, so that
//! another program can predict the same label maps.

pub mod description;
pub mod onnx;

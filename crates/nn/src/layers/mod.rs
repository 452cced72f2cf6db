//! Layers: each declares its parameters once and computes from them, with or without gradients.
//!
//! | file | layer |
//! |---|---|
//! | [`convolution`] | convolution, strided convolution, transposed convolution |
//! | [`normalization`] | instance, group and batch normalization |
//! | [`activation`] | ReLU and leaky ReLU |
//! | [`dropout`] | channel dropout |
//! | [`max_pool`](mod@max_pool), [`average_pool`](mod@average_pool), [`upsample`] | changes of resolution that burn lacks |
//! | [`block`], [`residual`] | convolutions with normalization, activation, shortcut and dropout |
//! | [`initialization`] | initial weights of convolutions |
//!
//! Layers do not depend on the networks that are built from them. On `flex` they call the kernels of this crate, elsewhere
//! burn's operations.

pub mod activation;
pub mod average_pool;
pub mod block;
pub mod convolution;
pub mod dropout;
pub mod initialization;
pub mod max_pool;
pub mod normalization;
mod pass;
pub mod residual;
pub mod upsample;

pub use activation::Activation;
pub use average_pool::average_pool;
pub use block::{BlockShape, BlockStyle, ConvolutionBlock, ConvolutionUnit, forward_units};
pub use convolution::{Convolution, ConvolutionShape, TransposedConvolution};
pub use initialization::Initialization;
pub use max_pool::max_pool;
pub use normalization::{Norm, Normalization, Unnormalized};
pub use pass::Pass;
pub use residual::ResidualStage;
pub use upsample::{nearest, trilinear};

//! Parity of devices: whether two devices compute the same logits, loss, gradients and optimizer steps for one batch.
//!
//! [`compare()`] compares two devices with each other, [`mod@reference`] compares one with values that PyTorch computed.

mod compare;
pub mod reference;

pub use compare::{Deviation, DeviceResult, STEPS, compare, compute, wavy_patch};

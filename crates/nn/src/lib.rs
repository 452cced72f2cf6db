//! Networks, losses, optimizers and devices, on [burn](https://burn.dev)'s tensors.
//!
//! From the bottom up:
//!
//! | module | contents |
//! |---|---|
//! | [`devices`] | devices on which networks run; one file per backend |
//! | `kernels` | operations of `flex`, the pure-Rust CPU backend, that are faster than burn's |
//! | [`weights`] | weights as files: safetensors, PyTorch state dicts, checksums |
//! | [`parameters`] | named parameters of a network, their declaration and initial values |
//! | [`layers`] | convolution, normalization, activation, dropout, pooling, up-sampling |
//! | [`networks`] | architectures; gradient checkpointing; the memory estimate |
//! | [`onnx`] | networks as ONNX files |
//! | [`losses`] | loss functions; one file per loss |
//! | [`optimizers`] | update rules and learning-rate schedules; one file each |
//!
//! Devices, networks, losses, optimizers and schedules are registries: a component is one file and one line. Images and
//! logits are tensors `[batch, channel or class, x, y, z]` everywhere.

pub mod devices;

mod float_format;
#[cfg(feature = "flex")]
mod kernels;
pub mod layers;
pub mod losses;
pub mod networks;
pub mod onnx;
pub mod optimizers;
pub mod parameters;
pub mod weights;

pub use float_format::FloatFormat;
pub use layers::{Pass, max_pool, nearest, trilinear};
pub use networks::memory::StepSize;
pub use networks::{Model, Network, Unet};
pub use values::Diagnostic;

/// The version of burn in Cargo.toml.
pub const BURN_VERSION: &str = "0.22.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_that_of_the_manifest() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={BURN_VERSION}\"")));
    }
}

//! Networks: their written form, and the closed list of what there is.
//!
//! Each network takes `[batch, channel, x, y, z]` and gives logits `[batch, class, x, y, z]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod device;
pub mod unet;

pub use unet::UnetSpec;

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Model {
    /// An encoder and a decoder of convolutions, joined by skip connections.
    Unet(UnetSpec),
}

//! Convolutions with channels side by side.
//!
//! Volumes are computed in boxes of cells. The voxels of a box are copied to a block in which the channels of each
//! voxel follow each other, in panels of 32; a product of matrices then has voxels or points as its rows and a panel of
//! output channels as its columns, without any padding of the volume. Sums have a fixed order.
//!
//! | file | |
//! |---|---|
//! | `boxes`, `block` | the division into boxes, and the voxels of a box |
//! | `outputs`, `sums` | outputs, and gradients of weights, box by box |
//! | `gather`, `tap_products` | any stencil |
//! | `winograd`, `point_products`, `points`, `transform` | Winograd's algorithm |
//! | `filter` | the order of weights |

use super::convolution::VolumeConvolution;
use super::slab::Maps;
use super::stencil::Stencil;

mod block;
mod boxes;
mod filter;
mod gather;
mod outputs;
mod point_products;
mod points;
mod product;
mod sums;
mod tap_products;
mod transform;
mod winograd;

use gather::Gather;
use point_products::PointProducts;
use product::PANEL;
use tap_products::TapProducts;
use winograd::{Tiling, Winograd};

/// Returns whether convolutions between two numbers of channels are computed here: at most a third of the panels is
/// padding.
pub fn supports(channels: [usize; 2]) -> bool {
    channels.iter().all(|count| 3 * count >= 2 * count.next_multiple_of(PANEL))
}

/// Computes the outputs of a convolution, split along the channel axis into maps with the given numbers of channels.
pub fn compute(convolution: &VolumeConvolution, channels: &[usize]) -> Vec<Vec<f32>> {
    match Tiling::new(convolution.batch, convolution.coarse, convolution.stencil).filter(Tiling::saves_time) {
        Some(tiling) => outputs::compute(convolution, &Winograd::new(tiling, convolution), channels),
        None => outputs::compute(convolution, &Gather::new(convolution), channels),
    }
}

/// Computes the gradient of a weight, `[coarse, fine, kernel]`.
pub fn weight_gradient(batch: usize, coarse: [usize; 3], stencil: Stencil, fine: &[Maps], maps: Maps) -> Vec<f32> {
    let channels = [fine.iter().map(|maps| maps.channels).sum(), maps.channels];
    match Tiling::new(batch, coarse, stencil).filter(Tiling::saves_time) {
        Some(tiling) => PointProducts::new(tiling, channels.iter().sum()).gradient(fine, maps),
        None => TapProducts::new(batch, coarse, stencil, channels).gradient(fine, maps),
    }
}

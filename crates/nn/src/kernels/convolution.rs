//! Convolutions of volumes: what is computed, and the choice of how.

use super::blocked;
use super::slab::Maps;
use super::stencil::Stencil;

/// A convolution weight, `[coarse, fine, kernel]`.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<'a> {
    /// The values.
    pub weights: &'a [f32],
    /// Channels of the coarse grid.
    pub coarse: usize,
    /// Channels of the fine grid.
    pub fine: usize,
}

impl Kernels<'_> {
    /// Returns the number of input channels and that of output channels.
    pub fn channels(&self, direction: Direction) -> (usize, usize) {
        match direction {
            Direction::Gather => (self.fine, self.coarse),
            Direction::Scatter => (self.coarse, self.fine),
        }
    }
}

/// The direction of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the fine grid to the coarse one: a convolution, or the input's gradient of a transposed convolution.
    Gather,
    /// From the coarse grid to the fine one: a transposed convolution, or the input's gradient of a convolution.
    Scatter,
}

/// A convolution of the concatenation of some maps along the channel axis.
#[derive(Clone, Copy, Debug)]
pub struct VolumeConvolution<'a> {
    /// The number of patches.
    pub batch: usize,
    /// The coarse grid, `[x, y, z]`.
    pub coarse: [usize; 3],
    /// The geometry.
    pub stencil: Stencil,
    /// The direction.
    pub direction: Direction,
    /// The input maps.
    pub inputs: &'a [Maps<'a>],
    /// The weight.
    pub kernels: Kernels<'a>,
    /// The bias of each output channel; empty for none. With it, every phase must have a tap.
    pub bias: &'a [f32],
    /// The slope of the activation below 0; 1 for no activation.
    pub slope: f32,
}

impl VolumeConvolution<'_> {
    /// Computes the outputs, split along the channel axis into maps with the given numbers of channels.
    pub fn compute(&self, channels: &[usize]) -> Vec<Vec<f32>> {
        if blocked::supports([self.kernels.coarse, self.kernels.fine]) {
            blocked::compute(self, channels)
        } else {
            self.compute_directly(channels)
        }
    }

    /// Returns the number of input channels.
    pub fn inputs(&self) -> usize {
        self.kernels.channels(self.direction).0
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.kernels.channels(self.direction).1
    }

    /// Returns the grid of the inputs.
    pub fn input_grid(&self) -> [usize; 3] {
        match self.direction {
            Direction::Gather => self.stencil.fine(self.coarse),
            Direction::Scatter => self.coarse,
        }
    }

    /// Returns the grid of the outputs.
    pub fn output_grid(&self) -> [usize; 3] {
        match self.direction {
            Direction::Gather => self.coarse,
            Direction::Scatter => self.stencil.fine(self.coarse),
        }
    }
}

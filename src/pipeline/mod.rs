//! A chain of transforms, evaluated on demand over a window.
//!
//! The chain is data; nothing is computed until somebody asks a [`View`] for a window of its output.
//! Neighbouring warps are composed into one interpolation; the labels of a whole chain are one look-up
//! through its [`Origin`].

mod gather;
mod origin;
#[cfg(target_arch = "x86_64")]
mod vector;
mod view;

pub use origin::{Origin, Reach, nearest};
pub use view::{Block, View, minima};

use crate::data::volume::{Affine, Grid};
use crate::seed::Rng;
use crate::transforms::{Drawn, Map, Transform, TransformError};

/// A chain that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// A step cannot be applied to this volume.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// A window lies outside.
    #[error("a window of {shape:?} voxels at {start:?} does not fit into a volume of {volume:?}")]
    Outside {
        /// Where it starts.
        start: [usize; 3],
        /// Its shape.
        shape: [usize; 3],
        /// The shape of the volume after the chain.
        volume: [usize; 3],
    },
}

/// All the chance of a chain on a volume of so many channels.
pub fn draw(chain: &[Transform], channels: usize, rng: &mut Rng) -> Vec<Drawn> {
    chain.iter().map(|step| step.draw(rng, channels)).collect()
}

/// The draws of a chain that leaves nothing to chance.
pub fn fixed(chain: &[Transform], channels: usize) -> Vec<Drawn> {
    use crate::seed::{Purpose, Seed};
    // Every range of such a chain has width zero, so any stream gives the same draws.
    draw(chain, channels, &mut Seed(0).stream(Purpose::Augment, 0, "", 0))
}

/// The grid after a chain; its shape does not depend on the draws.
pub fn outgoing_grid(chain: &[Transform], draws: &[Drawn], incoming: &Grid) -> Grid {
    let mut grid = *incoming;
    unroll(chain, draws, &mut |step, drawn| {
        if let Some(place) = step.place(drawn, &grid) {
            grid = place.grid;
        }
    });
    grid
}

/// Where each voxel after a chain comes from.
pub fn origin(chain: &[Transform], draws: &[Drawn], incoming: &Grid) -> Origin {
    let mut grid = *incoming;
    let mut origin = Origin::identity(incoming.shape);
    unroll(chain, draws, &mut |step, drawn| {
        let Some(place) = step.place(drawn, &grid) else { return };
        let to_incoming = match &place.map {
            Map::Lattice(lattice) => lattice.affine(),
            Map::Warp(map) => *map,
        };
        for (map, _) in &mut origin.between {
            *map = map.after(&to_incoming);
        }
        // The grid that the step came from is one to stay inside of, unless it is the source itself.
        if origin.map != Affine::IDENTITY || grid.shape != incoming.shape {
            origin.between.push((to_incoming, grid.shape));
        }
        origin.map = origin.map.after(&to_incoming);
        origin.shape = place.grid.shape;
        grid = place.grid;
    });
    origin
}

fn unroll<'a>(chain: &'a [Transform], draws: &'a [Drawn], visit: &mut dyn FnMut(&'a Transform, &'a Drawn)) {
    assert_eq!(chain.len(), draws.len(), "a chain meets the draws that were drawn for it");
    for (step, drawn) in chain.iter().zip(draws) {
        step.unroll(drawn, visit);
    }
}

/// The first step that needs whole-volume numbers after a random warp, and so forces the whole volume for every patch.
pub fn forces_whole_volume(chain: &[Transform]) -> Option<usize> {
    fn warps(step: &Transform) -> bool {
        matches!(step, Transform::Affine(_)) || step.inner().iter().any(warps)
    }
    fn measures(step: &Transform) -> bool {
        step.measures() || step.inner().iter().any(measures)
    }
    let first_warp = chain.iter().position(|step| warps(step) && step.is_random())?;
    chain.iter().skip(first_warp).position(measures).map(|after| first_warp + after)
}

//! Lazy evaluation: windows of a volume after a chain of transforms, computed on demand.
//!
//! A chain is data. A [`View`] of a volume through a chain computes nothing until a window of its output is requested;
//! then each stage requests the region that it reads from the stage before it. Neighbouring warps are composed into one
//! interpolation. Labels are looked up once for the whole chain, through its [`IndexMapping`].
//!
//! The modules in the order of their dependencies; each uses only those before it:
//!
//! 1. `fixed_point`, `lanes`, `line`: source coordinates of voxels, with the same bits for every window
//! 2. `background`, `block`, `border_values`, `empty_space`, `error`, `extrapolate`, `finite`, `profile`
//! 3. `warp`: source points of rows under elastic displacements
//! 4. `index_mapping`, `candidate_boxes`: the map from voxels after a chain to source voxels, and its inverse
//! 5. `resample`: the interpolation kernels, scalar and AVX2
//! 6. `chain`: grids and label maps after a chain
//! 7. `stage`, `evaluator`, `view`: the steps of a chain, their recursive evaluation, and its public interface; `label_view`:
//!    the same for a second label map of a volume
//! 8. `resolve`: parameters that depend on the volume after the steps before; `zoom_back`: how predictions after a chain that
//!    resamples whole volumes are resampled back

mod background;
mod block;
mod border_values;
mod candidate_boxes;
mod chain;
mod empty_space;
mod error;
mod evaluator;
mod extrapolate;
mod finite;
mod fixed_point;
mod index_mapping;
mod label_view;
mod lanes;
mod line;
mod profile;
mod resample;
mod resolve;
mod stage;
mod view;
mod warp;
mod zoom_back;

pub use background::{BACKGROUND, background_step};
pub use block::Block;
pub use border_values::BorderValueCache;
pub use candidate_boxes::CandidateBoxes;
pub use chain::{
    WholeVolumeUse, fixed_params, forces_whole_volume, index_mapping, input_shape, output_grid, relabel,
    resample_labels,
};
pub use empty_space::EmptySpace;
pub use error::PipelineError;
pub use finite::{NotFinite, replaces_not_finite, require_finite};
pub use index_mapping::IndexMapping;
pub use label_view::LabelView;
pub use profile::Profile;
pub use resolve::{fitting_sample, resolve_from_volume};
pub use view::{PaddedWindow, View, required_region, volume_and_background};
pub use warp::ElasticStep;
pub use zoom_back::{ZoomBack, zoom_back};

//! Transforms of an image and its label map: the traits, and the closed list of what there is.
//!
//! A transform is one struct in one file: its fields are the keys of its written form. A [`Spatial`]
//! transform says where each outgoing voxel comes from; an [`Intensity`] transform maps the values of
//! a window. Neither computes a volume: `pipeline.rs` does, for the window that somebody asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::{Grid, Label};
use crate::seed::Rng;
use crate::value::Probability;

mod affine;
mod anisotropy;
mod bias_field;
mod blur;
mod clamp;
mod crop;
mod crop_or_pad;
mod displacement;
mod drawn;
mod elastic_deformation;
mod ensure_shape_multiple;
mod filter;
mod flip;
mod foreground_normalize;
mod gamma;
mod ghosting;
mod histogram_standardization;
mod hu_window;
mod interpolation;
mod keep_largest;
mod mask;
mod motion;
mod noise;
mod one_hot;
mod pad;
mod place;
mod region;
mod remap_labels;
mod resample;
mod rescale_intensity;
mod resize;
mod sequential_labels;
mod spectrum;
mod spike;
mod statistics;
mod swap;
mod to_canonical;
mod to_orientation;
mod whole;
mod window;
mod z_normalize;

pub use affine::{Affine, AffineDraw};
pub use anisotropy::{Anisotropy, AnisotropyDraw};
pub use bias_field::{BiasField, BiasFieldDraw};
pub use blur::{Blur, BlurDraw};
pub use clamp::Clamp;
pub use crop::Crop;
pub use crop_or_pad::{CropOrPad, CropOrPadDraw, Location};
pub use displacement::{Displacement, weights as spline_weights};
use drawn::Record;
pub use drawn::{Drawn, Nothing};
pub use elastic_deformation::{ElasticDeformation, ElasticDraw};
pub use ensure_shape_multiple::{EnsureShapeMultiple, Method};
pub use filter::{smooth_recursively, spline_coefficients, spline_reach};
pub use flip::Flip;
pub use foreground_normalize::{Foreground, ForegroundNormalize, Statistics};
pub use gamma::Gamma;
pub use ghosting::{Ghosting, GhostingDraw};
pub use histogram_standardization::{HistogramStandardization, Landmarks};
pub use hu_window::HuWindow;
pub use interpolation::Interpolation;
pub use keep_largest::KeepLargest;
pub use mask::Mask;
pub use motion::{Motion, MotionDraw};
pub use noise::{Noise, NoiseDraw};
pub use one_hot::OneHot;
pub use pad::Pad;
pub use place::{Fill, Lattice, LatticeAxis, Map, Placement};
pub use region::{Half, Region};
pub use remap_labels::RemapLabels;
pub use resample::{Reference, Resample};
pub use rescale_intensity::RescaleIntensity;
pub use resize::Resize;
pub use sequential_labels::SequentialLabels;
pub use spike::{Spike, SpikeDraw};
pub use swap::{Swap, SwapDraw};
pub use to_canonical::ToCanonical;
pub use to_orientation::{Axes, ToOrientation};
pub use whole::{Measured, Whole};
pub use window::Window;
pub use z_normalize::ZNormalize;

/// One step of a chain of transforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// Turns axes until the volume is in RAS orientation.
    ToCanonical(ToCanonical),
    /// Turns axes until the volume is in a given orientation.
    ToOrientation(ToOrientation),
    /// Changes the spacing.
    Resample(Resample),
    /// Changes the number of voxels, keeping the field of view.
    Resize(Resize),
    /// Cuts voxels from the ends of each axis.
    Crop(Crop),
    /// Adds voxels to the ends of each axis.
    Pad(Pad),
    /// Crops or pads to a shape, around the centre.
    CropOrPad(CropOrPad),
    /// Pads or crops to multiples of a number of voxels, around the centre.
    EnsureShapeMultiple(EnsureShapeMultiple),
    /// Cuts Hounsfield units at the ends of a window and maps it to a range.
    HuWindow(HuWindow),
    /// Limits intensities to a range.
    Clamp(Clamp),
    /// Maps intensities linearly to a range.
    RescaleIntensity(RescaleIntensity),
    /// Subtracts the mean and divides by the standard deviation.
    ZNormalize(ZNormalize),
    /// Scales, rotates and shifts at random.
    Affine(Affine),
    /// Mirrors at random.
    Flip(Flip),
    /// Adds Gaussian noise.
    Noise(Noise),
    /// Changes contrast by a random power.
    Gamma(Gamma),
    /// Blurs with a Gaussian.
    Blur(Blur),
    /// Multiplies by a smooth field.
    BiasField(BiasField),
    /// Maps the foreground of a dataset to zero mean and unit variance, as nnU-Net does for CT.
    ForegroundNormalize(ForegroundNormalize),
    /// Maps intensities so that the histograms of a dataset agree.
    HistogramStandardization(HistogramStandardization),
    /// Sets voxels outside a mask to one intensity.
    Mask(Mask),
    /// Moves every point by a smooth random field.
    ElasticDeformation(ElasticDeformation),
    /// Takes away resolution along one axis.
    Anisotropy(Anisotropy),
    /// Swaps random blocks.
    Swap(Swap),
    /// Adds ghosts, as periodic motion makes them in MR.
    Ghosting(Ghosting),
    /// Adds stripes, as spikes in k-space make them in MR.
    Spike(Spike),
    /// Mixes moved copies in k-space, as a moving patient does in MR.
    Motion(Motion),
    /// Gives labels other values.
    RemapLabels(RemapLabels),
    /// Gives labels the values 0, 1, 2, ….
    SequentialLabels(SequentialLabels),
    /// Keeps the largest connected component of labels.
    KeepLargest(KeepLargest),
    /// Writes label maps with a channel for each class.
    OneHot(OneHot),
    /// Applies steps with a probability, all or none.
    Maybe(Maybe),
    /// Applies one of several steps, each equally likely.
    OneOf(Vec<Transform>),
}

/// Applies steps with a probability, all or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maybe {
    /// How often the steps are applied.
    pub probability: Probability,
    /// What is applied, in order.
    pub steps: Vec<Transform>,
}

/// What comes into a step, before any voxel is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incoming {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Image channels.
    pub channels: usize,
}

/// A transform of the grid: it says where each outgoing voxel comes from.
pub trait Spatial {
    /// What chance decides.
    type Draw;

    /// All the chance of the transform.
    fn draw(&self, rng: &mut Rng, incoming: &Incoming) -> Self::Draw;

    /// The outgoing grid and the source of its voxels; a pure function. The shape never depends on the draw.
    fn place(&self, draw: &Self::Draw, incoming: &Grid) -> Placement;

    /// Whether the content of the volume decides what chance leaves open.
    fn is_settled_by_content(&self) -> bool {
        false
    }

    /// The draw with what the content of the incoming volume decides.
    ///
    /// # Errors
    /// When the volume lacks what decides it.
    fn settle(&self, draw: &Self::Draw, _whole: &Whole) -> Result<Self::Draw, TransformError>
    where
        Self::Draw: Clone,
    {
        Ok(draw.clone())
    }
}

/// A transform of intensities: it maps the values of a window.
pub trait Intensity {
    /// What chance decides.
    type Draw;

    /// All the chance of the transform.
    fn draw(&self, rng: &mut Rng, incoming: &Incoming) -> Self::Draw;

    /// Whether it needs numbers about the whole incoming volume.
    fn measures(&self) -> bool {
        false
    }

    /// Whether it looks at labels, of the whole volume or of the window.
    fn wants_labels(&self) -> bool {
        false
    }

    /// The numbers that it needs about the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such numbers.
    fn measure(&self, _draw: &Self::Draw, _whole: &Whole) -> Result<Measured, TransformError> {
        Ok(Measured::Nothing)
    }

    /// How many voxels around a window decide its values; `usize::MAX` is the whole axis.
    fn halo(&self, _draw: &Self::Draw, _grid: &Grid) -> [usize; 3] {
        [0; 3]
    }

    /// Maps, from outgoing to incoming voxels, by which the transform wants the volume moved; with a halo of the
    /// whole volume.
    fn moves(&self, _draw: &Self::Draw, _grid: &Grid) -> Vec<crate::data::volume::Affine> {
        Vec::new()
    }

    /// Maps the values of a window; a pure function. Within the halo of an end that is not the volume's they may be
    /// anything.
    fn apply(&self, draw: &Self::Draw, measured: &Measured, window: &mut Window);
}

/// A transform of intensities whose numbers come from all training subjects together.
pub trait Learned: Intensity {
    /// Whether the written form leaves its numbers to be learnt.
    fn is_learned(&self) -> bool;

    /// What one training subject contributes.
    ///
    /// # Errors
    /// When it has nothing to contribute to.
    fn sample(&self, whole: &Whole) -> Result<Vec<Vec<f32>>, TransformError>;

    /// The draw that stands for the numbers learnt from the samples of all training subjects.
    ///
    /// # Errors
    /// When the samples are too few.
    fn learn(&self, samples: &[Vec<Vec<f32>>]) -> Result<Self::Draw, TransformError>;
}

/// A transform of label maps: it needs the whole map.
pub trait Labelling {
    /// Changes the labels of a whole volume `[x, y, z]`.
    fn relabel(&self, labels: &mut [Label], shape: [usize; 3]);
}

/// A volume to which a transform cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct TransformError {
    /// The transform.
    pub name: &'static str,
    /// Why it cannot be applied.
    pub reason: String,
}

/// Runs one expression for whichever spatial transform a [`Transform`] is, another for an intensity transform.
macro_rules! dispatch {
    ($transform:expr, spatial $spatial:ident => $on_spatial:expr, intensity $intensity:ident => $on_intensity:expr, else => $else:expr) => {
        match $transform {
            Transform::ToCanonical($spatial) => $on_spatial,
            Transform::ToOrientation($spatial) => $on_spatial,
            Transform::Resample($spatial) => $on_spatial,
            Transform::Resize($spatial) => $on_spatial,
            Transform::Crop($spatial) => $on_spatial,
            Transform::Pad($spatial) => $on_spatial,
            Transform::CropOrPad($spatial) => $on_spatial,
            Transform::EnsureShapeMultiple($spatial) => $on_spatial,
            Transform::Affine($spatial) => $on_spatial,
            Transform::ElasticDeformation($spatial) => $on_spatial,
            Transform::Flip($spatial) => $on_spatial,
            Transform::Clamp($intensity) => $on_intensity,
            Transform::RescaleIntensity($intensity) => $on_intensity,
            Transform::ZNormalize($intensity) => $on_intensity,
            Transform::ForegroundNormalize($intensity) => $on_intensity,
            Transform::HistogramStandardization($intensity) => $on_intensity,
            Transform::Mask($intensity) => $on_intensity,
            Transform::Noise($intensity) => $on_intensity,
            Transform::Gamma($intensity) => $on_intensity,
            Transform::HuWindow($intensity) => $on_intensity,
            Transform::Blur($intensity) => $on_intensity,
            Transform::BiasField($intensity) => $on_intensity,
            Transform::Anisotropy($intensity) => $on_intensity,
            Transform::Swap($intensity) => $on_intensity,
            Transform::Ghosting($intensity) => $on_intensity,
            Transform::Spike($intensity) => $on_intensity,
            Transform::Motion($intensity) => $on_intensity,
            Transform::RemapLabels(_)
            | Transform::SequentialLabels(_)
            | Transform::KeepLargest(_)
            | Transform::OneHot(_)
            | Transform::Maybe(_)
            | Transform::OneOf(_) => $else,
        }
    };
}

/// All the chance of steps one after the other. Shapes do not depend on it, so each step's incoming grid is known.
pub fn draw_all(steps: &[Transform], rng: &mut Rng, incoming: &Incoming) -> Vec<Drawn> {
    let mut incoming = *incoming;
    let mut draw = |step: &Transform| {
        let drawn = step.draw(rng, &incoming);
        incoming.grid = step.outgoing(&drawn, &incoming.grid);
        drawn
    };
    steps.iter().map(&mut draw).collect()
}

/// Why a recorded draw always fits: chains and draws travel together.
const DRAWN_FOR_IT: &str = "a step meets the draw that was drawn for it";

impl Transform {
    /// All the chance of the step.
    pub fn draw(&self, rng: &mut Rng, incoming: &Incoming) -> Drawn {
        match self {
            Transform::Maybe(maybe) => {
                // The chance is drawn first and the steps always, so that one step's draws do not move another's.
                let applied = rng.chance(maybe.probability.get());
                let drawn = draw_all(&maybe.steps, rng, incoming);
                Drawn::Maybe(applied.then_some(drawn))
            }
            Transform::OneOf(steps) => {
                let chosen = rng.below(steps.len() as u64) as usize;
                Drawn::OneOf(chosen, Box::new(steps[chosen].draw(rng, incoming)))
            }
            _ => dispatch!(self,
                spatial step => step.draw(rng, incoming).record(),
                intensity step => step.draw(rng, incoming).record(),
                else => Drawn::Nothing),
        }
    }

    /// The grid after the step and the steps inside it.
    pub fn outgoing(&self, drawn: &Drawn, incoming: &Grid) -> Grid {
        let mut grid = *incoming;
        self.unroll(drawn, &mut |step, drawn| {
            if let Some(place) = step.place(drawn, &grid) {
                grid = place.grid;
            }
        });
        grid
    }

    /// The steps that are applied one after the other under a draw: itself, or those of a list.
    pub fn unroll<'a>(&'a self, drawn: &'a Drawn, visit: &mut dyn FnMut(&'a Transform, &'a Drawn)) {
        match (self, drawn) {
            (Transform::Maybe(_), Drawn::Maybe(None)) => {}
            (Transform::Maybe(maybe), Drawn::Maybe(Some(drawn))) => {
                maybe.steps.iter().zip(drawn).for_each(|(step, drawn)| step.unroll(drawn, visit));
            }
            (Transform::OneOf(steps), Drawn::OneOf(chosen, drawn)) => steps[*chosen].unroll(drawn, visit),
            _ => visit(self, drawn),
        }
    }

    /// The outgoing grid and the source of its voxels; `None` for a step that leaves every voxel in its place.
    pub fn place(&self, drawn: &Drawn, incoming: &Grid) -> Option<Placement> {
        dispatch!(self,
            spatial step => Some(step.place(Record::recall(drawn).expect(DRAWN_FOR_IT), incoming)),
            intensity _step => None,
            else => None)
    }

    /// Whether the content of the volume decides what chance leaves open.
    pub fn is_settled_by_content(&self) -> bool {
        dispatch!(self, spatial step => step.is_settled_by_content(), intensity _step => false, else => false)
    }

    /// The draw with what the content of the incoming volume decides.
    ///
    /// # Errors
    /// When the volume lacks what decides it.
    pub fn settle(&self, drawn: &Drawn, whole: &Whole) -> Result<Drawn, TransformError> {
        dispatch!(self,
            spatial step => Ok(step.settle(Record::recall(drawn).expect(DRAWN_FOR_IT), whole)?.record()),
            intensity _step => Ok(drawn.clone()),
            else => Ok(drawn.clone()))
    }

    /// Whether the step needs numbers about the whole incoming volume.
    pub fn measures(&self) -> bool {
        dispatch!(self, spatial _step => false, intensity step => step.measures(), else => false)
    }

    /// Whether the step looks at labels.
    pub fn wants_labels(&self) -> bool {
        dispatch!(self, spatial _step => false, intensity step => step.wants_labels(), else => false)
    }

    /// The numbers that the step needs about the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such numbers.
    pub fn measure(&self, drawn: &Drawn, whole: &Whole) -> Result<Measured, TransformError> {
        dispatch!(self,
            spatial _step => Ok(Measured::Nothing),
            intensity step => step.measure(Record::recall(drawn).expect(DRAWN_FOR_IT), whole),
            else => Ok(Measured::Nothing))
    }

    /// How many voxels around a window decide its intensities; `usize::MAX` is the whole axis.
    pub fn halo(&self, drawn: &Drawn, grid: &Grid) -> [usize; 3] {
        dispatch!(self,
            spatial _step => [0; 3],
            intensity step => step.halo(Record::recall(drawn).expect(DRAWN_FOR_IT), grid),
            else => [0; 3])
    }

    /// Maps by which the step wants the volume moved.
    pub fn moves(&self, drawn: &Drawn, grid: &Grid) -> Vec<crate::data::volume::Affine> {
        dispatch!(self,
            spatial _step => Vec::new(),
            intensity step => step.moves(Record::recall(drawn).expect(DRAWN_FOR_IT), grid),
            else => Vec::new())
    }

    /// Maps the intensities of a window; a spatial step leaves them.
    pub fn apply(&self, drawn: &Drawn, measured: &Measured, window: &mut Window) {
        dispatch!(self,
            spatial _step => {},
            intensity step => step.apply(Record::recall(drawn).expect(DRAWN_FOR_IT), measured, window),
            else => {});
    }

    /// What the step does to label maps as a whole, where it is there for that.
    pub fn labelling(&self) -> Option<&dyn Labelling> {
        match self {
            Transform::RemapLabels(step) => Some(step),
            Transform::SequentialLabels(step) => Some(step),
            Transform::KeepLargest(step) => Some(step),
            _ => None,
        }
    }

    /// Whether the step's numbers are to be learnt from the training subjects.
    pub fn is_learned(&self) -> bool {
        match self {
            Transform::ForegroundNormalize(step) => step.is_learned(),
            Transform::HistogramStandardization(step) => step.is_learned(),
            _ => false,
        }
    }

    /// What one training subject contributes to the step's numbers, channel by channel.
    ///
    /// # Errors
    /// When the subject lacks what the step learns from.
    pub fn sample(&self, whole: &Whole) -> Result<Vec<Vec<f32>>, TransformError> {
        match self {
            Transform::ForegroundNormalize(step) => step.sample(whole),
            Transform::HistogramStandardization(step) => step.sample(whole),
            _ => Ok(Vec::new()),
        }
    }

    /// The draw that stands for the numbers learnt from the samples of all training subjects.
    ///
    /// # Errors
    /// When the samples are too few.
    pub fn learn(&self, samples: &[Vec<Vec<f32>>]) -> Result<Drawn, TransformError> {
        match self {
            Transform::ForegroundNormalize(step) => Ok(step.learn(samples)?.record()),
            Transform::HistogramStandardization(step) => Ok(step.learn(samples)?.record()),
            _ => Ok(Drawn::Nothing),
        }
    }

    /// The name that the step has in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Transform::ToCanonical(_) => "to_canonical",
            Transform::ToOrientation(_) => "to_orientation",
            Transform::Resample(_) => "resample",
            Transform::Resize(_) => "resize",
            Transform::Crop(_) => "crop",
            Transform::Pad(_) => "pad",
            Transform::CropOrPad(_) => "crop_or_pad",
            Transform::EnsureShapeMultiple(_) => "ensure_shape_multiple",
            Transform::HuWindow(_) => "hu_window",
            Transform::Clamp(_) => "clamp",
            Transform::RescaleIntensity(_) => "rescale_intensity",
            Transform::ZNormalize(_) => "z_normalize",
            Transform::ForegroundNormalize(_) => "foreground_normalize",
            Transform::HistogramStandardization(_) => "histogram_standardization",
            Transform::Mask(_) => "mask",
            Transform::Affine(_) => "affine",
            Transform::ElasticDeformation(_) => "elastic_deformation",
            Transform::Flip(_) => "flip",
            Transform::Noise(_) => "noise",
            Transform::Gamma(_) => "gamma",
            Transform::Blur(_) => "blur",
            Transform::BiasField(_) => "bias_field",
            Transform::Anisotropy(_) => "anisotropy",
            Transform::Swap(_) => "swap",
            Transform::Ghosting(_) => "ghosting",
            Transform::Spike(_) => "spike",
            Transform::Motion(_) => "motion",
            Transform::RemapLabels(_) => "remap_labels",
            Transform::SequentialLabels(_) => "sequential_labels",
            Transform::KeepLargest(_) => "keep_largest",
            Transform::OneHot(_) => "one_hot",
            Transform::Maybe(_) => "maybe",
            Transform::OneOf(_) => "one_of",
        }
    }

    /// Whether chance changes what the step does.
    pub fn is_random(&self) -> bool {
        match self {
            Transform::Maybe(maybe) => {
                let p = maybe.probability.get();
                p > 0.0 && (p < 1.0 || maybe.steps.iter().any(Transform::is_random))
            }
            Transform::OneOf(steps) => steps.len() > 1 || steps.iter().any(Transform::is_random),
            step => !step.random_keys().is_empty(),
        }
    }

    /// The keys that leave something to chance, by their path in the step; of a list of steps none.
    pub fn random_keys(&self) -> Vec<&'static str> {
        let wide: &[(&str, bool)] = match self {
            Transform::CropOrPad(crop) => &[("crop_or_pad.location", crop.location == Location::Random)],
            Transform::Affine(affine) => &[
                ("affine.scales", !affine.scales.is_fixed()),
                ("affine.degrees", !affine.degrees.is_fixed()),
                ("affine.translation_mm", !affine.translation_mm.is_fixed()),
            ],
            Transform::ElasticDeformation(elastic) => &[(
                "elastic_deformation.max_displacement_mm",
                elastic.max_displacement_mm.iter().any(|mm| mm.get() > 0.0),
            )],
            Transform::Flip(flip) => {
                &[("flip.probabilities", flip.probabilities.iter().any(|p| p.get() > 0.0 && p.get() < 1.0))]
            }
            Transform::Noise(noise) => {
                let is_noisy = noise.std != crate::value::Range::fixed(0.0);
                &[("noise.std", is_noisy), ("noise.mean", !is_noisy && !noise.mean.is_fixed())]
            }
            Transform::Gamma(gamma) => &[("gamma.log_gamma", !gamma.log_gamma.is_fixed())],
            Transform::Blur(blur) => &[("blur.std_mm", !blur.std_mm.is_fixed())],
            Transform::BiasField(field) => &[("bias_field.coefficients", !field.coefficients.is_fixed())],
            Transform::Anisotropy(anisotropy) => &[
                ("anisotropy.axes", anisotropy.axes.len() > 1),
                ("anisotropy.downsampling", !anisotropy.downsampling.is_fixed()),
            ],
            Transform::Swap(swap) => &[("swap.num_iterations", swap.num_iterations > 0)],
            Transform::Ghosting(ghosting) => &[
                ("ghosting.axes", ghosting.axes.len() > 1),
                ("ghosting.num_ghosts", ghosting.num_ghosts[0] != ghosting.num_ghosts[1]),
                ("ghosting.intensity", !ghosting.intensity.is_fixed()),
                ("ghosting.restore", ghosting.restore.is_some_and(|restore| !restore.is_fixed())),
            ],
            Transform::Spike(spike) => &[("spike.num_spikes", spike.num_spikes != [0, 0])],
            Transform::Motion(_) => &[("motion", true)],
            _ => &[],
        };
        wide.iter().filter(|(_, is_wide)| *is_wide).map(|(key, _)| *key).collect()
    }

    /// What the step's parameters say against each other.
    pub fn problem(&self) -> Option<String> {
        match self {
            Transform::Clamp(clamp) => clamp.problem(),
            Transform::RescaleIntensity(rescale) => rescale.problem(),
            Transform::HistogramStandardization(histogram) => histogram.problem(),
            Transform::ForegroundNormalize(foreground) => foreground.problem(),
            Transform::Noise(noise) => noise.problem(),
            Transform::Affine(affine) => affine.problem(),
            Transform::ElasticDeformation(elastic) => elastic.problem(),
            Transform::Resample(resample) => resample.problem(),
            Transform::CropOrPad(crop) => crop.problem(),
            Transform::HuWindow(window) => window.problem(),
            Transform::Blur(blur) => blur.problem(),
            Transform::BiasField(field) => field.problem(),
            Transform::Anisotropy(anisotropy) => anisotropy.problem(),
            Transform::Ghosting(ghosting) => ghosting.problem(),
            Transform::Spike(spike) => spike.problem(),
            Transform::OneOf(steps) if steps.is_empty() => Some("one_of has no steps; give at least one".to_owned()),
            _ => None,
        }
    }

    /// The steps inside the step.
    pub fn inner(&self) -> &[Transform] {
        match self {
            Transform::Maybe(maybe) => &maybe.steps,
            Transform::OneOf(steps) => steps,
            _ => &[],
        }
    }
}

//! Transforms of an image and its label map: the traits, and the closed list of what there is.
//!
//! A transform is one struct in one file: its fields are the keys of its written form. A [`Spatial`]
//! transform says where each outgoing voxel comes from; an [`Intensity`] transform maps the values of
//! a window. Neither computes a volume: `pipeline.rs` does, for the window that somebody asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::volume::Grid;
use crate::seed::Rng;
use crate::value::Probability;

mod affine;
mod bias_field;
mod blur;
mod clamp;
mod crop;
mod crop_or_pad;
mod drawn;
mod ensure_shape_multiple;
mod flip;
mod gamma;
mod hu_window;
mod noise;
mod pad;
mod place;
mod resample;
mod rescale_intensity;
mod resize;
mod statistics;
mod to_canonical;
mod to_orientation;
mod window;
mod z_normalize;

pub use affine::{Affine, AffineDraw};
pub use bias_field::{BiasField, BiasFieldDraw};
pub use blur::{Blur, BlurDraw};
pub use clamp::Clamp;
pub use crop::Crop;
pub use crop_or_pad::CropOrPad;
use drawn::Record;
pub use drawn::{Drawn, Nothing};
pub use ensure_shape_multiple::{EnsureShapeMultiple, Method};
pub use flip::Flip;
pub use gamma::Gamma;
pub use hu_window::HuWindow;
pub use noise::{Noise, NoiseDraw};
pub use pad::Pad;
pub use place::{Fill, Lattice, LatticeAxis, Map, Placement};
pub use resample::Resample;
pub use rescale_intensity::RescaleIntensity;
pub use resize::Resize;
pub use to_canonical::ToCanonical;
pub use to_orientation::{Axes, ToOrientation};
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

/// A transform of the grid: it says where each outgoing voxel comes from.
pub trait Spatial {
    /// What chance decides.
    type Draw;

    /// All the chance of the transform.
    fn draw(&self, rng: &mut Rng) -> Self::Draw;

    /// The outgoing grid and the source of its voxels; a pure function. The shape never depends on the draw.
    fn place(&self, draw: &Self::Draw, incoming: &Grid) -> Placement;
}

/// A transform of intensities: it maps the values of a window.
pub trait Intensity {
    /// What chance decides.
    type Draw;

    /// All the chance of the transform.
    fn draw(&self, rng: &mut Rng, channels: usize) -> Self::Draw;

    /// Whether it needs numbers about the whole incoming volume.
    fn measures(&self) -> bool {
        false
    }

    /// The numbers that it needs about the whole incoming volume, all channels together.
    ///
    /// # Errors
    /// When the volume has no such numbers.
    fn measure(&self, _whole: &[f32]) -> Result<Measured, TransformError> {
        Ok(Measured::default())
    }

    /// How many voxels around a window decide its values.
    fn halo(&self, _draw: &Self::Draw, _spacing: [f64; 3]) -> [usize; 3] {
        [0; 3]
    }

    /// Maps the values of a window; a pure function. Within the halo of an end that is not the volume's they may be
    /// anything.
    fn apply(&self, draw: &Self::Draw, measured: &Measured, window: &mut Window);
}

/// Numbers about a whole volume; each transform fills in those that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// A low percentile.
    pub low: f32,
    /// A high percentile.
    pub high: f32,
    /// The mean.
    pub mean: f32,
    /// The standard deviation.
    pub deviation: f32,
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
    ($transform:expr, spatial $spatial:ident => $on_spatial:expr, intensity $intensity:ident => $on_intensity:expr, list => $on_list:expr) => {
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
            Transform::Flip($spatial) => $on_spatial,
            Transform::Clamp($intensity) => $on_intensity,
            Transform::RescaleIntensity($intensity) => $on_intensity,
            Transform::ZNormalize($intensity) => $on_intensity,
            Transform::Noise($intensity) => $on_intensity,
            Transform::Gamma($intensity) => $on_intensity,
            Transform::HuWindow($intensity) => $on_intensity,
            Transform::Blur($intensity) => $on_intensity,
            Transform::BiasField($intensity) => $on_intensity,
            Transform::Maybe(_) | Transform::OneOf(_) => $on_list,
        }
    };
}

/// Why a recorded draw always fits: chains and draws travel together.
const DRAWN_FOR_IT: &str = "a step meets the draw that was drawn for it";

impl Transform {
    /// All the chance of the step.
    pub fn draw(&self, rng: &mut Rng, channels: usize) -> Drawn {
        match self {
            Transform::Maybe(maybe) => {
                // The chance is drawn first and the steps always, so that one step's draws do not move another's.
                let applied = rng.chance(maybe.probability.get());
                let drawn = maybe.steps.iter().map(|step| step.draw(rng, channels)).collect();
                Drawn::Maybe(applied.then_some(drawn))
            }
            Transform::OneOf(steps) => {
                let chosen = rng.below(steps.len() as u64) as usize;
                Drawn::OneOf(chosen, Box::new(steps[chosen].draw(rng, channels)))
            }
            _ => dispatch!(self,
                spatial step => step.draw(rng).record(),
                intensity step => step.draw(rng, channels).record(),
                list => unreachable!("lists are drawn above")),
        }
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
            list => None)
    }

    /// Whether the step needs numbers about the whole incoming volume.
    pub fn measures(&self) -> bool {
        dispatch!(self, spatial _step => false, intensity step => step.measures(), list => false)
    }

    /// The numbers that the step needs about the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such numbers.
    pub fn measure(&self, whole: &[f32]) -> Result<Measured, TransformError> {
        dispatch!(self,
            spatial _step => Ok(Measured::default()),
            intensity step => step.measure(whole),
            list => Ok(Measured::default()))
    }

    /// How many voxels around a window decide its intensities.
    pub fn halo(&self, drawn: &Drawn, spacing: [f64; 3]) -> [usize; 3] {
        dispatch!(self,
            spatial _step => [0; 3],
            intensity step => step.halo(Record::recall(drawn).expect(DRAWN_FOR_IT), spacing),
            list => [0; 3])
    }

    /// Maps the intensities of a window; a spatial step leaves them.
    pub fn apply(&self, drawn: &Drawn, measured: &Measured, window: &mut Window) {
        dispatch!(self,
            spatial _step => {},
            intensity step => step.apply(Record::recall(drawn).expect(DRAWN_FOR_IT), measured, window),
            list => {});
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
            Transform::Affine(affine) => &[
                ("affine.scales", !affine.scales.is_fixed()),
                ("affine.degrees", !affine.degrees.is_fixed()),
                ("affine.translation_mm", !affine.translation_mm.is_fixed()),
            ],
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
            _ => &[],
        };
        wide.iter().filter(|(_, is_wide)| *is_wide).map(|(key, _)| *key).collect()
    }

    /// What the step's parameters say against each other.
    pub fn problem(&self) -> Option<String> {
        match self {
            Transform::Clamp(clamp) => clamp.problem(),
            Transform::RescaleIntensity(rescale) => rescale.problem(),
            Transform::Noise(noise) => noise.problem(),
            Transform::Affine(affine) => affine.problem(),
            Transform::HuWindow(window) => window.problem(),
            Transform::Blur(blur) => blur.problem(),
            Transform::BiasField(field) => field.problem(),
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

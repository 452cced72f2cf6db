//! What every step of a chain can be asked, whichever transform it is.

use super::params::Record;
use super::{
    Extension, FittedTransform, GridMapping, Incoming, IntensityTransform, LabelTransform, Location, SpatialTransform,
    Transform, TransformError, TransformParams, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use volume::{Affine, Grid};

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
pub fn sample_params(steps: &[Transform], rng: &mut Rng, incoming: &Incoming) -> Vec<TransformParams> {
    let mut incoming = *incoming;
    let mut draw = |step: &Transform| {
        let drawn = step.sample_params(rng, &incoming);
        incoming.grid = step.outgoing(&drawn, &incoming.grid);
        drawn
    };
    steps.iter().map(&mut draw).collect()
}

/// Why a recorded draw always fits: chains and draws travel together.
const PARAMS_MATCH: &str = "a step meets the draw that was drawn for it";

impl Transform {
    /// All the chance of the step.
    pub fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> TransformParams {
        match self {
            Transform::Maybe(maybe) => {
                // The chance is drawn first and the steps always, so that one step's draws do not move another's.
                let applied = rng.bernoulli(maybe.probability.get());
                let drawn = sample_params(&maybe.steps, rng, incoming);
                TransformParams::Maybe(applied.then_some(drawn))
            }
            Transform::OneOf(steps) => {
                let chosen = rng.below(steps.len() as u64) as usize;
                TransformParams::OneOf(chosen, Box::new(steps[chosen].sample_params(rng, incoming)))
            }
            _ => dispatch!(self,
                spatial step => step.sample_params(rng, incoming).record(),
                intensity step => step.sample_params(rng, incoming).record(),
                else => TransformParams::Nothing),
        }
    }

    /// The grid after the step and the steps inside it.
    pub fn outgoing(&self, drawn: &TransformParams, incoming: &Grid) -> Grid {
        let mut grid = *incoming;
        self.unroll(drawn, &mut |step, drawn| {
            if let Some(place) = step.map_grid(drawn, &grid) {
                grid = place.grid;
            }
        });
        grid
    }

    /// Whether a draw is of the kind that the step draws; of a list of steps none is.
    pub(super) fn is_kind(&self, drawn: &TransformParams) -> bool {
        fn of_spatial<S: SpatialTransform<Params: Record>>(_: &S, drawn: &TransformParams) -> bool {
            S::Params::recall(drawn).is_some()
        }
        fn of_intensity<I: IntensityTransform<Params: Record>>(_: &I, drawn: &TransformParams) -> bool {
            I::Params::recall(drawn).is_some()
        }
        dispatch!(self,
            spatial step => of_spatial(step, drawn),
            intensity step => of_intensity(step, drawn),
            else => *drawn == TransformParams::Nothing && self.inner().is_empty())
    }

    /// Whether the step by itself may give volumes of another shape.
    pub fn changes_shape(&self) -> bool {
        matches!(
            self,
            Transform::ToCanonical(_)
                | Transform::ToOrientation(_)
                | Transform::Resample(_)
                | Transform::Resize(_)
                | Transform::Crop(_)
                | Transform::Pad(_)
                | Transform::CropOrPad(_)
                | Transform::EnsureShapeMultiple(_)
        )
    }

    /// The steps that are applied one after the other under a draw: itself, or those of a list.
    pub fn unroll<'a>(&'a self, drawn: &'a TransformParams, visit: &mut dyn FnMut(&'a Transform, &'a TransformParams)) {
        match (self, drawn) {
            (Transform::Maybe(_), TransformParams::Maybe(None)) => {}
            (Transform::Maybe(maybe), TransformParams::Maybe(Some(drawn))) => {
                maybe.steps.iter().zip(drawn).for_each(|(step, drawn)| step.unroll(drawn, visit));
            }
            (Transform::OneOf(steps), TransformParams::OneOf(chosen, drawn)) => steps[*chosen].unroll(drawn, visit),
            _ => visit(self, drawn),
        }
    }

    /// The outgoing grid and the source of its voxels; `None` for a step that leaves every voxel in its place.
    pub fn map_grid(&self, drawn: &TransformParams, incoming: &Grid) -> Option<GridMapping> {
        dispatch!(self,
            spatial step => Some(step.map_grid(Record::recall(drawn).expect(PARAMS_MATCH), incoming)),
            intensity _step => None,
            else => None)
    }

    /// Whether the content of the volume decides what chance leaves open.
    pub fn resolves_from_volume(&self) -> bool {
        dispatch!(self, spatial step => step.resolves_from_volume(), intensity _step => false, else => false)
    }

    /// The draw with what the content of the incoming volume decides.
    ///
    /// # Errors
    /// When the volume lacks what decides it.
    pub fn resolve_from_volume(
        &self,
        drawn: &TransformParams,
        whole: &WholeVolume,
    ) -> Result<TransformParams, TransformError> {
        dispatch!(self,
            spatial step => Ok(step.resolve_from_volume(Record::recall(drawn).expect(PARAMS_MATCH), whole)?.record()),
            intensity _step => Ok(drawn.clone()),
            else => Ok(drawn.clone()))
    }

    /// Whether the step needs numbers about the whole incoming volume.
    pub fn needs_statistics(&self) -> bool {
        dispatch!(self, spatial _step => false, intensity step => step.needs_statistics(), else => false)
    }

    /// Whether the step looks at labels.
    pub fn needs_labels(&self) -> bool {
        dispatch!(self, spatial _step => false, intensity step => step.needs_labels(), else => false)
    }

    /// The numbers that the step needs about the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such numbers.
    pub fn statistics(&self, drawn: &TransformParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        dispatch!(self,
            spatial _step => Ok(VolumeStatistics::Nothing),
            intensity step => step.statistics(Record::recall(drawn).expect(PARAMS_MATCH), whole),
            else => Ok(VolumeStatistics::Nothing))
    }

    /// How many voxels around a window decide its intensities; `usize::MAX` is the whole axis.
    pub fn halo(&self, drawn: &TransformParams, grid: &Grid) -> [usize; 3] {
        dispatch!(self,
            spatial _step => [0; 3],
            intensity step => step.halo(Record::recall(drawn).expect(PARAMS_MATCH), grid),
            else => [0; 3])
    }

    /// Maps by which the step wants the volume moved.
    pub fn copies(&self, drawn: &TransformParams, grid: &Grid) -> Vec<Affine> {
        dispatch!(self,
            spatial _step => Vec::new(),
            intensity step => step.copies(Record::recall(drawn).expect(PARAMS_MATCH), grid),
            else => Vec::new())
    }

    /// Maps the intensities of a window; a spatial step leaves them.
    pub fn apply(&self, drawn: &TransformParams, measured: &VolumeStatistics, window: &mut Window) {
        dispatch!(self,
            spatial _step => {},
            intensity step => step.apply(Record::recall(drawn).expect(PARAMS_MATCH), measured, window),
            else => {});
    }

    /// What the step does to label maps as a whole, where it is there for that.
    pub fn label_transform(&self) -> Option<&dyn LabelTransform> {
        match self {
            Transform::RemapLabels(step) => Some(step),
            Transform::SequentialLabels(step) => Some(step),
            Transform::KeepLargest(step) => Some(step),
            _ => None,
        }
    }

    /// How the volume goes on in the voxels that the step adds, where it does; the step then needs the whole volume.
    pub fn extension(&self) -> Option<Extension> {
        match self {
            Transform::Pad(pad) => pad.fill.extension(),
            Transform::CropOrPad(crop) => crop.fill.extension(),
            _ => None,
        }
    }

    /// Whether the step's numbers are to be learnt from the training subjects.
    pub fn needs_fit(&self) -> bool {
        match self {
            Transform::ForegroundNormalize(step) => step.needs_fit(),
            Transform::HistogramStandardization(step) => step.needs_fit(),
            _ => false,
        }
    }

    /// Whether a draw holds numbers that the step learns; how many channels they are for shows at a volume.
    pub fn is_fitted(&self, drawn: &TransformParams) -> bool {
        match drawn {
            TransformParams::ForegroundNormalize(numbers) => self.is_kind(drawn) && numbers.0.is_some(),
            TransformParams::HistogramStandardization(landmarks) => self.is_kind(drawn) && landmarks.0.is_some(),
            _ => false,
        }
    }

    /// What one training subject contributes to the step's numbers, channel by channel.
    ///
    /// # Errors
    /// When the subject lacks what the step learns from.
    pub fn observe(&self, whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError> {
        match self {
            Transform::ForegroundNormalize(step) => step.observe(whole),
            Transform::HistogramStandardization(step) => step.observe(whole),
            _ => Ok(Vec::new()),
        }
    }

    /// The draw that stands for the numbers learnt from the samples of all training subjects.
    ///
    /// # Errors
    /// When the samples are too few.
    pub fn fit(&self, samples: &[Vec<Vec<f32>>]) -> Result<TransformParams, TransformError> {
        match self {
            Transform::ForegroundNormalize(step) => Ok(step.fit(samples)?.record()),
            Transform::HistogramStandardization(step) => Ok(step.fit(samples)?.record()),
            _ => Ok(TransformParams::Nothing),
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
                let is_noisy = noise.std != values::Range::fixed(0.0);
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
            Transform::Gamma(gamma) => gamma.problem(),
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
            Transform::Swap(swap) => swap.problem(),
            Transform::Ghosting(ghosting) => ghosting.problem(),
            Transform::Motion(motion) => motion.problem(),
            Transform::Spike(spike) => spike.problem(),
            Transform::OneOf(steps) if steps.is_empty() => Some("one_of has no steps; give at least one".to_owned()),
            _ => None,
        }
    }

    /// Whether something holds for the step or one inside it.
    pub fn any(&self, holds: &dyn Fn(&Transform) -> bool) -> bool {
        holds(self) || self.inner().iter().any(|inner| inner.any(holds))
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

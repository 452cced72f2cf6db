//! Erases the type of a component's parameters: every registered component is a [`Step`].

use random::Rng;
use values::Spacing;
use volume::{Affine, Grid, Label};

use crate::step::{OTHER_STEP, Step};
use crate::{
    Component, Extension, FittedTransform, GridMapping, Incoming, IntensityTransform, KeyProblem, LabelTransform,
    Reference, Region, RoundTrip, SpatialTransform, TransformError, TransformParams, VolumeStatistics, WholeVolume,
    Window,
};

/// A component, as an object of the trait of its kind.
pub(crate) enum Kind<'a, P> {
    Spatial(&'a dyn SpatialTransform<Params = P>),
    Intensity(&'a dyn IntensityTransform<Params = P>),
    Label(&'a dyn LabelTransform<Params = P>),
}

/// A component of the registry, which implements this trait for it.
pub(crate) trait Registered: Component {
    /// The name in an experiment.
    const NAME: &'static str;

    fn kind(&self) -> Kind<'_, Self::Params>;

    fn wrap(params: Self::Params) -> TransformParams;

    /// Returns `None` if the parameters belong to another step.
    fn unwrap(params: &TransformParams) -> Option<&Self::Params>;

    fn spatial(&self) -> Option<&dyn SpatialTransform<Params = Self::Params>> {
        if let Kind::Spatial(step) = self.kind() { Some(step) } else { None }
    }

    fn intensity(&self) -> Option<&dyn IntensityTransform<Params = Self::Params>> {
        if let Kind::Intensity(step) = self.kind() { Some(step) } else { None }
    }

    fn label(&self) -> Option<&dyn LabelTransform<Params = Self::Params>> {
        if let Kind::Label(step) = self.kind() { Some(step) } else { None }
    }

    fn fitted(&self) -> Option<&dyn FittedTransform<Params = Self::Params>> {
        self.intensity().and_then(|step| step.fitted())
    }
}

fn typed<T: Registered>(params: &TransformParams) -> &T::Params {
    T::unwrap(params).expect("the parameters were sampled for this step or validated against it")
}

impl<T: Registered> Step for T {
    fn validate(&self) -> Vec<KeyProblem> {
        Component::validate(self)
    }

    fn check_incoming(&self, incoming: &Incoming) -> Result<(), KeyProblem> {
        Component::check_incoming(self, incoming)
    }

    fn warning(&self, incoming: &Grid) -> Option<String> {
        Component::warning(self, incoming)
    }

    fn random_keys(&self) -> Vec<&'static str> {
        Component::random_keys(self)
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        Component::symmetric_ranges(self)
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> TransformParams {
        T::wrap(Component::sample_params(self, rng, incoming))
    }

    fn validate_params(&self, params: &TransformParams, incoming: &Incoming) -> Result<(), String> {
        let params = T::unwrap(params).ok_or_else(|| OTHER_STEP.to_owned())?;
        Component::validate_params(self, params, incoming)
    }

    fn region(&self) -> Option<&Region> {
        Component::region(self)
    }

    fn reference_mut(&mut self) -> Option<&mut Reference> {
        Component::reference_mut(self)
    }

    fn median_spacing_mut(&mut self) -> Option<&mut Option<Spacing>> {
        Component::median_spacing_mut(self)
    }

    fn map_grid(&self, params: &TransformParams, incoming: &Grid) -> Option<GridMapping> {
        self.spatial().map(|step| step.map_grid(typed::<T>(params), incoming))
    }

    fn changes_shape(&self) -> bool {
        self.spatial().is_some_and(|step| step.changes_shape())
    }

    fn input_shape(&self, output: [usize; 3]) -> [usize; 3] {
        self.spatial().map_or(output, |step| step.input_shape(output))
    }

    fn is_random_warp(&self) -> bool {
        self.spatial().is_some_and(|step| step.is_random_warp())
    }

    fn resolves_from_volume(&self) -> bool {
        self.spatial().is_some_and(|step| step.resolves_from_volume())
    }

    fn resolves_shape(&self) -> bool {
        self.spatial().is_some_and(|step| step.resolves_shape())
    }

    fn resolve_from_volume(
        &self,
        params: &TransformParams,
        whole: &WholeVolume,
    ) -> Result<TransformParams, TransformError> {
        let Some(step) = self.spatial() else { return Ok(params.clone()) };
        step.resolve_from_volume(typed::<T>(params), whole).map(T::wrap)
    }

    fn extension(&self) -> Option<Extension> {
        self.spatial().and_then(|step| step.extension())
    }

    fn zooms(&self) -> bool {
        self.spatial().is_some_and(|step| step.zooms())
    }

    fn zoom(&self, incoming: &Grid) -> Option<RoundTrip> {
        self.spatial().and_then(|step| step.zoom(incoming))
    }

    fn is_identity(&self, params: &TransformParams) -> bool {
        self.intensity().is_some_and(|step| step.is_identity(typed::<T>(params)))
    }

    fn needs_statistics(&self) -> bool {
        self.intensity().is_some_and(|step| step.needs_statistics())
    }

    fn needs_labels(&self) -> bool {
        self.intensity().is_some_and(|step| step.needs_labels())
    }

    fn needs_background(&self) -> bool {
        self.intensity().is_some_and(|step| step.needs_background())
    }

    fn needs_whole_volume(&self) -> bool {
        self.intensity().is_some_and(|step| step.needs_whole_volume())
    }

    fn accepts_not_finite(&self) -> bool {
        self.intensity().is_some_and(|step| step.accepts_not_finite())
    }

    fn limits_intensities(&self) -> bool {
        self.intensity().is_some_and(|step| step.limits_intensities())
    }

    fn is_sensitive_to_outliers(&self) -> bool {
        self.intensity().is_some_and(|step| step.is_sensitive_to_outliers())
    }

    fn normalizes(&self) -> bool {
        self.intensity().is_some_and(|step| step.normalizes())
    }

    fn statistics(&self, params: &TransformParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let Some(step) = self.intensity() else { return Ok(VolumeStatistics::default()) };
        step.statistics(typed::<T>(params), whole)
    }

    fn halo(&self, params: &TransformParams, grid: &Grid) -> [usize; 3] {
        self.intensity().map_or([0; 3], |step| step.halo(typed::<T>(params), grid))
    }

    fn copies(&self, params: &TransformParams, grid: &Grid) -> Vec<Affine> {
        self.intensity().map_or_else(Vec::new, |step| step.copies(typed::<T>(params), grid))
    }

    fn apply(&self, params: &TransformParams, statistics: &VolumeStatistics, window: &mut Window) {
        if let Some(step) = self.intensity() {
            step.apply(typed::<T>(params), statistics, window);
        }
    }

    fn needs_fit(&self) -> bool {
        self.fitted().is_some_and(|step| step.needs_fit())
    }

    fn is_fitted(&self, params: &TransformParams) -> bool {
        self.fitted().zip(T::unwrap(params)).is_some_and(|(step, params)| step.is_fitted(params))
    }

    fn observe(&self, whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError> {
        self.fitted().map_or_else(|| Ok(Vec::new()), |step| step.observe(whole))
    }

    fn fit(&self, observations: &[Vec<Vec<f32>>]) -> Result<TransformParams, TransformError> {
        self.fitted().map_or(Ok(TransformParams::Nothing), |step| step.fit(observations).map(T::wrap))
    }

    fn relabels(&self) -> bool {
        self.label().is_some_and(|step| step.relabels())
    }

    fn relabel(&self, params: &TransformParams, labels: &mut [Label], shape: [usize; 3]) {
        if let Some(step) = self.label() {
            step.relabel(typed::<T>(params), labels, shape);
        }
    }

    fn label_channels(&self, labels: &[Label]) -> Option<Vec<Label>> {
        self.label().and_then(|step| step.channels(labels))
    }
}

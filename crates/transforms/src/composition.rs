//! Steps that contain other steps: `maybe` and `one_of`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::{OTHER_STEP, Step};
use crate::{ITSELF, Incoming, KeyProblem, Transform, TransformParams, lazy, sample_params};
use random::Rng;
use values::Probability;
use volume::{Grid, Label};

/// Applies a list of steps with a given probability: all of them or none.
///
/// ```yaml
/// - maybe: { probability: 0.5, steps: [{ blur: { std_mm: [0, 2] } }, { noise: { std: [0, 0.1] } }] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maybe {
    /// Probability that the steps are applied, from 0 to 1, such as 0.5.
    pub probability: Probability,
    /// The steps, in the order in which they are applied.
    pub steps: Vec<Transform>,
}

/// The steps inside a step.
#[derive(Clone, Copy, Debug)]
pub struct Nested<'a> {
    /// The key of their list, with the step's name.
    pub key: &'static str,
    /// The steps.
    pub steps: &'a [Transform],
    /// If true, one of them is applied, else all in order.
    pub is_choice: bool,
}

/// Steps with their parameters.
pub type Applied<'a> = (&'a [Transform], &'a [TransformParams]);

/// Why parameters always match their steps where these are applied.
const PARAMS_MATCH: &str = "the parameters were sampled for this chain or validated against it";

impl Step for Maybe {
    fn random_keys(&self) -> Vec<&'static str> {
        let probability = self.probability.get();
        if probability > 0.0 && probability < 1.0 { vec!["probability"] } else { Vec::new() }
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> TransformParams {
        // Parameters are sampled for skipped steps too, so that skipping does not shift the stream of the next step.
        let is_applied = rng.bernoulli(self.probability.get());
        let params = sample_params(&self.steps, rng, incoming);
        TransformParams::Maybe(is_applied.then_some(params))
    }

    fn validate_params(&self, params: &TransformParams, _: &Incoming) -> Result<(), String> {
        self.applied(params).map(drop)
    }

    fn input_shape(&self, output: [usize; 3]) -> [usize; 3] {
        lazy::input_shape(&self.steps, output)
    }

    fn nested(&self) -> Option<Nested<'_>> {
        Some(Nested { key: "maybe.steps", steps: &self.steps, is_choice: false })
    }

    fn nested_mut(&mut self) -> &mut [Transform] {
        &mut self.steps
    }

    fn applied<'a>(&'a self, params: &'a TransformParams) -> Result<Option<Applied<'a>>, String> {
        match params {
            TransformParams::Maybe(None) => Ok(Some((&[], &[]))),
            TransformParams::Maybe(Some(params)) if params.len() == self.steps.len() => Ok(Some((&self.steps, params))),
            TransformParams::Maybe(Some(params)) => {
                Err(format!("expected parameters of {} steps, got {}", self.steps.len(), params.len()))
            }
            _ => Err(OTHER_STEP.to_owned()),
        }
    }

    fn with_nested_params(&self, params: &TransformParams, nested: Vec<TransformParams>) -> TransformParams {
        TransformParams::Maybe((*params != TransformParams::Maybe(None)).then_some(nested))
    }
}

/// `one_of`.
impl Step for Vec<Transform> {
    fn validate(&self) -> Vec<KeyProblem> {
        let none = KeyProblem::new(ITSELF, "expected at least one step, got none");
        if self.is_empty() { vec![none.help("add steps or remove this one")] } else { Vec::new() }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        if self.len() > 1 { vec![ITSELF] } else { Vec::new() }
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> TransformParams {
        let chosen = rng.below(self.len() as u64) as usize;
        TransformParams::OneOf(chosen, Box::new(self[chosen].component().sample_params(rng, incoming)))
    }

    fn validate_params(&self, params: &TransformParams, _: &Incoming) -> Result<(), String> {
        self.applied(params).map(drop)
    }

    fn input_shape(&self, output: [usize; 3]) -> [usize; 3] {
        self.iter().fold(output, |shape, step| {
            let own = step.component().input_shape(output);
            std::array::from_fn(|axis| shape[axis].max(own[axis]))
        })
    }

    fn nested(&self) -> Option<Nested<'_>> {
        Some(Nested { key: "one_of", steps: self, is_choice: true })
    }

    fn nested_mut(&mut self) -> &mut [Transform] {
        self
    }

    fn applied<'a>(&'a self, params: &'a TransformParams) -> Result<Option<Applied<'a>>, String> {
        match params {
            TransformParams::OneOf(chosen, params) => match self.get(*chosen) {
                Some(step) => Ok(Some((std::slice::from_ref(step), std::slice::from_ref(params)))),
                None => Err(format!("expected one of {} steps, counted from 0, got {chosen}", self.len())),
            },
            _ => Err(OTHER_STEP.to_owned()),
        }
    }

    fn with_nested_params(&self, params: &TransformParams, mut nested: Vec<TransformParams>) -> TransformParams {
        match (params, nested.pop()) {
            (TransformParams::OneOf(chosen, _), Some(nested)) => TransformParams::OneOf(*chosen, Box::new(nested)),
            _ => unreachable!("{PARAMS_MATCH}"),
        }
    }
}

impl Transform {
    /// Returns the steps inside the step.
    pub fn nested_steps(&self) -> &[Transform] {
        self.component().nested().map_or(&[], |nested| nested.steps)
    }

    /// Returns whether a condition is true for the step or one inside it.
    pub fn any(&self, condition: &dyn Fn(&dyn Step) -> bool) -> bool {
        condition(self.component()) || self.nested_steps().iter().any(|step| step.any(condition))
    }

    /// Returns whether the step is random.
    pub fn is_random(&self) -> bool {
        if !self.component().random_keys().is_empty() {
            return true;
        }
        let is_skipped = matches!(self, Transform::Maybe(maybe) if maybe.probability.get() == 0.0);
        !is_skipped && self.nested_steps().iter().any(Transform::is_random)
    }

    /// Returns the first warning about the step, or one inside it, on volumes of this grid, with that step's name.
    pub fn find_warning(&self, incoming: &Grid) -> Option<(&'static str, String)> {
        let own = self.component().warning(incoming).map(|warning| (self.name(), warning));
        own.or_else(|| self.nested_steps().iter().find_map(|step| step.find_warning(incoming)))
    }

    /// Returns the channels `[class, x, y, z]` as which a label map `[x, y, z]` is written to files, if the step or one
    /// inside it defines them.
    pub fn label_channels(&self, labels: &[Label]) -> Option<Vec<Label>> {
        let nested = || self.nested_steps().iter().find_map(|step| step.label_channels(labels));
        self.component().label_channels(labels).or_else(nested)
    }

    /// Visits the steps that are applied under sampled parameters, in order: the step itself, or those inside it.
    ///
    /// # Panics
    /// When the parameters belong to another step.
    pub fn visit_applied<'a>(
        &'a self,
        params: &'a TransformParams,
        visit: &mut dyn FnMut(&'a Transform, &'a TransformParams),
    ) {
        match self.component().applied(params).expect(PARAMS_MATCH) {
            Some((steps, params)) => {
                steps.iter().zip(params).for_each(|(step, params)| step.visit_applied(params, visit));
            }
            None => visit(self, params),
        }
    }

    /// Returns the parameters with those of each applied step replaced by the result of `map`.
    ///
    /// # Errors
    /// Those of `map`.
    ///
    /// # Panics
    /// When the parameters belong to another step.
    pub fn try_map_params<E>(
        &self,
        params: &TransformParams,
        map: &mut dyn FnMut(&Transform, &TransformParams) -> Result<TransformParams, E>,
    ) -> Result<TransformParams, E> {
        let Some((steps, nested)) = self.component().applied(params).expect(PARAMS_MATCH) else {
            return map(self, params);
        };
        let nested = steps.iter().zip(nested).map(|(step, params)| step.try_map_params(params, map));
        let nested = nested.collect::<Result<_, E>>()?;
        Ok(self.component().with_nested_params(params, nested))
    }

    /// Returns the grid after the step and the steps inside it.
    ///
    /// # Panics
    /// When the parameters belong to another step.
    pub fn outgoing_grid(&self, params: &TransformParams, incoming: &Grid) -> Grid {
        let mut grid = *incoming;
        self.visit_applied(params, &mut |step, params| {
            if let Some(mapping) = step.component().map_grid(params, &grid) {
                grid = mapping.grid;
            }
        });
        grid
    }
}

//! What fine-tuning does to single parameters: which are frozen, and their learning rates.

use std::num::NonZeroUsize;

use crate::experiment::plan::Plan;
use nn::Model;
use nn::optimizers::ParameterOptions;

/// The layers that are frozen in the first steps of a run.
#[derive(Clone, Debug)]
pub(super) struct FrozenLayers {
    model: Model,
    layers: Vec<String>,
    /// `None` for the whole run.
    num_steps: Option<usize>,
}

impl FrozenLayers {
    /// Returns the frozen layers of a plan; `None` if it has none.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let freeze = plan.experiment.train.freeze.as_ref()?;
        let num_steps = freeze.epochs.map(NonZeroUsize::get).map(|epochs| epochs.saturating_mul(plan.steps_per_epoch));
        Some(Self { model: plan.experiment.model.clone(), layers: freeze.layers.clone(), num_steps })
    }

    /// Returns whether the layers are frozen in a step, counted from 0.
    pub(super) fn is_frozen_at(&self, step: usize) -> bool {
        self.num_steps.is_none_or(|num_steps| step < num_steps)
    }

    /// Returns whether a parameter or running statistic belongs to the layers.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| self.model.is_in_layer(name, layer))
    }
}

/// Returns the options of a trained parameter.
pub(super) fn options(plan: &Plan, name: &str) -> ParameterOptions {
    let factors = &plan.experiment.train.learning_rate_factors;
    let layer = plan.experiment.model.closest_layer(name, factors.keys());
    let first_step = match FrozenLayers::of(plan).filter(|frozen| frozen.contains(name)) {
        Some(frozen) => frozen.num_steps.unwrap_or(usize::MAX),
        None => 0,
    };
    ParameterOptions { learning_rate_factor: layer.map_or(1.0, |layer| factors[layer].get()), first_step }
}

//! The state of a trainer: its weights, their average and the optimizer's moments, copied to the host and restored.

use burn::tensor::{Tensor, TensorData};

use super::Trainer;
use crate::experiment::plan::Plan;
use crate::training::TrainError;
use crate::training::checkpoint::State;
use crate::training::weight_average::WeightAverage;
use nn::parameters;
use nn::weights::{NamedTensor, WeightsError};

impl Trainer {
    /// Copies weights and buffers to the host, by name.
    pub fn weights(&self) -> Vec<NamedTensor> {
        self.network.parameters.export()
    }

    /// Copies the weights and buffers that validation and predictions use to the host, by name.
    pub fn prediction_weights(&self) -> Vec<NamedTensor> {
        self.prediction_network().parameters.export()
    }

    /// Copies the moving averages of the trained weights to the host, by name; none without an average or before the first
    /// step.
    pub fn weight_average(&self) -> Vec<NamedTensor> {
        let values = self.average.as_ref().and_then(WeightAverage::values).unwrap_or_default();
        let named = self.network.parameters.trained_names().zip(values).map(|(name, value)| {
            let data = parameters::to_host(value);
            NamedTensor { name: name.to_owned(), shape: vec![data.len()], data }
        });
        named.collect()
    }

    /// Copies the optimizer's moments to the host, by the parameter's name.
    pub fn moments(&self) -> Vec<NamedTensor> {
        let names = self.optimizer_spec.moments();
        let mut all = Vec::new();
        for (parameter, moments) in self.network.parameters.trained_names().zip(self.optimizer.moments()) {
            for (name, moment) in names.iter().zip(moments) {
                let data = parameters::to_host(moment);
                all.push(NamedTensor { name: format!("{parameter}.{name}"), shape: vec![data.len()], data });
            }
        }
        all
    }

    /// Loads the initial weights that the plan names; parameters that they lack, or all without any, stay random.
    ///
    /// # Errors
    /// When their file cannot be read or does not match the network.
    pub fn load_initial_weights(&mut self, plan: &Plan) -> Result<(), TrainError> {
        if let Some(weights) = &plan.experiment.train.initial_weights {
            let loaded = plan.experiment.model.read_weights(weights, plan.network_channels(), plan.num_classes())?;
            self.network.parameters.replace(loaded.tensors, &self.device);
        }
        Ok(())
    }

    /// Restores the weights, their average and the moments of a checkpoint.
    ///
    /// # Errors
    /// When they do not match the network or the optimizer.
    pub fn restore(&mut self, state: &State) -> Result<(), TrainError> {
        self.network.parameters.import(&state.weights, &self.device)?;
        let device = self.device.clone().inner();
        let tensor = |all: &[NamedTensor], owner: &str, name: String, length: usize| {
            let saved = all.iter().find(|tensor| tensor.name == name && tensor.data.len() == length);
            let misfit = || WeightsError::Misfit(format!("{owner} `{name}` is missing or has another length"));
            let saved = saved.ok_or_else(misfit)?;
            Ok(Tensor::<1>::from_data(TensorData::new(saved.data.clone(), [saved.data.len()]), &device))
        };
        let moment = |name: String, length: usize| tensor(&state.moments, "the optimizer's", name, length);
        if let Some(average) = self.average.as_mut().filter(|_| state.progress.step > 0) {
            let trained = self.network.parameters.trained_names().zip(self.network.parameters.trained_values());
            let values = trained
                .map(|(name, value)| tensor(&state.average, "the moving average of", name.to_owned(), value.dims()[0]));
            average.restore(values.collect::<Result<_, WeightsError>>()?);
        }
        let names = self.optimizer_spec.moments();
        let parameters = &self.network.parameters;
        let moments = |(parameter, value): (&str, &Tensor<1>)| {
            let length = value.dims()[0];
            names.iter().map(|name| moment(format!("{parameter}.{name}"), length)).collect::<Result<Vec<_>, _>>()
        };
        let trained = parameters.trained_names().zip(parameters.trained_values());
        let moments = trained.map(moments).collect::<Result<_, WeightsError>>()?;
        self.optimizer.restore(moments);
        Ok(())
    }
}

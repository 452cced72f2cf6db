//! Named parameters: the declarations of a network, and the tensors with their values.
//!
//! A layer stores [`ParameterId`]s, not tensors, so the same layers serve to count parameters, to train, and to run without
//! gradients. Every parameter is stored as a flat tensor, which the layer views in its shape, so optimizers and checkpoints
//! handle one kind of tensor only.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::weights::{NamedTensor, WeightsError};
use random::{Purpose, Seed};

/// The index of a parameter in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId(usize);

/// The initial value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// Uniform in `±bound`.
    Uniform {
        /// The largest magnitude.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        deviation: f64,
    },
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

/// A declared parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// Name in weight files, such as `encoder.0.conv1.weight`.
    pub name: String,
    /// Shape, in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Initial value.
    pub initializer: Initializer,
    /// Whether it has a gradient; running statistics have none.
    pub trained: bool,
}

impl Declaration {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// All parameters of a network, in the order of its weight files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declarations(Vec<Declaration>);

impl Declarations {
    /// Adds a trained parameter.
    pub fn trained(&mut self, name: String, shape: &[usize], initializer: Initializer) -> ParameterId {
        self.add(Declaration { name, shape: shape.to_vec(), initializer, trained: true })
    }

    /// Adds a parameter without gradient, PyTorch's buffer.
    pub fn buffer(&mut self, name: String, shape: &[usize], initializer: Initializer) -> ParameterId {
        self.add(Declaration { name, shape: shape.to_vec(), initializer, trained: false })
    }

    /// Returns the declarations, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Declaration> {
        self.0.iter()
    }

    fn add(&mut self, declaration: Declaration) -> ParameterId {
        self.0.push(declaration);
        ParameterId(self.0.len() - 1)
    }

    /// Checks that tensors have the names and shapes of these parameters, in any order.
    ///
    /// # Errors
    /// Returns an error that names the parameters that are missing, unknown or of another shape.
    pub fn check(&self, tensors: &[NamedTensor]) -> Result<(), WeightsError> {
        let mismatch = |declaration: &Declaration| {
            let Declaration { name, shape, .. } = declaration;
            match tensors.iter().find(|tensor| tensor.name == *name) {
                None => Some(format!("`{name}` is missing")),
                Some(tensor) if tensor.shape != *shape => {
                    Some(format!("`{name}` has shape {:?}, expected {shape:?}", tensor.shape))
                }
                Some(_) => None,
            }
        };
        let mut faults: Vec<String> = self.0.iter().filter_map(mismatch).collect();
        let is_known = |name: &str| self.0.iter().any(|declaration| declaration.name == name);
        let unknown = tensors.iter().filter(|tensor| !is_known(&tensor.name));
        faults.extend(unknown.map(|tensor| format!("`{}` is not part of this network", tensor.name)));
        if faults.is_empty() {
            return Ok(());
        }
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        Err(WeightsError::Misfit(faults.join("; ")))
    }

    /// Returns the number of trained values.
    pub fn num_trained(&self) -> usize {
        self.0.iter().filter(|declaration| declaration.trained).map(Declaration::len).sum()
    }
}

/// The maximum number of listed mismatches; further ones are only counted.
const MAX_FAULTS: usize = 6;

/// The parameters of a network with their values.
#[derive(Clone, Debug)]
pub struct Parameters {
    declarations: Arc<Declarations>,
    values: Vec<Tensor<1>>,
}

impl Parameters {
    /// Initializes all parameters.
    ///
    /// Values are sampled on the host, each parameter from its own random stream, so that every backend starts from the
    /// same bits.
    pub fn initialize(declarations: Declarations, seed: Seed, device: &Device) -> Self {
        let values = declarations.0.iter().map(|declaration| tensor(initial(declaration, seed), declaration, device));
        Self { values: values.collect(), declarations: Arc::new(declarations) }
    }

    /// Returns a parameter in its shape.
    pub fn get<const D: usize>(&self, id: ParameterId) -> Tensor<D> {
        let shape = &self.declarations.0[id.0].shape;
        let shape: [usize; D] = shape.as_slice().try_into().expect("a layer views a parameter in the rank it declared");
        self.values[id.0].clone().reshape(shape)
    }

    /// Replaces the value of a parameter without gradient, such as a running mean.
    pub fn set_buffer(&mut self, id: ParameterId, value: Tensor<1>) {
        self.values[id.0] = value.inner();
    }

    /// Returns the same parameters, of which those that `is_frozen` selects by name have no gradient.
    pub fn frozen(&self, is_frozen: impl Fn(&str) -> bool) -> Self {
        let value = |(declaration, value): (&Declaration, &Tensor<1>)| {
            let is_frozen = declaration.trained && is_frozen(&declaration.name);
            if is_frozen { value.clone().inner().autodiff() } else { value.clone() }
        };
        let values = self.declarations.0.iter().zip(&self.values).map(value).collect();
        Self { declarations: Arc::clone(&self.declarations), values }
    }

    /// Returns the name of a parameter.
    pub fn name(&self, id: ParameterId) -> &str {
        &self.declarations.0[id.0].name
    }

    /// Returns the shape of a parameter.
    pub fn shape(&self, id: ParameterId) -> &[usize] {
        &self.declarations.0[id.0].shape
    }

    /// Copies the values of a parameter to the host, the last axis fastest.
    pub fn host(&self, id: ParameterId) -> Vec<f32> {
        to_host(&self.values[id.0])
    }

    /// Returns the same parameters, detached from autodiff.
    pub fn without_gradients(&self) -> Self {
        let values = self.values.iter().map(|value| value.clone().inner()).collect();
        Self { declarations: Arc::clone(&self.declarations), values }
    }

    /// Returns the same parameters, detached from autodiff, with other values of the trained ones, in order.
    pub fn with_trained(&self, values: &[Tensor<1>]) -> Self {
        let mut detached = self.without_gradients();
        let slots = self.declarations.0.iter().zip(&mut detached.values).filter(|(declaration, _)| declaration.trained);
        slots.zip(values).for_each(|((_, slot), value)| *slot = value.clone().inner());
        detached
    }

    /// Returns the names of the trained parameters, in order.
    pub fn trained_names(&self) -> impl Iterator<Item = &str> {
        self.trained().map(|(declaration, _)| declaration.name.as_str())
    }

    /// Returns the flat tensors of the trained parameters, in order.
    pub fn trained_values(&self) -> impl Iterator<Item = &Tensor<1>> {
        self.trained().map(|(_, value)| value)
    }

    fn trained(&self) -> impl Iterator<Item = (&Declaration, &Tensor<1>)> {
        self.declarations.0.iter().zip(&self.values).filter(|(declaration, _)| declaration.trained)
    }

    /// Replaces the values of the trained parameters, in order.
    pub fn set_trained(&mut self, new: Vec<Tensor<1>>) {
        let slots = self.declarations.0.iter().zip(&mut self.values).filter(|(declaration, _)| declaration.trained);
        for ((_, slot), value) in slots.zip(new) {
            *slot = value.inner().autodiff().require_grad();
        }
    }

    /// Copies all parameters to the host, in order.
    pub fn export(&self) -> Vec<NamedTensor> {
        let named = self.declarations.0.iter().zip(&self.values).map(|(declaration, value)| NamedTensor {
            name: declaration.name.clone(),
            shape: declaration.shape.clone(),
            data: to_host(value),
        });
        named.collect()
    }

    /// Replaces all parameters by `tensors`, which must have the same names and shapes, in any order.
    ///
    /// # Errors
    /// Returns an error that names the parameters that are missing, unknown or of another shape.
    pub fn import(&mut self, tensors: &[NamedTensor], device: &Device) -> Result<(), WeightsError> {
        self.declarations.check(tensors)?;
        let value = |declaration: &Declaration| {
            let named = tensors.iter().find(|tensor| tensor.name == declaration.name);
            tensor(named.expect("`check` verified that every name exists").data.clone(), declaration, device)
        };
        let values = self.declarations.0.iter().map(value).collect();
        self.values = values;
        Ok(())
    }

    /// Replaces the parameters that `tensors` have the names of; the others stay as they are.
    ///
    /// # Panics
    /// Panics if a tensor has another shape than the parameter.
    pub fn replace(&mut self, tensors: Vec<NamedTensor>, device: &Device) {
        for named in tensors {
            let index = self.declarations.0.iter().position(|declaration| declaration.name == named.name);
            let Some(index) = index else { continue };
            let declaration = &self.declarations.0[index];
            assert_eq!(declaration.shape, named.shape, "the shapes of {} have been matched", named.name);
            self.values[index] = tensor(named.data, declaration, device);
        }
    }
}

fn initial(declaration: &Declaration, seed: Seed) -> Vec<f32> {
    match declaration.initializer {
        Initializer::Zeros => vec![0.0; declaration.len()],
        Initializer::Ones => vec![1.0; declaration.len()],
        Initializer::Uniform { bound } => {
            let mut rng = seed.stream(Purpose::Weights, 0, &declaration.name, 0);
            (0..declaration.len()).map(|_| ((2.0 * rng.unit() - 1.0) * bound) as f32).collect()
        }
        Initializer::Normal { deviation } => {
            let mut rng = seed.stream(Purpose::Weights, 0, &declaration.name, 0);
            (0..declaration.len()).map(|_| (rng.normal() * deviation) as f32).collect()
        }
    }
}

fn tensor(values: Vec<f32>, declaration: &Declaration, device: &Device) -> Tensor<1> {
    let length = values.len();
    let value = Tensor::<1>::from_data(TensorData::new(values, [length]), &device.clone().inner());
    if declaration.trained && device.is_autodiff() { value.autodiff().require_grad() } else { value }
}

/// Copies a flat tensor to the host.
pub fn to_host(value: &Tensor<1>) -> Vec<f32> {
    value.clone().inner().into_data_as::<f32>().try_to_vec().expect("a tensor converted to f32 contains f32")
}

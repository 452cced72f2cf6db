//! nnU-Net's checkpoints: what they record of the training, and their weights under our names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nn::weights::pytorch_file::{PickleValue, PytorchFile, Tensors};
use nn::weights::{NamedTensor, WeightsError};

use crate::ImportError;
use crate::architecture::{Network, norm_of_names};
use crate::axes::Axes;
use crate::parameters::{is_repeated, our_name};

/// The key of the weights.
pub(crate) const WEIGHTS: &str = "network_weights";
/// What wrappers of a network put before its parameters' names.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// An opened checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// The name of the file, for messages.
    pub name: String,
    /// The class of the trainer.
    pub trainer: String,
    /// The name of the configuration.
    pub configuration: String,
    /// The number of epochs that are done.
    pub epochs: Option<usize>,
    /// The axes of the network along which images may be mirrored for prediction.
    pub mirror_axes: Vec<usize>,
    tensors: Tensors,
}

impl Checkpoint {
    /// Opens a file; `name` is for messages.
    ///
    /// # Errors
    /// When it is damaged, asks for calls that weights do not need, or is none of nnU-Net's checkpoints.
    pub fn open(path: &Path, name: String) -> Result<Self, ImportError> {
        let file = PytorchFile::open(path).map_err(|error| unusable(&name, error))?;
        let text = |keys: &[&str]| match file.value(keys) {
            Some(PickleValue::String(text)) => Ok(text.clone()),
            _ => Err(foreign(&name, &keys.join("."))),
        };
        let mirror_axes = match file.value(&["inference_allowed_mirroring_axes"]) {
            None | Some(PickleValue::None) => Vec::new(),
            Some(PickleValue::List(axes)) => {
                let axes = axes.iter().map(|axis| match axis {
                    PickleValue::Int(axis) => usize::try_from(*axis).ok(),
                    _ => None,
                });
                axes.collect::<Option<_>>().ok_or_else(|| foreign(&name, "inference_allowed_mirroring_axes"))?
            }
            Some(_) => return Err(foreign(&name, "inference_allowed_mirroring_axes")),
        };
        let epochs = match file.value(&["current_epoch"]) {
            Some(PickleValue::Int(epochs)) => usize::try_from(*epochs).ok(),
            _ => None,
        };
        let (trainer, configuration) = (text(&["trainer_name"])?, text(&["init_args", "configuration"])?);
        if !matches!(file.value(&[WEIGHTS]), Some(PickleValue::Dict(_))) {
            return Err(foreign(&name, WEIGHTS));
        }
        let tensors = file.tensors(WEIGHTS).map_err(|error| unusable(&name, error))?;
        Ok(Self { name, trainer, configuration, epochs, mirror_axes, tensors })
    }

    /// Returns the normalization of the network that the weights are for.
    pub fn norm(&self) -> Option<&'static str> {
        norm_of_names(self.tensors.names())
    }

    /// Reads the weights of a network, with our names and layout, sorted by name.
    ///
    /// # Errors
    /// When the names are not those of such a network, or a tensor cannot be read.
    pub fn weights(&self, network: &Network, axes: &Axes) -> Result<Vec<NamedTensor>, ImportError> {
        let (mut names, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for theirs in self.tensors.names() {
            let bare = WRAPPERS.iter().fold(theirs, |name, wrapper| name.strip_prefix(wrapper).unwrap_or(name));
            match our_name(bare, network.levels) {
                Some(ours) => drop(names.insert(ours, theirs)),
                None if is_repeated(bare) => {}
                None => drop(unknown.insert(bare)),
            }
        }
        if let Some(first) = unknown.first() {
            return Err(ImportError::problem(
                format!(
                    "{}: the network has the parameter {first}{}, which that of plans.json does not have; {} has another network",
                    self.name,
                    if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() },
                    self.trainer,
                ),
                "only nnU-Net's PlainConvUNet and ResidualEncoderUNet can be imported",
            ));
        }
        // Without deep supervision there is no key for the lower heads.
        let has_heads = network.unet.get("deep_supervision").is_some();
        let is_used = |name: &str| has_heads || !(name.starts_with("decoder.") && name.contains(".head."));
        let mut weights = Vec::new();
        for (ours, theirs) in names.into_iter().filter(|(name, _)| is_used(name)) {
            let tensor = self.tensors.read(theirs).map_err(|error| unusable(&self.name, error))?;
            if let Some(index) = tensor.data.iter().position(|value| !value.is_finite()) {
                return Err(ImportError::problem(
                    format!("{}: value {index} of {theirs} is {}", self.name, tensor.data[index]),
                    "the training has diverged; import another checkpoint",
                ));
            }
            weights.push(axes.of_kernel(NamedTensor { name: ours, ..tensor }));
        }
        if !network.has_bias {
            add_missing_biases(&mut weights);
        }
        weights.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(weights)
    }
}

/// Adds biases of 0 to the convolutions without one; only the shortcuts of residual blocks never have one.
fn add_missing_biases(weights: &mut Vec<NamedTensor>) {
    let existing: BTreeSet<String> = weights.iter().map(|tensor| tensor.name.clone()).collect();
    let missing = weights.iter().filter_map(|tensor| {
        let layer = tensor.name.strip_suffix(".weight")?;
        let name = format!("{layer}.bias");
        let is_convolution = tensor.shape.len() == 5 && !layer.ends_with(".shortcut");
        // A transposed convolution has its outputs second.
        let outputs = *tensor.shape.get(usize::from(layer.ends_with(".up")))?;
        let is_missing = is_convolution && !existing.contains(&name);
        is_missing.then(|| NamedTensor { name, shape: vec![outputs], data: vec![0.0; outputs] })
    });
    let missing: Vec<NamedTensor> = missing.collect();
    weights.extend(missing);
}

/// Converts an error of a file: what it asks for is a problem, the rest a failure.
fn unusable(name: &str, error: WeightsError) -> ImportError {
    match error {
        WeightsError::Call { .. } => ImportError::problem(
            format!("{name}: {error}"),
            "get the model from a source that you trust; if you trust this one, load it with PyTorch and save its network_weights, init_args, trainer_name, current_epoch and inference_allowed_mirroring_axes alone",
        ),
        WeightsError::NotZip => {
            ImportError::problem(format!("{name}: {error}"), "load it with PyTorch and save it again with torch.save")
        }
        source => ImportError::Checkpoint { path: name.to_owned(), source },
    }
}

/// Makes the problem of a file without a key of nnU-Net's checkpoints.
fn foreign(name: &str, key: &str) -> ImportError {
    ImportError::problem(
        format!("{name} is no checkpoint of nnU-Net 2: it lacks `{key}`, or the value is of another kind"),
        "name the folder of a trained model of nnU-Net 2; models of version 1 cannot be imported",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_without_bias_get_one_of_zeros() {
        let tensor = |name: &str, shape: &[usize]| NamedTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            data: vec![1.0; shape.iter().product()],
        };
        let mut weights = vec![
            tensor("encoder.0.conv1.weight", &[4, 1, 3, 3, 3]),
            tensor("encoder.0.norm1.weight", &[4]),
            tensor("encoder.1.blocks.0.shortcut.weight", &[8, 4, 1, 1, 1]),
            tensor("decoder.0.up.weight", &[8, 4, 2, 2, 2]),
            tensor("head.weight", &[3, 4, 1, 1, 1]),
            tensor("head.bias", &[3]),
        ];
        add_missing_biases(&mut weights);
        let added: Vec<_> = weights[6..].iter().map(|tensor| (tensor.name.as_str(), tensor.data.len())).collect();
        assert_eq!(added, [("encoder.0.conv1.bias", 4), ("decoder.0.up.bias", 4)]);
        assert!(weights[6..].iter().all(|tensor| tensor.data.iter().all(|value| *value == 0.0)));
    }
}

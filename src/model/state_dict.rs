//! Weights from elsewhere: state dicts that PyTorch saved, as safetensors or as `.pt`.

use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::{Dtype, SafeTensors};

use super::weights::{NamedTensor, WeightsError};

/// What PyTorch keeps beside the weights of batch normalisation and never needs to compute with.
const COUNTER: &str = "num_batches_tracked";

/// Reads a state dict: safetensors by that ending, everything else as `torch.save` writes it.
///
/// Numbers of 16 and 64 bits become 32-bit floats. Names may share a prefix, as `module.` or `state_dict.net.` do, and
/// stand behind it in the result; `first` is a name that the network surely has. The result is sorted by name.
///
/// # Errors
/// When the file cannot be read, or a tensor does not hold floating-point numbers.
pub fn read(path: &Path, first: &str) -> Result<Vec<NamedTensor>, WeightsError> {
    let is_safetensors = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    let mut tensors = if is_safetensors { read_safetensors(path)? } else { read_pytorch(path)? };
    let prefix = tensors.iter().find_map(|tensor| tensor.name.strip_suffix(first)).unwrap_or_default().to_owned();
    if !prefix.is_empty() {
        // What does not stand behind the prefix is something else, such as the state of an optimiser.
        tensors.retain(|tensor| tensor.name.starts_with(&prefix));
        tensors.iter_mut().for_each(|tensor| tensor.name = tensor.name[prefix.len()..].to_owned());
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

fn read_safetensors(path: &Path) -> Result<Vec<NamedTensor>, WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Read { path: path.to_owned(), source })?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter().filter(|(name, _)| !name.ends_with(COUNTER)) {
        let kind = match view.dtype() {
            Dtype::F64 => Kind::F64,
            Dtype::F32 => Kind::F32,
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::BF16,
            other => return Err(WeightsError::NotFloat { name: name.to_owned(), found: format!("{other:?}") }),
        };
        let data = kind.floats(view.data());
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), data });
    }
    Ok(tensors)
}

fn read_pytorch(path: &Path) -> Result<Vec<NamedTensor>, WeightsError> {
    let failed = |source| WeightsError::Read { path: path.to_owned(), source };
    std::fs::File::open(path).map_err(failed)?;
    let reader = PytorchReader::new(path)?;
    let mut tensors = Vec::new();
    for (name, tensor) in reader.tensors().iter().filter(|(name, _)| !name.ends_with(COUNTER)) {
        let kind = match tensor.dtype() {
            DType::F64 => Kind::F64,
            DType::F32 => Kind::F32,
            DType::F16 => Kind::F16,
            DType::BF16 => Kind::BF16,
            other => return Err(WeightsError::NotFloat { name: name.clone(), found: format!("{other:?}") }),
        };
        let data = kind.floats(&tensor.read().map_err(failed)?);
        tensors.push(NamedTensor { name: name.clone(), shape: tensor.shape().to_vec(), data });
    }
    Ok(tensors)
}

/// A floating-point type.
#[derive(Clone, Copy)]
enum Kind {
    F64,
    F32,
    F16,
    BF16,
}

impl Kind {
    /// Little-endian numbers as 32-bit floats.
    fn floats(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F64 => bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word) as f32).collect(),
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect(),
            Self::F16 => bytes.as_chunks::<2>().0.iter().map(|word| f16::from_le_bytes(*word).to_f32()).collect(),
            Self::BF16 => bytes.as_chunks::<2>().0.iter().map(|word| bf16::from_le_bytes(*word).to_f32()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::to_safetensors;

    fn saved(names: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let tensor = |name: &&str| NamedTensor { name: (*name).to_owned(), shape: vec![2], data: vec![1.5, -2.0] };
        std::fs::write(&path, to_safetensors(&names.iter().map(tensor).collect::<Vec<_>>())).unwrap();
        (folder, path)
    }

    fn names(path: &Path) -> Vec<String> {
        read(path, "conv1.weight").unwrap().into_iter().map(|tensor| tensor.name).collect()
    }

    #[test]
    fn a_common_prefix_is_taken_off_and_other_tensors_are_left_out() {
        let (_folder, path) = saved(&["module.conv1.weight", "module.conv1.bias", "optimizer.step"]);
        assert_eq!(names(&path), ["conv1.bias", "conv1.weight"]);
    }

    #[test]
    fn without_a_prefix_every_tensor_stays_but_counters() {
        let (_folder, path) = saved(&["conv1.weight", "norm1.num_batches_tracked", "other"]);
        assert_eq!(names(&path), ["conv1.weight", "other"]);
    }

    #[test]
    fn every_floating_point_type_becomes_32_bits() {
        assert_eq!(Kind::F16.floats(&f16::from_f32(0.5).to_le_bytes()), [0.5]);
        assert_eq!(Kind::BF16.floats(&bf16::from_f32(-3.0).to_le_bytes()), [-3.0]);
        assert_eq!(Kind::F64.floats(&0.25f64.to_le_bytes()), [0.25]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("absent.pt"), "conv1.weight").unwrap_err();
        assert!(error.to_string().contains("absent.pt"), "{error}");
    }
}

//! State dicts saved by PyTorch, as safetensors or as `.pt`.

use std::fmt::Debug;
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::PytorchReader;
use safetensors::SafeTensors;

use super::safetensors_file::{file_size, read_bytes};
use super::{NamedTensor, WeightsError, checksum};

/// PyTorch's batch counter of batch normalization, which does not influence the output.
const COUNTER: &str = "num_batches_tracked";

/// Reads a state dict: a safetensors file if the name ends in `.safetensors`, else a file written by `torch.save`.
///
/// 16-bit and 64-bit floats are converted to 32 bits. A common prefix of the names, such as `module.` or
/// `state_dict.net.`, is removed; tensors without it, such as the state of an optimizer, are ignored. The prefix is
/// determined from `known_name`, a name that every such network has. The result is sorted by name.
///
/// # Errors
/// Returns an error if the file cannot be read or contains several such networks, or if a tensor does not contain
/// floating-point numbers.
pub fn read(path: &Path, known_name: &str) -> Result<Vec<NamedTensor>, WeightsError> {
    let is_safetensors = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    let read_error = |source| WeightsError::Read { path: path.to_owned(), source };
    if is_safetensors {
        let bytes = read_bytes(path)?;
        checksum::verify(&bytes)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let names = file.names();
        select(names, known_name, |name| {
            let view = file.tensor(name)?;
            Ok((view.shape().to_vec(), FloatType::new(name, &view.dtype())?.to_f32(view.data())))
        })
    } else {
        let file_bytes = file_size(path)?;
        let file = PytorchReader::new(path)?;
        let names = file.tensors().keys().map(String::as_str).collect();
        select(names, known_name, |name| {
            let tensor = file.get(name).expect("the name is one of the file's");
            let float_type = FloatType::new(name, &tensor.dtype())?;
            let bytes = tensor.byte_len() as u64;
            if bytes > file_bytes {
                return Err(WeightsError::Inflated { name: name.to_owned(), bytes });
            }
            Ok((tensor.shape().to_vec(), float_type.to_f32(&tensor.read().map_err(read_error)?)))
        })
    }
}

/// Loads the tensors of the network, without the common prefix of their names; `load` returns shape and values.
fn select(
    mut names: Vec<&str>,
    known_name: &str,
    load: impl Fn(&str) -> Result<(Vec<usize>, Vec<f32>), WeightsError>,
) -> Result<Vec<NamedTensor>, WeightsError> {
    names.sort_unstable();
    let prefixes: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(known_name)).collect();
    let prefix = match prefixes[..] {
        [] => "",
        [only] => only,
        _ => {
            let all = prefixes.iter().map(|prefix| format!("`{prefix}{known_name}`")).collect::<Vec<_>>().join(", ");
            return Err(WeightsError::Misfit(format!("the file contains several networks: {all}")));
        }
    };
    let own = names.iter().filter_map(|name| Some((*name, name.strip_prefix(prefix)?)));
    own.filter(|(name, _)| !name.ends_with(COUNTER))
        .map(|(full, name)| {
            let (shape, data) = load(full)?;
            NamedTensor { name: name.to_owned(), shape, data }.checked()
        })
        .collect()
}

/// A floating-point type.
#[derive(Clone, Copy, Debug)]
pub(super) enum FloatType {
    F64,
    F32,
    F16,
    BF16,
}

impl FloatType {
    /// Returns the type of a tensor; both file formats use the same names.
    pub(super) fn new(tensor: &str, dtype: &dyn Debug) -> Result<Self, WeightsError> {
        match format!("{dtype:?}").as_str() {
            "F64" => Ok(Self::F64),
            "F32" => Ok(Self::F32),
            "F16" => Ok(Self::F16),
            "BF16" => Ok(Self::BF16),
            dtype => Err(WeightsError::NotFloat { name: tensor.to_owned(), dtype: dtype.to_owned() }),
        }
    }

    /// Converts little-endian numbers to 32-bit floats.
    pub(super) fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
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
    use crate::weights::to_safetensors;

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
    fn a_common_prefix_is_removed_and_other_tensors_are_ignored() {
        let (_folder, path) = saved(&["module.conv1.weight", "module.conv1.bias", "optimizer.step"]);
        assert_eq!(names(&path), ["conv1.bias", "conv1.weight"]);
    }

    #[test]
    fn without_a_prefix_all_tensors_but_counters_are_loaded() {
        let (_folder, path) = saved(&["conv1.weight", "norm1.num_batches_tracked", "other"]);
        assert_eq!(names(&path), ["conv1.weight", "other"]);
    }

    #[test]
    fn several_networks_in_a_file_are_an_error() {
        let (_folder, path) = saved(&["student.conv1.weight", "teacher.conv1.weight"]);
        let message = read(&path, "conv1.weight").unwrap_err().to_string();
        assert!(message.contains("`student.conv1.weight`, `teacher.conv1.weight`"), "{message}");
    }

    #[test]
    fn every_floating_point_type_is_converted_to_32_bits() {
        assert_eq!(FloatType::F16.to_f32(&f16::from_f32(0.5).to_le_bytes()), [0.5]);
        assert_eq!(FloatType::BF16.to_f32(&bf16::from_f32(-3.0).to_le_bytes()), [-3.0]);
        assert_eq!(FloatType::F64.to_f32(&0.25f64.to_le_bytes()), [0.25]);
    }

    #[test]
    fn both_file_formats_use_the_same_type_names() {
        use pytorch_reader::DType;
        use safetensors::Dtype;
        for (one, other) in
            [(Dtype::F64, DType::F64), (Dtype::F32, DType::F32), (Dtype::F16, DType::F16), (Dtype::BF16, DType::BF16)]
        {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
            assert!(FloatType::new("weight", &one).is_ok());
        }
        assert!(FloatType::new("step", &DType::I64).unwrap_err().to_string().contains("I64"));
    }

    #[test]
    fn the_error_names_a_missing_file() {
        let error = read(Path::new("missing.pt"), "conv1.weight").unwrap_err();
        assert!(error.to_string().contains("missing.pt"), "{error}");
    }
}

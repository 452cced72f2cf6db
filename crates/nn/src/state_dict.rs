//! Weights from elsewhere: state dicts that PyTorch saved, as safetensors or as `.pt`.

use std::fmt::Debug;
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::PytorchReader;
use safetensors::SafeTensors;

use super::sealed;
use super::weights::{self, NamedTensor, WeightsError};

/// What PyTorch keeps beside the weights of batch normalisation and never needs to compute with.
const COUNTER: &str = "num_batches_tracked";

/// Reads a state dict: safetensors by that ending, everything else as `torch.save` writes it.
///
/// Numbers of 16 and 64 bits become 32-bit floats. Names may share a prefix, as `module.` or `state_dict.net.` do, and
/// stand behind it in the result; what has no such prefix is something else, such as the state of an optimiser, and is
/// left out. `first` is a name that the network surely has. The result is sorted by name.
///
/// # Errors
/// When the file cannot be read, holds several such networks, or one of their tensors no floating-point numbers.
pub fn read(path: &Path, first: &str) -> Result<Vec<NamedTensor>, WeightsError> {
    let is_safetensors = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    let failed = |source| WeightsError::Read { path: path.to_owned(), source };
    if is_safetensors {
        let bytes = weights::bytes(path)?;
        sealed::check(&bytes)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let names = file.names();
        select(names, first, |name| {
            let view = file.tensor(name)?;
            Ok((view.shape().to_vec(), Kind::of(name, &view.dtype())?.floats(view.data())))
        })
    } else {
        let file_bytes = weights::check_file(path)?;
        let file = PytorchReader::new(path)?;
        let names = file.tensors().keys().map(String::as_str).collect();
        select(names, first, |name| {
            let tensor = file.get(name).expect("the name is one of the file's");
            let kind = Kind::of(name, &tensor.dtype())?;
            let bytes = tensor.byte_len() as u64;
            if bytes > file_bytes {
                return Err(WeightsError::Inflated { name: name.to_owned(), bytes });
            }
            Ok((tensor.shape().to_vec(), kind.floats(&tensor.read().map_err(failed)?)))
        })
    }
}

/// The tensors behind the prefix of the network, of which `load` gives shape and values.
fn select(
    mut names: Vec<&str>,
    first: &str,
    load: impl Fn(&str) -> Result<(Vec<usize>, Vec<f32>), WeightsError>,
) -> Result<Vec<NamedTensor>, WeightsError> {
    names.sort_unstable();
    let prefixes: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(first)).collect();
    let prefix = match prefixes[..] {
        [] => "",
        [only] => only,
        _ => {
            let found = prefixes.iter().map(|prefix| format!("`{prefix}{first}`")).collect::<Vec<_>>().join(", ");
            return Err(WeightsError::Misfit(format!("the file holds several networks: {found}")));
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
enum Kind {
    F64,
    F32,
    F16,
    BF16,
}

impl Kind {
    /// The type that a tensor holds, which both formats call by the same names.
    fn of(tensor: &str, dtype: &dyn Debug) -> Result<Self, WeightsError> {
        match format!("{dtype:?}").as_str() {
            "F64" => Ok(Self::F64),
            "F32" => Ok(Self::F32),
            "F16" => Ok(Self::F16),
            "BF16" => Ok(Self::BF16),
            found => Err(WeightsError::NotFloat { name: tensor.to_owned(), found: found.to_owned() }),
        }
    }

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
    fn of_several_networks_none_is_taken() {
        let (_folder, path) = saved(&["student.conv1.weight", "teacher.conv1.weight"]);
        let message = read(&path, "conv1.weight").unwrap_err().to_string();
        assert!(message.contains("`student.conv1.weight`, `teacher.conv1.weight`"), "{message}");
    }

    #[test]
    fn every_floating_point_type_becomes_32_bits() {
        assert_eq!(Kind::F16.floats(&f16::from_f32(0.5).to_le_bytes()), [0.5]);
        assert_eq!(Kind::BF16.floats(&bf16::from_f32(-3.0).to_le_bytes()), [-3.0]);
        assert_eq!(Kind::F64.floats(&0.25f64.to_le_bytes()), [0.25]);
    }

    #[test]
    fn both_formats_name_their_types_alike() {
        use pytorch_reader::DType;
        use safetensors::Dtype;
        for (one, other) in
            [(Dtype::F64, DType::F64), (Dtype::F32, DType::F32), (Dtype::F16, DType::F16), (Dtype::BF16, DType::BF16)]
        {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
            assert!(Kind::of("weight", &one).is_ok());
        }
        assert!(Kind::of("step", &DType::I64).unwrap_err().to_string().contains("I64"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("absent.pt"), "conv1.weight").unwrap_err();
        assert!(error.to_string().contains("absent.pt"), "{error}");
    }
}

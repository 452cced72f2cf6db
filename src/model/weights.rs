//! Weights as files: safetensors with PyTorch's names and layout.

use std::path::PathBuf;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::sealed;

/// A tensor of 32-bit floats with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, the last axis fastest.
    pub data: Vec<f32>,
}

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// They belong to another network.
    #[error("the weights do not fit the network: {0}")]
    Misfit(String),
    /// The bytes are not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// The file is not what was written.
    #[error("the file is damaged: its checksum is {found}, expected {expected}; take another copy of it")]
    Damaged {
        /// The checksum that the file carries.
        expected: String,
        /// That of its bytes.
        found: String,
    },
    /// The checksum that the file should carry is garbled.
    #[error("the file is damaged: its checksum cannot be read: {0}")]
    Seal(String),
    /// A tensor holds another type of number.
    #[error("tensor `{name}` holds {found:?}, expected F32")]
    Dtype {
        /// The tensor's name.
        name: String,
        /// What it holds.
        found: Dtype,
    },
    /// The bytes are not a file that PyTorch saved.
    #[error("not a state dict that PyTorch saved: {0}")]
    Pytorch(#[from] pytorch_reader::PytorchError),
    /// A tensor does not hold floating-point numbers.
    #[error("tensor `{name}` holds {found}, expected floating-point numbers")]
    NotFloat {
        /// The tensor's name.
        name: String,
        /// What it holds.
        found: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The bytes of a safetensors file with a checksum; the same tensors give the same bytes.
pub fn to_safetensors(tensors: &[NamedTensor]) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| {
        let bytes = bytemuck::cast_slice(&tensor.data);
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).expect("a tensor's shape fits its data");
        (tensor.name.as_str(), view)
    });
    sealed::seal(views, None)
}

/// The tensors of a safetensors file, by name.
///
/// # Errors
/// When the bytes are not such a file or do not fit the checksum that it carries, or a tensor does not hold 32-bit floats.
pub fn from_safetensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, WeightsError> {
    sealed::check(bytes)?;
    read_tensors(bytes)
}

/// The tensors of a safetensors file whose checksum has been looked at.
pub(crate) fn read_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Dtype { name: name.to_owned(), found: view.dtype() });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let data = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), data });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// The tensors of a safetensors file on disk.
///
/// # Errors
/// When it cannot be read or is not such a file.
pub fn read(path: &std::path::Path) -> Result<Vec<NamedTensor>, WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Read { path: path.to_owned(), source })?;
    from_safetensors(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<NamedTensor> {
        vec![
            NamedTensor { name: "a.bias".into(), shape: vec![3], data: vec![1.0, -0.0, f32::MIN_POSITIVE] },
            NamedTensor { name: "a.weight".into(), shape: vec![1, 2], data: vec![0.1, 2.5] },
        ]
    }

    #[test]
    fn tensors_come_back_bit_for_bit() {
        assert_eq!(from_safetensors(&to_safetensors(&tensors())).unwrap(), tensors());
    }

    #[test]
    fn a_file_of_other_bytes_is_refused() {
        assert!(matches!(from_safetensors(b"not weights"), Err(WeightsError::Format(_))));
    }
}

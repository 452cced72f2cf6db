//! Weights as files: safetensors with PyTorch's names and layout.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::sealed;
use values::Bytes;
use volume::memory::memory_limit_bytes;

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

impl NamedTensor {
    /// The tensor, if it has as many values as its shape says.
    pub(super) fn checked(self) -> Result<Self, WeightsError> {
        let expected = self.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        if expected == Some(self.data.len()) {
            return Ok(self);
        }
        Err(WeightsError::Length { name: self.name, shape: self.shape, found: self.data.len() })
    }
}

impl NamedTensor {
    /// Its numbers as a safetensors file holds them.
    pub fn view(&self) -> TensorView<'_> {
        let bytes = bytemuck::cast_slice(&self.data);
        TensorView::new(Dtype::F32, self.shape.clone(), bytes).expect("a tensor's shape fits its data")
    }
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
    /// A tensor has another number of values than its shape says.
    #[error("tensor `{name}` has {found} values, and its shape {shape:?} takes another number")]
    Length {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its values.
        found: usize,
    },
    /// A tensor of a small file claims to be large.
    #[error("tensor `{name}` takes {}, more than its whole file; save the state dict again with torch.save", Bytes(*bytes))]
    Inflated {
        /// The tensor's name.
        name: String,
        /// Bytes of its values.
        bytes: u64,
    },
    /// The file is larger than the machine's memory.
    #[error("{} has {} and the machine {} of memory; these are no weights of a network that it can train", path.display(), Bytes(*bytes), Bytes(*machine))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What the machine has.
        machine: u64,
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
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.view()));
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
pub fn read_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Dtype { name: name.to_owned(), found: view.dtype() });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let data = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), data }.checked()?);
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// The tensors of a safetensors file on disk.
///
/// # Errors
/// When it cannot be read or is not such a file.
pub fn read(path: &Path) -> Result<Vec<NamedTensor>, WeightsError> {
    from_safetensors(&bytes(path)?)
}

/// A whole file of weights, which must be one and fit into memory.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, WeightsError> {
    check_file(path)?;
    std::fs::read(path).map_err(|source| WeightsError::Read { path: path.to_owned(), source })
}

/// That a path is that of a file, and how large it is.
pub(super) fn check_file(path: &Path) -> Result<u64, WeightsError> {
    let failed = |source| WeightsError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    // A device or a pipe may give bytes without end, or none for ever.
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is not a file")));
    }
    let bytes = metadata.len();
    match memory_limit_bytes().filter(|machine| bytes > *machine) {
        Some(machine) => Err(WeightsError::TooLarge { path: path.to_owned(), bytes, machine }),
        None => Ok(bytes),
    }
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

//! Weights as files, with PyTorch's names and layout.
//!
//! The program writes safetensors files that carry a [`checksum`] of themselves; [`state_dict`] also reads files that
//! PyTorch saved, and [`pytorch_file`] whole checkpoints with what else is in them.

use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView};

use values::Bytes;

pub mod checksum;
pub(crate) mod initial;
pub mod pytorch_file;
mod safetensors_file;
pub mod state_dict;

pub use initial::{InitialWeights, InputChannels, LoadedWeights};
pub use safetensors_file::{from_safetensors, read, read_shape, read_tensors, to_safetensors};

/// A tensor of 32-bit floats with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name, such as `encoder.0.conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, the last axis fastest.
    pub data: Vec<f32>,
}

impl NamedTensor {
    /// Returns the tensor if its number of values matches its shape.
    fn checked(self) -> Result<Self, WeightsError> {
        let expected = self.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        if expected == Some(self.data.len()) {
            return Ok(self);
        }
        Err(WeightsError::Length { name: self.name, shape: self.shape, values: self.data.len() })
    }

    /// Returns a view of the tensor for serialization.
    pub fn view(&self) -> TensorView<'_> {
        let bytes = bytemuck::cast_slice(&self.data);
        TensorView::new(Dtype::F32, self.shape.clone(), bytes).expect("a tensor's shape matches its data")
    }
}

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The weights are those of another network.
    #[error("the weights do not fit the network: {0}")]
    Misfit(String),
    /// Initial weights are those of another network.
    #[error("the weights do not fit the network: {faults}")]
    Unlike {
        /// What does not match.
        faults: String,
        /// How to fix it.
        help: String,
    },
    /// The bytes are not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// The file was changed after it was written.
    #[error("the file is damaged: its checksum is {computed}, expected {expected}; use another copy of the file")]
    Damaged {
        /// The checksum that the file carries.
        expected: String,
        /// The checksum of its bytes.
        computed: String,
    },
    /// The stored checksum is unreadable.
    #[error("the file is damaged: its checksum cannot be read: {0}")]
    Checksum(String),
    /// A tensor does not contain 32-bit floats.
    #[error("tensor `{name}` has the type {dtype:?}, expected F32")]
    Dtype {
        /// The tensor's name.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// The bytes are not a file that PyTorch saved.
    #[error("not a state dict saved by PyTorch: {0}")]
    Pytorch(#[from] pytorch_reader::PytorchError),
    /// The file is not one that PyTorch has written since version 1.6.
    #[error("it is not a ZIP archive, as PyTorch writes them since version 1.6, or it is damaged")]
    NotZip,
    /// The file is an archive without its end, or damaged.
    #[error("the file is incomplete or damaged ({0}); copy it again")]
    Truncated(String),
    /// The file asks to call something that no tensor and no plain data needs.
    #[error("the file asks to call `{name}`, which has nothing to do with weights; nothing was executed")]
    Call {
        /// The full name of the function or class.
        name: String,
    },
    /// A tensor does not contain floating-point numbers.
    #[error("tensor `{name}` has the type {dtype}, expected floating-point numbers")]
    NotFloat {
        /// The tensor's name.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The number of a tensor's values differs from that of its shape.
    #[error("tensor `{name}` has {values} values, which does not match its shape {shape:?}")]
    Length {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The number of its values.
        values: usize,
    },
    /// A tensor is declared larger than its file.
    #[error("tensor `{name}` takes {}, more than the whole file; save the state dict again with torch.save", Bytes(*bytes))]
    Inflated {
        /// The tensor's name.
        name: String,
        /// Bytes of its values.
        bytes: u64,
    },
    /// The file is larger than the machine's memory.
    #[error("{} has {} and the machine {} of memory; the file cannot contain weights of a network that this machine can train", path.display(), Bytes(*bytes), Bytes(*machine))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The memory of the machine.
        machine: u64,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_whose_shape_overflows_is_an_error() {
        let tensor = NamedTensor { name: "a".into(), shape: vec![usize::MAX, 2], data: vec![0.0; 2] };
        assert!(matches!(tensor.checked(), Err(WeightsError::Length { values: 2, .. })));
    }
}

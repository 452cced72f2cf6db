//! Files of `torch.save`, with their plain data and their tensors: read here, and written by `write`.
//!
//! A pickle is a program that names the functions it wants called. Nothing is executed here: the file is parsed, and it is
//! refused by name if it asks for a call that plain data and tensors do not need; `calls` has the list.

mod calls;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use pytorch_reader::{PytorchReader, Tensor};
use zip::ZipArchive;

use super::safetensors_file::file_size;
use super::state_dict::FloatType;
use super::{NamedTensor, WeightsError};

pub use pytorch_reader::PickleValue;
pub use write::{Saved, SavedTensor, SavedValues, save};

/// How a ZIP archive starts.
const ZIP_MAGIC: [u8; 4] = *b"PK\x03\x04";

/// A file written by `torch.save`, whose data is a map.
#[derive(Debug)]
pub struct PytorchFile {
    path: PathBuf,
    bytes: u64,
    values: HashMap<String, PickleValue>,
}

impl PytorchFile {
    /// Opens a file and reads its data; tensors are read later.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is damaged, if an old version of PyTorch wrote it, if it asks for a
    /// call that is not allowed, or if its data is no map.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let bytes = file_size(path)?;
        check_calls(path)?;
        match PytorchReader::read_pickle_data(path, None)? {
            PickleValue::Dict(values) => Ok(Self { path: path.to_owned(), bytes, values }),
            _ => Err(WeightsError::Misfit("the file has no map of names to tensors".to_owned())),
        }
    }

    /// Returns the value at a path of keys; `None` if there is none.
    pub fn value(&self, keys: &[&str]) -> Option<&PickleValue> {
        let (first, rest) = keys.split_first()?;
        rest.iter().try_fold(self.values.get(*first)?, |value, key| match value {
            PickleValue::Dict(values) => values.get(*key),
            _ => None,
        })
    }

    /// Opens the tensors of a map of the file.
    ///
    /// # Errors
    /// Returns an error if there is no such map, or if it cannot be read.
    pub fn tensors(&self, key: &str) -> Result<Tensors, WeightsError> {
        let reader = PytorchReader::with_top_level_key(&self.path, key)?;
        Ok(Tensors { path: self.path.clone(), file_bytes: self.bytes, tensors: reader.into_tensors() })
    }
}

/// The tensors of a map of a file, which are read one by one.
#[derive(Debug)]
pub struct Tensors {
    path: PathBuf,
    file_bytes: u64,
    tensors: HashMap<String, Tensor>,
}

impl Tensors {
    /// Returns the names in any order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(Tensor::shape)
    }

    /// Reads a tensor; 16-bit and 64-bit floats are converted to 32 bits.
    ///
    /// # Errors
    /// Returns an error if there is no such tensor, it has no floating-point numbers, or the file is damaged.
    pub fn read(&self, name: &str) -> Result<NamedTensor, WeightsError> {
        let tensor =
            self.tensors.get(name).ok_or_else(|| WeightsError::Misfit(format!("the file has no tensor `{name}`")))?;
        let float_type = FloatType::new(name, &tensor.dtype())?;
        // A tensor with stride 0 may be larger than its storage.
        let bytes = tensor.byte_len() as u64;
        if bytes > self.file_bytes {
            return Err(WeightsError::Inflated { name: name.to_owned(), bytes });
        }
        let values = tensor.read().map_err(|source| WeightsError::Read { path: self.path.clone(), source })?;
        NamedTensor { name: name.to_owned(), shape: tensor.shape().to_vec(), data: float_type.to_f32(&values) }
            .checked()
    }
}

/// Checks the calls that the pickle of a file asks for.
fn check_calls(path: &Path) -> Result<(), WeightsError> {
    let read_error = |source| WeightsError::Read { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(read_error)?);
    let mut start = Vec::new();
    file.by_ref().take(ZIP_MAGIC.len() as u64).read_to_end(&mut start).map_err(read_error)?;
    if start != ZIP_MAGIC {
        return Err(WeightsError::NotZip);
    }
    let mut archive = ZipArchive::new(file).map_err(|zip| WeightsError::Truncated(zip.to_string()))?;
    // PyTorch reads one of them; none may ask for more than it is allowed to.
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(pytorch_reader::PytorchError::from)?;
        let name = entry.name_raw();
        if name == b"data.pkl" || name.ends_with(b"/data.pkl") {
            let mut pickle = Vec::new();
            let limit = pytorch_reader::MAX_PICKLE_SIZE;
            entry.take(limit + 1).read_to_end(&mut pickle).map_err(read_error)?;
            if pickle.len() as u64 > limit {
                return Err(WeightsError::Misfit("its data.pkl has more than 100 MiB".to_owned()));
            }
            calls::check(&pickle)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

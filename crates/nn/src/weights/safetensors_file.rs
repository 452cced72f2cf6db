//! Weights in safetensors files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors};

use super::{NamedTensor, WeightsError, checksum};
use volume::memory::memory_limit_bytes;

/// Serializes tensors as a safetensors file with a checksum; the same tensors yield the same bytes.
pub fn to_safetensors(tensors: &[NamedTensor]) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.view()));
    checksum::serialize(views, None)
}

/// Parses a safetensors file; returns its tensors sorted by name.
///
/// # Errors
/// Returns an error if the bytes are not a safetensors file or do not match its checksum, or if a tensor does not contain
/// 32-bit floats.
pub fn from_safetensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, WeightsError> {
    checksum::verify(bytes)?;
    read_tensors(bytes)
}

/// Parses a safetensors file whose checksum has been verified; returns its tensors sorted by name.
///
/// # Errors
/// Returns an error if the bytes are not a safetensors file, or if a tensor does not contain 32-bit floats.
pub fn read_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Dtype { name: name.to_owned(), dtype: view.dtype() });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let data = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), data }.checked()?);
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// Reads a safetensors file from disk; returns its tensors sorted by name.
///
/// # Errors
/// Returns an error if the file cannot be read or is not such a file.
pub fn read(path: &Path) -> Result<Vec<NamedTensor>, WeightsError> {
    from_safetensors(&read_bytes(path)?)
}

/// Returns the shape of a tensor from the header of a safetensors file, without reading the values; `None` if there is no such
/// tensor.
///
/// # Errors
/// Returns an error if the file cannot be read or is not such a file.
pub fn read_shape(path: &Path, name: &str) -> Result<Option<Vec<usize>>, WeightsError> {
    let read_error = |source| WeightsError::Read { path: path.to_owned(), source };
    let size = file_size(path)?;
    let mut file = File::open(path).map_err(read_error)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(read_error)?;
    let length = u64::from_le_bytes(length);
    if length > size {
        return Err(SafeTensorError::InvalidHeaderLength.into());
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(read_error)?;
    let header: serde_json::Value =
        serde_json::from_slice(&header).map_err(|error| SafeTensorError::InvalidHeaderDeserialization(error))?;
    Ok(serde_json::from_value(header[name]["shape"].clone()).ok())
}

/// Reads a whole file, which must be smaller than the machine's memory.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, WeightsError> {
    file_size(path)?;
    std::fs::read(path).map_err(|source| WeightsError::Read { path: path.to_owned(), source })
}

/// Returns the size of a regular file, which must be smaller than the machine's memory.
pub(super) fn file_size(path: &Path) -> Result<u64, WeightsError> {
    let read_error = |source| WeightsError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(read_error)?;
    // Reading a device or a pipe may never end.
    if !metadata.is_file() {
        return Err(read_error(std::io::Error::other("it is not a file")));
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
    fn tensors_survive_a_round_trip_bit_for_bit() {
        assert_eq!(from_safetensors(&to_safetensors(&tensors())).unwrap(), tensors());
    }

    #[test]
    fn a_shape_is_read_from_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, to_safetensors(&tensors())).unwrap();
        assert_eq!(read_shape(&path, "a.weight").unwrap(), Some(vec![1, 2]));
        assert_eq!(read_shape(&path, "b").unwrap(), None);
        std::fs::write(&path, [255; 40]).unwrap();
        assert!(matches!(read_shape(&path, "a.weight"), Err(WeightsError::Format(_))));
    }

    #[test]
    fn bytes_that_are_not_a_safetensors_file_are_an_error() {
        assert!(matches!(from_safetensors(b"not weights"), Err(WeightsError::Format(_))));
    }
}

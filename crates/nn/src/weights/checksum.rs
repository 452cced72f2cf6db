//! Safetensors files that carry a checksum of themselves.
//!
//! The checksum is the SHA-256 of the file with zeros in its own position, so it covers every byte.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::WeightsError;

/// The only metadata key; safetensors would write several keys in random order.
const KEY: &str = "runner";
/// The text before the checksum in the header; the metadata is a JSON text within JSON.
const PREFIX: &[u8] = br#"sha256\":\""#;
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 64;
/// The longest header that safetensors accepts.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const ZEROS: [u8; DIGITS] = [b'0'; DIGITS];

/// The value of the metadata key.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    sha256: String,
    /// Further data of the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<serde_json::Value>,
}

/// Serializes tensors and an optional note as a safetensors file with a checksum; the same tensors and note yield
/// the same bytes.
pub fn serialize<'a, N: AsRef<str> + Ord + std::fmt::Display>(
    tensors: impl IntoIterator<Item = (N, TensorView<'a>)>,
    note: Option<serde_json::Value>,
) -> Vec<u8> {
    let metadata = Metadata { sha256: "0".repeat(DIGITS), note };
    let metadata = serde_json::to_string(&metadata).expect("the metadata is plain data");
    let mut bytes = safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), metadata)])))
        .expect("names are distinct and shapes match their data");
    let offset = checksum_offset(&bytes).expect("the header contains the metadata");
    let checksum = checksum(&bytes, offset);
    bytes[offset..offset + DIGITS].copy_from_slice(checksum.as_bytes());
    bytes
}

/// Verifies the checksum of a safetensors file, if it carries one, and returns its note.
///
/// # Errors
/// Returns an error if the bytes are not a safetensors file or do not match the checksum.
pub fn verify(bytes: &[u8]) -> Result<Option<serde_json::Value>, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) else { return Ok(None) };
    let metadata: Metadata = serde_json::from_str(text).map_err(|error| WeightsError::Checksum(error.to_string()))?;
    let offset =
        checksum_offset(bytes).ok_or_else(|| WeightsError::Checksum("the header does not contain it".to_owned()))?;
    let computed = checksum(bytes, offset);
    if computed != metadata.sha256 {
        return Err(WeightsError::Damaged { expected: metadata.sha256, computed });
    }
    Ok(metadata.note)
}

/// Reads the note of a file from its header alone, without verifying the checksum; `None` if there is none.
pub fn read_note(path: &Path) -> Option<serde_json::Value> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(length).min(MAX_HEADER_BYTES)).read_to_end(&mut header).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    let metadata: Metadata = serde_json::from_str(header["__metadata__"][KEY].as_str()?).ok()?;
    metadata.note
}

/// Returns the offset of the checksum in a file.
fn checksum_offset(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let header = bytes.get(8..usize::try_from(length).ok()?.checked_add(8)?)?;
    let prefix = header.windows(PREFIX.len()).position(|window| window == PREFIX)?;
    let offset = 8 + prefix + PREFIX.len();
    (offset + DIGITS <= 8 + header.len()).then_some(offset)
}

fn checksum(bytes: &[u8], offset: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..offset]);
    hash.update(ZEROS);
    hash.update(&bytes[offset + DIGITS..]);
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::Dtype;

    use super::*;

    fn file() -> Vec<u8> {
        let data: Vec<u8> = (0..32).collect();
        let view = |range: std::ops::Range<usize>| TensorView::new(Dtype::F32, vec![4], &data[range]).unwrap();
        serialize([("a", view(0..16)), ("b", view(16..32))], Some(serde_json::json!({ "epoch": 3 })))
    }

    #[test]
    fn the_note_of_an_intact_file_is_returned() {
        assert_eq!(verify(&file()).unwrap(), Some(serde_json::json!({ "epoch": 3 })));
        assert_eq!(file(), file());
    }

    #[test]
    fn the_note_is_read_from_the_header_alone() {
        let path = tempfile::NamedTempFile::new().unwrap();
        // The tensors may be missing.
        std::fs::write(path.path(), &file()[..file().len() - 20]).unwrap();
        assert_eq!(read_note(path.path()), Some(serde_json::json!({ "epoch": 3 })));
        std::fs::write(path.path(), b"torn").unwrap();
        assert_eq!(read_note(path.path()), None);
    }

    #[test]
    fn any_flipped_bit_is_detected() {
        let intact = file();
        for offset in 0..intact.len() {
            let mut bytes = intact.clone();
            bytes[offset] ^= 1;
            let is_detected = match verify(&bytes) {
                Ok(None) => !bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()),
                other => other.is_err(),
            };
            assert!(is_detected, "byte {offset}");
        }
    }

    #[test]
    fn a_file_without_checksum_is_accepted() {
        let data = [0u8; 4];
        let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
        let bytes = safetensors::serialize([("a", view)], None).unwrap();
        assert_eq!(verify(&bytes).unwrap(), None);
    }
}

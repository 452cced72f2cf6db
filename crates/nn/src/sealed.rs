//! Safetensors files that carry a checksum of themselves.
//!
//! The checksum is the SHA-256 of the file with zeros in the place of the checksum, so that it covers every byte.

use std::collections::HashMap;

use safetensors::tensor::{SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::weights::WeightsError;

/// The one metadata key: several would be written in random order.
const KEY: &str = "runner";
/// What stands before the checksum in the header, where the metadata is a text within JSON.
const BEFORE_CHECKSUM: &[u8] = br#"sha256\":\""#;
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 64;
const ZEROS: [u8; DIGITS] = [b'0'; DIGITS];

/// What stands under the metadata key.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    sha256: String,
    /// What the file says beside its tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<serde_json::Value>,
}

/// The bytes of a safetensors file with a checksum, and with a note where there is one; the same tensors and the same
/// note give the same bytes.
pub fn seal<'a, N: AsRef<str> + Ord + std::fmt::Display>(
    tensors: impl IntoIterator<Item = (N, TensorView<'a>)>,
    note: Option<serde_json::Value>,
) -> Vec<u8> {
    let seal = Seal { sha256: "0".repeat(DIGITS), note };
    let seal = serde_json::to_string(&seal).expect("a seal is plain data");
    let mut bytes = safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), seal)])))
        .expect("names are distinct and shapes fit their data");
    let place = place_of_checksum(&bytes).expect("the metadata stands in the header");
    let checksum = checksum(&bytes, place);
    bytes[place..place + DIGITS].copy_from_slice(checksum.as_bytes());
    bytes
}

/// Sees to it that a file is whole where it carries a checksum, and gives its note.
///
/// # Errors
/// When the bytes are not a safetensors file or do not fit their checksum.
pub fn check(bytes: &[u8]) -> Result<Option<serde_json::Value>, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) else { return Ok(None) };
    let seal: Seal = serde_json::from_str(text).map_err(|error| WeightsError::Seal(error.to_string()))?;
    let place = place_of_checksum(bytes).ok_or_else(|| WeightsError::Seal("it has no place".to_owned()))?;
    let found = checksum(bytes, place);
    if found != seal.sha256 {
        return Err(WeightsError::Damaged { expected: seal.sha256, found });
    }
    Ok(seal.note)
}

fn place_of_checksum(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let header = bytes.get(8..usize::try_from(length).ok()?.checked_add(8)?)?;
    let before = header.windows(BEFORE_CHECKSUM.len()).position(|window| window == BEFORE_CHECKSUM)?;
    let place = 8 + before + BEFORE_CHECKSUM.len();
    (place + DIGITS <= 8 + header.len()).then_some(place)
}

fn checksum(bytes: &[u8], place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&bytes[..place]);
    hash.update(ZEROS);
    hash.update(&bytes[place + DIGITS..]);
    hex::encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::Dtype;

    use super::*;

    fn sealed() -> Vec<u8> {
        let data: Vec<u8> = (0..32).collect();
        let view = |range: std::ops::Range<usize>| TensorView::new(Dtype::F32, vec![4], &data[range]).unwrap();
        seal([("a", view(0..16)), ("b", view(16..32))], Some(serde_json::json!({ "epoch": 3 })))
    }

    #[test]
    fn a_whole_file_gives_its_note() {
        assert_eq!(check(&sealed()).unwrap(), Some(serde_json::json!({ "epoch": 3 })));
        assert_eq!(sealed(), sealed());
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let whole = sealed();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            let is_refused = match check(&bytes) {
                Ok(None) => !bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()),
                other => other.is_err(),
            };
            assert!(is_refused, "byte {place}");
        }
    }

    #[test]
    fn a_file_of_another_program_is_taken_as_it_is() {
        let data = [0u8; 4];
        let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
        let bytes = safetensors::serialize([("a", view)], None).unwrap();
        assert_eq!(check(&bytes).unwrap(), None);
    }
}

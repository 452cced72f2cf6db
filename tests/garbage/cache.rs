//! Corrupt cache entries.

use dataset::cache::Cache;
use proptest::prelude::*;
use volume::{Affine, Grid, Volume, Voxels};

use super::assert_messages;
use super::feed::{self, KEY};
use super::mutate::{changed, changes};

/// Returns the file of a valid entry.
fn valid() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let shape = [3, 4, 5];
    let volume = Volume {
        grid: Grid { shape, affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) },
        image: Voxels::new(1, shape, vec![0.5; 60]),
        label: Some(Voxels::new(1, shape, vec![1; 60])),
    };
    let cache = Cache::new(folder.path());
    cache.put(&KEY, volume).unwrap();
    cache.finish().unwrap();
    std::fs::read(cache.root.join(hex::encode(KEY)).with_extension("volume")).unwrap()
}

/// Returns a valid entry with a part of its header replaced; the length of the file is the same.
fn with(old: &str, new: &str) -> Vec<u8> {
    let bytes = valid();
    let text = String::from_utf8(bytes[..1024].to_vec()).unwrap();
    assert!(text.contains(old), "{text}");
    let header = text.replace(old, new);
    let header = format!("{:<1023}\n", header.trim_end());
    [header.as_bytes(), &bytes[1024..]].concat()
}

#[test]
fn a_damaged_entry_is_an_error_with_a_reason() {
    assert_eq!(feed::cache_entry(&valid()), None);
    let messages = [
        (vec![], "the file is empty"),
        (b"something else\n".to_vec(), "it is not an entry of this version"),
        (valid()[..500].to_vec(), "its header is not terminated"),
        (valid()[..1392].to_vec(), "expected 1400 bytes, got 1392"),
        (with("[3,4,5]", "[3,4,0]"), "1 channels of shape [3, 4, 0] contain no voxels"),
        // A label map alone has no channels; this file is too long for one.
        (with("\"channels\":1", "\"channels\":0"), "expected 1144 bytes, got 1400"),
        (
            with("[3,4,5]", "[4294967296,4294967296,4294967296]"),
            "its 1400 bytes are too few for shape [4294967296, 4294967296, 4294967296]",
        ),
        (with("[3,4,5]", "[5,4,5]"), "expected 1672 bytes, got 1400"),
        (
            with("4607182418800017408", "9221120237041090560"),
            "its affine [[NaN, 0.0, 0.0, 4.0], [0.0, 2.0, 0.0, 5.0], [0.0, 0.0, 3.0, 6.0]] is not invertible",
        ),
        (with("0707", "0807"), "it has the key 0807080708070807080708070807080708070807080708070807080708070807"),
    ]
    .map(|(bytes, expected)| (feed::cache_entry(&bytes).unwrap_or_default(), expected.to_owned()));
    assert_messages(messages);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_with_changes_causes_no_panic(changes in changes()) {
        feed::cache_entry(&changed(&valid(), 400, &changes));
    }

    #[test]
    fn random_bytes_are_not_an_entry(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(feed::cache_entry(&bytes).is_some());
    }
}

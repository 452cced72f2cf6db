//! Invalid and inconsistent weights and checkpoints.

use std::fs;
use std::io::{Cursor, Read, Write};

use nn::weights::{NamedTensor, state_dict, to_safetensors};
use proptest::prelude::*;

use super::allocator::largest_of;
use super::feed;
use super::mutate::{changed, changes};

const STATE_DICT: &str = "fuzz/corpus/checkpoint/state_dict.pt";
/// A checkpoint of nnU-Net.
const CHECKPOINT: &str = "tests/program/nnunet/planar/fold_0/checkpoint_final.pth";

/// Returns the members of a checkpoint, the pickle first.
fn members() -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(fs::read(CHECKPOINT).unwrap())).unwrap();
    let mut members: Vec<(String, Vec<u8>)> = (0..archive.len())
        .map(|index| {
            let (mut member, mut bytes) = (archive.by_index(index).unwrap(), Vec::new());
            member.read_to_end(&mut bytes).unwrap();
            (member.name().unwrap().into_owned(), bytes)
        })
        .collect();
    members.sort_by_key(|(name, _)| !name.ends_with("/data.pkl"));
    members
}

/// Returns a checkpoint whose pickle is changed; the archive's checksums are correct.
fn with_changed_pickle(members: &[(String, Vec<u8>)], changes: &[super::mutate::Change]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (index, (name, bytes)) in members.iter().enumerate() {
        archive.start_file(name, options).unwrap();
        let changed = if index == 0 { changed(bytes, usize::MAX, changes) } else { bytes.clone() };
        archive.write_all(&changed).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_checkpoint_is_read_and_every_truncated_one_is_rejected() {
    let whole = fs::read(CHECKPOINT).unwrap();
    assert!(feed::pytorch_file(&whole).unwrap() > 10_000);
    for length in (0..whole.len()).step_by(997) {
        assert!(feed::pytorch_file(&whole[..length]).is_err(), "{length} bytes");
    }
}

fn safetensors() -> Vec<u8> {
    let tensor = |name: &str| NamedTensor { name: name.to_owned(), shape: vec![2, 1], data: vec![0.5, -0.5] };
    to_safetensors(&["encoder.0.conv1.weight", "head.bias"].map(tensor))
}

/// Returns a safetensors file with the given header, followed by `num_bytes` zeros.
fn with_header(json: &str, num_bytes: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; num_bytes]].concat()
}

#[test]
fn inconsistent_safetensors_are_rejected() {
    assert_eq!(feed::checkpoint(&safetensors()), None);
    for (bytes, expected) in [
        (vec![], "not a safetensors file: header too small"),
        (vec![0xff; 16], "not a safetensors file: header too large"),
        (
            with_header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8),
            "not a safetensors file: overflow computing buffer size from shape and/or element type",
        ),
        (
            with_header(r#"{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}"#, 8),
            "not a safetensors file: incomplete metadata, file not fully covered",
        ),
        (
            with_header(r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, 8),
            "tensor `a` has the type I64, expected F32",
        ),
    ] {
        let (message, largest) = largest_of(|| feed::checkpoint(&bytes));
        let message = message.unwrap();
        assert!(message.starts_with(expected), "{message}");
        assert!(largest < 1 << 20, "{largest} bytes in one allocation");
    }
}

#[test]
fn a_state_dict_is_read_and_one_that_declares_a_huge_size_is_rejected() {
    let read = |path: &str| state_dict::read(path.as_ref(), "encoder.0.conv1.weight");
    let tensors = read(STATE_DICT).unwrap();
    assert_eq!((tensors[0].shape.as_slice(), &tensors[0].data[..2]), (&[2, 1, 3][..], &[0.0, 1.0][..]));
    // A tensor of many values with stride 0.
    let (result, largest) = largest_of(|| read("fuzz/corpus/checkpoint/inflated.pt"));
    let message = result.unwrap_err().to_string();
    assert_eq!(
        message,
        "tensor `encoder.0.conv1.weight` takes 1.1 GB, more than the whole file; save the state dict again with torch.save"
    );
    assert!(largest < 1 << 20, "{largest} bytes in one allocation");
}

#[test]
fn a_folder_and_a_device_are_rejected_as_weights() {
    for path in ["src", "/dev/zero"] {
        let error = state_dict::read(path.as_ref(), "a").unwrap_err();
        assert!(error.to_string().contains(path), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn safetensors_with_changes_cause_no_panic(changes in changes()) {
        let (_, largest) = largest_of(|| feed::checkpoint(&changed(&safetensors(), usize::MAX, &changes)));
        prop_assert!(largest < 1 << 20, "{} bytes in one allocation", largest);
    }

    #[test]
    fn a_state_dict_with_changes_causes_no_panic(changes in changes()) {
        let bytes = fs::read(STATE_DICT).unwrap();
        let (_, largest) = largest_of(|| feed::checkpoint(&changed(&bytes, usize::MAX, &changes)));
        prop_assert!(largest < 16 << 20, "{} bytes in one allocation", largest);
    }

    #[test]
    fn a_checkpoint_with_changes_causes_no_panic(changes in changes()) {
        let bytes = fs::read(CHECKPOINT).unwrap();
        let (_, largest) = largest_of(|| feed::pytorch_file(&changed(&bytes, usize::MAX, &changes)));
        prop_assert!(largest < 16 << 20, "{} bytes in one allocation", largest);
    }

    #[test]
    fn a_checkpoint_with_a_changed_pickle_causes_no_panic(changes in changes()) {
        let (_, largest) = largest_of(|| feed::pytorch_file(&with_changed_pickle(&members(), &changes)));
        prop_assert!(largest < 16 << 20, "{} bytes in one allocation", largest);
    }
}

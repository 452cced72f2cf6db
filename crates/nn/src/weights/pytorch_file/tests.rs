use std::io::Write;

use super::*;

/// Writes a file like PyTorch's, with the given pickle.
fn saved(pickle: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut archive = zip::ZipWriter::new(file.as_file_mut());
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("archive/data.pkl", options).unwrap();
    archive.write_all(pickle).unwrap();
    archive.finish().unwrap();
    file
}

fn error(pickle: &[u8]) -> String {
    PytorchFile::open(saved(pickle).path()).unwrap_err().to_string()
}

#[test]
fn plain_data_is_read() {
    // {'a': {'b': 3}, 'c': None}, as protocol 2 writes it.
    let pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01}q\x02X\x01\x00\x00\x00bq\x03K\x03sX\x01\x00\x00\x00cq\x04Nu.";
    let file = PytorchFile::open(saved(pickle).path()).unwrap();
    assert_eq!(file.value(&["a", "b"]), Some(&PickleValue::Int(3)));
    assert_eq!(file.value(&["c"]), Some(&PickleValue::None));
    assert_eq!((file.value(&["a", "c"]), file.value(&["c", "b"]), file.value(&[])), (None, None, None));
}

#[test]
fn a_call_is_refused_by_its_full_name() {
    let named = "the file asks to call `posix.system`, which has nothing to do with weights; nothing was executed";
    // By GLOBAL, by INST, by STACK_GLOBAL with strings and with strings of the memo, and in a value that is thrown away.
    for pickle in [
        &b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."[..],
        b"(S'true'\niposix\nsystem\n.",
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x04true\x85R.",
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93.",
        b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R0}.",
    ] {
        assert_eq!(error(pickle), named);
    }
    assert!(error(b"\x80\x02cbuiltins\neval\n.").contains("`builtins.eval`"));
    assert!(error(b"\x80\x02ctorch.nn\nModule\n.").contains("`torch.nn.Module`"));
}

#[test]
fn a_name_that_is_not_written_in_the_file_is_refused() {
    // STACK_GLOBAL of numbers, of a copied value, and a number of the extension registry.
    for pickle in [&b"\x80\x04K\x01K\x02\x93."[..], b"\x80\x04\x8c\x05posix\x8c\x06system2\x93.", b"\x80\x02\x82\x01."]
    {
        assert!(error(pickle).contains("a name that the file computes"));
    }
}

#[test]
fn a_long_name_is_cut() {
    let pickle = [&b"c"[..], &[b'x'; 100_000], b"\ny\n."].concat();
    assert!(error(&pickle).len() < 1000);
}

#[test]
fn every_truncated_pickle_is_an_error() {
    let whole = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01}q\x02X\x01\x00\x00\x00bq\x03K\x03sX\x01\x00\x00\x00cq\x04Nu.";
    for length in 0..whole.len() {
        assert!(!error(&whole[..length]).is_empty(), "{length}");
    }
}

#[test]
fn files_that_are_no_archive_are_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    assert!(matches!(PytorchFile::open(file.path()), Err(WeightsError::NotZip)));
    let archive = std::fs::read(saved(b"}.").path()).unwrap();
    for length in 0..archive.len() {
        std::fs::write(file.path(), &archive[..length]).unwrap();
        assert!(PytorchFile::open(file.path()).is_err(), "{length}");
    }
}

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

/// Writes data and tensors, and opens the file.
fn written(data: &Saved, tensors: &[SavedTensor]) -> (tempfile::NamedTempFile, PytorchFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    save(file.as_file_mut(), data, tensors).unwrap();
    let opened = PytorchFile::open(file.path()).unwrap();
    (file, opened)
}

#[test]
fn written_data_is_read_back() {
    let json = serde_json::json!({
        "none": null, "yes": true, "no": false, "small": -7, "large": 1_i64 << 40, "negative": i64::MIN, "number": 0.1,
        "text": "α\nb", "list": [1, [], "x"], "map": { "a": {} },
    });
    let data = Saved::Map(vec![
        ("json".to_owned(), json.clone().into()),
        ("tuple".to_owned(), Saved::Tuple(vec![Saved::Int(0), Saved::Int(2)])),
    ]);
    assert_eq!(serde_json::to_value(&data).unwrap()["json"], json);
    let (_file, opened) = written(&data, &[]);
    let value = |key: &str| opened.value(&["json", key]);
    assert_eq!(value("none"), Some(&PickleValue::None));
    assert_eq!((value("yes"), value("no")), (Some(&PickleValue::Bool(true)), Some(&PickleValue::Bool(false))));
    assert_eq!((value("small"), value("large")), (Some(&PickleValue::Int(-7)), Some(&PickleValue::Int(1 << 40))));
    assert_eq!(value("negative"), Some(&PickleValue::Int(i64::MIN)));
    assert_eq!(value("number"), Some(&PickleValue::Float(0.1)));
    assert_eq!(value("text"), Some(&PickleValue::String("α\nb".to_owned())));
    let list = [PickleValue::Int(1), PickleValue::List(Vec::new()), PickleValue::String("x".to_owned())];
    assert_eq!(value("list"), Some(&PickleValue::List(list.to_vec())));
    assert_eq!(opened.value(&["json", "map", "a"]), Some(&PickleValue::Dict(HashMap::new())));
    let tuple = [0, 2].map(PickleValue::Int).to_vec();
    assert_eq!(opened.value(&["tuple"]), Some(&PickleValue::List(tuple)));
}

#[test]
fn written_tensors_are_read_back_under_all_their_names() {
    let values = vec![1.5, -0.0, f32::MIN_POSITIVE, 3e38, 0.1, -7.0];
    let tensors = [
        SavedTensor { shape: vec![2, 3], values: SavedValues::Float(values.clone()) },
        SavedTensor { shape: Vec::new(), values: SavedValues::Long(vec![5]) },
        SavedTensor { shape: vec![1], values: SavedValues::Float(vec![9.0]) },
    ];
    let names = [("a.weight", 0), ("count", 1), ("b", 2), ("a.all.0.weight", 0)];
    let names = names.map(|(name, index)| (name.to_owned(), index)).to_vec();
    let data = Saved::Map(vec![("weights".to_owned(), Saved::StateDict(names))]);
    let (file, opened) = written(&data, &tensors);
    let read = opened.tensors("weights").unwrap();
    for name in ["a.weight", "a.all.0.weight"] {
        let tensor = read.read(name).unwrap();
        assert_eq!(tensor.shape, [2, 3]);
        assert!(tensor.data.iter().zip(&values).all(|(read, value)| read.to_bits() == value.to_bits()));
    }
    assert_eq!((read.read("b").unwrap().data, read.shape("count")), (vec![9.0], Some(&[][..])));
    // A tensor with two names is stored once; values are aligned, and nothing depends on the time.
    let bytes = std::fs::read(file.path()).unwrap();
    let mut archive = ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
    let members: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(members.iter().filter(|name| name.starts_with("archive/data/")).count(), tensors.len());
    assert!(archive.by_name("archive/data/0").unwrap().data_start().is_some_and(|start| start % 64 == 0));
    let mut again = std::io::Cursor::new(Vec::new());
    save(&mut again, &data, &tensors).unwrap();
    assert_eq!(again.into_inner(), bytes);
}

#[test]
fn a_pickle_has_the_opcodes_of_pytorch() {
    let tensors = [SavedTensor { shape: vec![2], values: SavedValues::Float(vec![1.0, 2.0]) }];
    let data = Saved::StateDict(vec![("w".to_owned(), 0)]);
    let (mut file, mut pickle) = (std::io::Cursor::new(Vec::new()), Vec::new());
    save(&mut file, &data, &tensors).unwrap();
    ZipArchive::new(file).unwrap().by_name("archive/data.pkl").unwrap().read_to_end(&mut pickle).unwrap();
    let int = |number: i32| [&b"J"[..], &number.to_le_bytes()].concat();
    let expected = [
        &b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\0\0\0w"[..],
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0\x30X\x03\0\0\0cpu",
        &int(2),
        b"tQ",
        &int(0),
        b"(",
        &int(2),
        b"t(",
        &int(1),
        b"t\x89ccollections\nOrderedDict\n)RtRu.",
    ];
    assert_eq!(pickle, expected.concat());
}

//! Writes files that `torch.load` reads: a ZIP archive with a pickle of plain data, and a member for each tensor's
//! values.
//!
//! No crate writes pickles with tensors: those that serialize plain data lack persistent ids, by which PyTorch's pickle
//! refers to the members. The opcodes are those that PyTorch itself uses, of protocol 2, without its memo, so the file
//! can also be loaded with `weights_only=True`.

use std::io::{self, Seek, Write};

use serde::ser::{Error, Serialize, Serializer};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Plain data, and tensors by their index in a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// A `list`.
    List(Vec<Saved>),
    /// A `tuple`.
    Tuple(Vec<Saved>),
    /// A `dict`, in its order.
    Map(Vec<(String, Saved)>),
    /// A state dict, which is an `OrderedDict`: the name of each tensor and its index. Several names may share a
    /// tensor.
    StateDict(Vec<(String, usize)>),
}

/// A tensor to be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTensor {
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its values, the last axis fastest.
    pub values: SavedValues,
}

/// The values of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum SavedValues {
    /// 32-bit floats.
    Float(Vec<f32>),
    /// 64-bit whole numbers.
    Long(Vec<i64>),
}

impl SavedValues {
    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Long(values) => values.len(),
        }
    }

    /// Returns the name of PyTorch's class of storages.
    fn storage(&self) -> &'static str {
        match self {
            Self::Float(_) => "FloatStorage",
            Self::Long(_) => "LongStorage",
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Float(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Long(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

impl From<serde_json::Value> for Saved {
    /// Converts JSON; the entries of objects are in the order of JSON's map.
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(entries) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

impl Serialize for Saved {
    /// Serializes plain data, in the order of its maps; a state dict is an error.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) | Self::Tuple(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
            Self::StateDict(_) => Err(S::Error::custom("tensors are not plain data")),
        }
    }
}

/// The folder of the archive that contains all members.
const FOLDER: &str = "archive";
/// The version of the layout, which PyTorch requires.
const VERSION: &str = "3\n";
/// PyTorch aligns the values of tensors to this number of bytes, so that files can be memory-mapped.
const ALIGNMENT: u16 = 64;

/// Writes plain data and tensors as `torch.save` does. The same data gives the same bytes.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When a state dict has an index beyond the list of tensors, or a tensor's values do not match its shape.
pub fn save(to: impl Write + Seek, data: &Saved, tensors: &[SavedTensor]) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT);
    let mut archive = ZipWriter::new(to);
    let mut pickle = Pickle { bytes: Vec::new(), tensors };
    pickle.write_all(data);
    let texts = [("data.pkl", pickle.bytes.as_slice()), ("byteorder", b"little"), ("version", VERSION.as_bytes())];
    for (name, bytes) in texts {
        archive.start_file(format!("{FOLDER}/{name}"), options)?;
        archive.write_all(bytes)?;
    }
    for (index, tensor) in tensors.iter().enumerate() {
        archive.start_file(format!("{FOLDER}/data/{index}"), options)?;
        archive.write_all(&tensor.values.to_bytes())?;
    }
    archive.finish()?.flush()
}

/// A pickle that is being written.
struct Pickle<'a> {
    bytes: Vec<u8>,
    tensors: &'a [SavedTensor],
}

impl Pickle<'_> {
    fn write_all(&mut self, data: &Saved) {
        self.opcode(b"\x80\x02");
        self.write(data);
        self.opcode(b".");
    }

    fn opcode(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn write(&mut self, value: &Saved) {
        match value {
            Saved::None => self.opcode(b"N"),
            Saved::Bool(true) => self.opcode(b"\x88"),
            Saved::Bool(false) => self.opcode(b"\x89"),
            Saved::Int(number) => self.int(*number),
            Saved::Float(number) => {
                self.opcode(b"G");
                self.opcode(&number.to_be_bytes());
            }
            Saved::Text(text) => self.text(text),
            Saved::List(items) => {
                self.opcode(b"](");
                items.iter().for_each(|item| self.write(item));
                self.opcode(b"e");
            }
            Saved::Tuple(items) => {
                self.opcode(b"(");
                items.iter().for_each(|item| self.write(item));
                self.opcode(b"t");
            }
            Saved::Map(entries) => {
                self.opcode(b"}(");
                for (key, value) in entries {
                    self.text(key);
                    self.write(value);
                }
                self.opcode(b"u");
            }
            Saved::StateDict(entries) => {
                self.global("collections", "OrderedDict");
                self.opcode(b")R(");
                for (name, index) in entries {
                    self.text(name);
                    self.tensor(*index);
                }
                self.opcode(b"u");
            }
        }
    }

    fn int(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(number) => {
                self.opcode(b"J");
                self.opcode(&number.to_le_bytes());
            }
            Err(_) => {
                self.opcode(b"\x8a\x08");
                self.opcode(&number.to_le_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).expect("no text of a checkpoint has 4 GiB");
        self.opcode(b"X");
        self.opcode(&length.to_le_bytes());
        self.opcode(text.as_bytes());
    }

    fn size(&mut self, size: usize) {
        self.int(i64::try_from(size).expect("sizes in memory fit into 63 bits"));
    }

    fn global(&mut self, module: &str, name: &str) {
        self.opcode(format!("c{module}\n{name}\n").as_bytes());
    }

    /// Writes a call of `_rebuild_tensor_v2` with a storage, an offset, a shape, strides, and no gradient and no hooks.
    fn tensor(&mut self, index: usize) {
        let SavedTensor { shape, values } = &self.tensors[index];
        assert!(values.len() == shape.iter().product::<usize>(), "the values of tensor {index} match its shape");
        self.global("torch._utils", "_rebuild_tensor_v2");
        // The persistent id: a word, the class, the name of the member, the device, the number of values.
        self.opcode(b"((");
        self.text("storage");
        self.global("torch", values.storage());
        self.text(&index.to_string());
        self.text("cpu");
        self.size(values.len());
        self.opcode(b"tQ");
        self.size(0);
        self.sizes(shape.iter().copied());
        self.sizes((0..shape.len()).map(|axis| shape[axis + 1..].iter().product()));
        self.opcode(b"\x89");
        self.global("collections", "OrderedDict");
        self.opcode(b")RtR");
    }

    fn sizes(&mut self, sizes: impl Iterator<Item = usize>) {
        self.opcode(b"(");
        sizes.for_each(|size| self.size(size));
        self.opcode(b"t");
    }
}

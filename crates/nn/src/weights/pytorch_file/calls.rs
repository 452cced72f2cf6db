//! The functions and classes that a pickle names, and which of them plain data and tensors need.
//!
//! The opcodes are walked through without being executed. Names are written in the pickle, except where `STACK_GLOBAL` takes
//! them from the stack; there they must be the two strings that were pushed last.

use std::collections::HashMap;

use crate::weights::WeightsError;

/// The names of each module that a file may use: what PyTorch and NumPy call to restore tensors, arrays and numbers, and
/// classes of plain data.
const ALLOWED: &[(&str, &[&str])] = &[
    ("torch._utils", &["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"]),
    (
        "torch",
        &[
            "FloatStorage",
            "DoubleStorage",
            "HalfStorage",
            "BFloat16Storage",
            "LongStorage",
            "IntStorage",
            "ShortStorage",
            "CharStorage",
            "ByteStorage",
            "BoolStorage",
            "Size",
            "device",
            "float16",
            "bfloat16",
            "float32",
            "float64",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "bool",
        ],
    ),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    ("collections", &["OrderedDict", "defaultdict"]),
    ("numpy", &["dtype", "ndarray", "float16", "float32", "float64", "int32", "int64", "bool_"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    // The bytes of numbers in pickles that Python 2 could read.
    ("_codecs", &["encode"]),
    ("builtins", DATA_CLASSES),
    ("__builtin__", DATA_CLASSES),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
    ("pathlib._local", &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"]),
];

/// Classes of plain data among Python's built-in names.
const DATA_CLASSES: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
];

/// The maximum number of bytes of a module's or function's name in a message.
const MAX_SHOWN: usize = 200;

/// Checks every function and class that a pickle names.
///
/// # Errors
/// Returns an error that names the first one that is not allowed, or if the bytes are not a pickle.
pub(super) fn check(pickle: &[u8]) -> Result<(), WeightsError> {
    Walk { bytes: pickle, top: [None, None], memo: HashMap::new() }.run()
}

/// The way through a pickle.
struct Walk<'a> {
    /// What is left.
    bytes: &'a [u8],
    /// The two values that were pushed last, the later one second, if they are strings.
    top: [Option<&'a [u8]>; 2],
    /// The strings among the values that the pickle refers to by number.
    memo: HashMap<u64, Option<&'a [u8]>>,
}

impl<'a> Walk<'a> {
    fn run(mut self) -> Result<(), WeightsError> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                b'.' => return Ok(()),
                // GLOBAL and INST name a module and a name, each on a line.
                b'c' | b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    allow(module, name)?;
                    self.push(None);
                }
                // STACK_GLOBAL.
                0x93 => {
                    let [Some(module), Some(name)] = self.top else { return Err(computed()) };
                    allow(module, name)?;
                    self.push(None);
                }
                // EXT1, EXT2 and EXT4 name a function by a number of Python's extension registry.
                0x82..=0x84 => return Err(computed()),
                // Strings.
                b'S' | b'V' => {
                    let text = self.line()?;
                    self.push(Some(text));
                }
                b'U' | 0x8c => self.push_sized(1)?,
                b'T' | b'X' => self.push_sized(4)?,
                0x8d => self.push_sized(8)?,
                // Values from the memo.
                b'g' => {
                    let index = self.number_on_line()?;
                    self.recall(index);
                }
                b'h' => self.recall_sized(1)?,
                b'j' => self.recall_sized(4)?,
                // Into the memo.
                b'p' => {
                    let index = self.number_on_line()?;
                    self.memo.insert(index, self.top[1]);
                }
                b'q' => self.remember_sized(1)?,
                b'r' => self.remember_sized(4)?,
                0x94 => {
                    self.memo.insert(self.memo.len() as u64, self.top[1]);
                }
                // PROTO and FRAME leave the stack as it is.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                _ => {
                    self.skip_argument(opcode)?;
                    self.push(None);
                }
            }
        }
    }

    /// Skips the argument of an opcode that names nothing.
    fn skip_argument(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let size = match opcode {
            // INT, LONG, FLOAT, PERSID.
            b'I' | b'L' | b'F' | b'P' => return self.line().map(drop),
            // BINBYTES and LONG in their sizes, BYTEARRAY8.
            b'C' | 0x8a => self.number(1)?,
            b'B' | 0x8b => self.number(4)?,
            0x8e | 0x96 => self.number(8)?,
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            b'G' => 8,
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'R'
            | b'b'
            | b'd'
            | b'l'
            | b't'
            | b's'
            | b'a'
            | b')'
            | b']'
            | b'}'
            | b'e'
            | b'u'
            | b'o'
            | b'Q'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92
            | 0x97
            | 0x98 => 0,
            _ => return Err(damaged()),
        };
        self.take(size).map(drop)
    }

    fn push(&mut self, string: Option<&'a [u8]>) {
        self.top = [self.top[1], string];
    }

    fn push_sized(&mut self, bytes_of_length: usize) -> Result<(), WeightsError> {
        let length = self.number(bytes_of_length)?;
        let text = self.take(length)?;
        self.push(Some(text));
        Ok(())
    }

    fn recall(&mut self, index: u64) {
        self.push(self.memo.get(&index).copied().flatten());
    }

    fn recall_sized(&mut self, bytes: usize) -> Result<(), WeightsError> {
        let index = self.number(bytes)?;
        self.recall(index);
        Ok(())
    }

    fn remember_sized(&mut self, bytes: usize) -> Result<(), WeightsError> {
        let index = self.number(bytes)?;
        self.memo.insert(index, self.top[1]);
        Ok(())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], WeightsError> {
        let count = usize::try_from(count).map_err(|_| damaged())?;
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Reads a little-endian number.
    fn number(&mut self, bytes: usize) -> Result<u64, WeightsError> {
        let bytes = self.take(bytes as u64)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a [u8], WeightsError> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let line = &self.bytes[..end];
        self.bytes = &self.bytes[end + 1..];
        Ok(line)
    }

    fn number_on_line(&mut self) -> Result<u64, WeightsError> {
        let line = self.line()?;
        std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok()).ok_or_else(damaged)
    }
}

fn allow(module: &[u8], name: &[u8]) -> Result<(), WeightsError> {
    let is_allowed = |(known, names): &(&str, &[&str])| {
        known.as_bytes() == module && names.iter().any(|known| known.as_bytes() == name)
    };
    if ALLOWED.iter().any(is_allowed) {
        return Ok(());
    }
    let text = |bytes: &[u8]| {
        let start = &bytes[..bytes.len().min(MAX_SHOWN)];
        String::from_utf8_lossy(start).escape_debug().to_string()
    };
    Err(WeightsError::Call { name: format!("{}.{}", text(module), text(name)) })
}

fn computed() -> WeightsError {
    WeightsError::Call { name: "(a name that the file computes)".to_owned() }
}

fn damaged() -> WeightsError {
    WeightsError::Misfit("its data.pkl is damaged: it ends early or has bytes that no pickle has".to_owned())
}

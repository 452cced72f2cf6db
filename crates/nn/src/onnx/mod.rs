//! Networks as ONNX files, which other programs run with ONNX Runtime or similar.
//!
//! [`Network::to_onnx`] asks the [layers](crate::layers) to add their nodes to a [`GraphBuilder`]: every layer does so in its
//! own file, beside its forward pass. [`messages`] declares the file format.

use prost::Message;

use crate::networks::Network;
use values::Bytes;

pub(crate) mod builder;
pub mod messages;

pub use builder::{GraphBuilder, Value};
use messages::{DataType, Dimension, Entry, Model, OperatorSet, Size, TensorShape, TensorType, ValueInfo, ValueType};

/// The version of ONNX's operators. ONNX Runtime has them from 1.12 on.
pub const OPSET: i64 = 17;
/// The version of the file format that belongs to [`OPSET`].
const IR_VERSION: i64 = 8;
/// The size in bytes below which a protocol buffer can be read.
const MAX_BYTES: usize = i32::MAX as usize;

/// The name of the input.
pub const INPUT: &str = "image";
/// The name of the output.
pub const OUTPUT: &str = "logits";
/// The names of the axes of an image, the last one fastest.
pub const AXES: [&str; 5] = ["batch", "channel", "x", "y", "z"];

/// What enters and leaves a network, and what its file says about it.
#[derive(Clone, Debug)]
pub struct Interface {
    /// The number of image channels.
    pub channels: usize,
    /// The number of classes.
    pub classes: usize,
    /// The shape `[x, y, z]` of the input if it is fixed; `None` for any that the network can process.
    pub shape: Option<[usize; 3]>,
    /// The version of the program that writes the file.
    pub version: String,
    /// Texts by key that describe the network.
    pub metadata: Vec<(String, String)>,
}

/// A network that cannot be written as an ONNX file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network takes {}, and an ONNX file can have at most {}", Bytes(*.bytes as u64), Bytes(MAX_BYTES as u64))]
pub struct TooLarge {
    /// The size that the file would have.
    pub bytes: usize,
}

impl Network {
    /// Returns the network as an ONNX file, for inference: without dropout, with running statistics, and with the logits of
    /// the full resolution as its only output. The size of the batch is dynamic.
    ///
    /// # Shapes
    /// - input `image`: 32-bit floats `[batch, channel, x, y, z]`
    /// - output `logits`: 32-bit floats `[batch, class, x, y, z]`
    ///
    /// # Errors
    /// When the file would have 2 GB or more.
    pub fn to_onnx(&self, interface: &Interface) -> Result<Vec<u8>, TooLarge> {
        let mut builder = GraphBuilder::new(&self.parameters);
        let image = builder.input(INPUT);
        let logits = self.layers.add_to_graph(&mut builder, image);
        let mut graph = builder.finish(&logits, OUTPUT);
        graph.input = vec![interface.value(INPUT, interface.channels)];
        graph.output = vec![interface.value(OUTPUT, interface.classes)];
        let entry = |(key, value): &(String, String)| Entry { key: key.clone(), value: value.clone() };
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "runner".to_owned(),
            producer_version: interface.version.clone(),
            doc_string: "Arrays are [batch, channel or class, x, y, z], the last axis fastest.".to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
            metadata_props: interface.metadata.iter().map(entry).collect(),
        };
        match model.encoded_len() {
            bytes if bytes > MAX_BYTES => Err(TooLarge { bytes }),
            _ => Ok(model.encode_to_vec()),
        }
    }
}

impl Interface {
    /// Describes an input or output with the given number of channels or classes.
    fn value(&self, name: &str, channels: usize) -> ValueInfo {
        let class_axis = if name == OUTPUT { "class" } else { AXES[1] };
        let size = |axis: usize| match (axis, self.shape) {
            (1, _) => Size::Fixed(channels as i64),
            (2.., Some(shape)) => Size::Fixed(shape[axis - 2] as i64),
            _ => Size::Dynamic(AXES[axis].to_owned()),
        };
        let dim = (0..AXES.len()).map(|axis| Dimension { size: Some(size(axis)) }).collect();
        let tensor_type = TensorType { elem_type: DataType::Float.into(), shape: Some(TensorShape { dim }) };
        ValueInfo {
            name: name.to_owned(),
            r#type: Some(ValueType { tensor_type: Some(tensor_type) }),
            doc_string: format!("[batch, {class_axis}, x, y, z]"),
        }
    }
}

/// Reads an ONNX file.
///
/// # Errors
/// When the bytes are not one.
pub fn decode(bytes: &[u8]) -> Result<Model, prost::DecodeError> {
    Model::decode(bytes)
}

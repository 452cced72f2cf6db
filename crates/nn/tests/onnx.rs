//! Networks as ONNX files compute the same logits in ONNX Runtime.
//!
//! `onnx/onnx_equal.py` ran the files of this test and kept the logits of ONNX Runtime and the nodes that it ran. The files of
//! this test have the same nodes, and our own forward pass the same logits.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use nn::onnx::messages::{self, AttributeType, DataType, Size};
use nn::onnx::{INPUT, Interface, OUTPUT};
use nn::weights::{NamedTensor, to_safetensors};
use nn::{Model, Network, Pass, Unet};
use prost::Message;
use random::Seed;
use serde::Deserialize;
use sha2::{Digest, Sha256};

const BATCH: usize = 2;

/// A kind of network.
#[derive(Deserialize)]
struct Kind {
    name: String,
    channels: usize,
    classes: usize,
    shape: [usize; 3],
    unet: Unet,
}

/// What ONNX Runtime computed from a file.
#[derive(Deserialize)]
struct Facts {
    /// The number of nodes of each operator.
    operators: BTreeMap<String, usize>,
    /// The SHA-256 of the description of the graph.
    graph: String,
    indices: Vec<usize>,
    logits: Vec<f64>,
    norm: f64,
}

#[derive(Deserialize)]
struct File {
    data: BTreeMap<String, Facts>,
}

fn kinds() -> Vec<Kind> {
    serde_json::from_str(include_str!("onnx/kinds.json")).unwrap()
}

/// Returns `sin(step * i) * scale` for i = 1, 2, ...
fn wave(count: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| ((step * (i as f64 + 1.0)).sin() * scale) as f32).collect()
}

/// Builds a network in which no scale, shift or running statistic has a value that hides a mistake.
fn network(kind: &Kind) -> Network {
    let device = Device::flex();
    let mut network = Model::Unet(kind.unet.clone()).build(kind.channels, kind.classes, Seed(0), &device);
    let mut tensors = network.parameters.export();
    tensors.sort_by(|one, other| one.name.cmp(&other.name));
    for (index, NamedTensor { name, shape, data }) in tensors.iter_mut().enumerate() {
        let fan_in = if shape.len() > 1 { data.len() / shape[0] } else { 8 };
        let is_scale = name.contains("norm") && (name.ends_with("weight") || name.ends_with("running_var"));
        *data = wave(data.len(), 0.7 + 0.01 * index as f64, (fan_in as f64).powf(-0.5));
        data.iter_mut().for_each(|value| *value += if is_scale { 1.0 } else { 0.0 });
    }
    network.parameters.import(&tensors, &device).unwrap();
    network
}

/// Returns an image and its logits.
fn image_and_logits(kind: &Kind, network: &Network) -> [NamedTensor; 2] {
    let shape = [BATCH, kind.channels, kind.shape[0], kind.shape[1], kind.shape[2]];
    let image = wave(shape.iter().product(), 0.37, 1.0);
    let input = Tensor::<5>::from_data(TensorData::new(image.clone(), shape), &Device::flex());
    let logits = network.forward(&mut Pass::inference(), input);
    let logits_shape = logits.dims().to_vec();
    let logits = logits.into_data_as::<f32>().try_to_vec().unwrap();
    [("image", shape.to_vec(), image), ("logits", logits_shape, logits)].map(|(name, shape, data)| NamedTensor {
        name: name.to_owned(),
        shape,
        data,
    })
}

fn interface(kind: &Kind) -> Interface {
    let metadata = vec![("kind".to_owned(), kind.name.clone())];
    Interface { channels: kind.channels, classes: kind.classes, shape: None, version: "0".to_owned(), metadata }
}

fn model(kind: &Kind, network: &Network) -> messages::Model {
    let bytes = network.to_onnx(&interface(kind)).unwrap();
    messages::Model::decode(bytes.as_slice()).unwrap()
}

/// Describes each constant and each node in a line, as the script does.
fn description(graph: &messages::Graph) -> String {
    let constant = |tensor: &messages::Tensor| {
        let mut line = format!("{} {:?}", tensor.name, tensor.dims);
        if tensor.data_type == i32::from(DataType::Int64) {
            let (words, _) = tensor.raw_data.as_chunks::<8>();
            line += &format!(" {:?}", words.iter().map(|word| i64::from_le_bytes(*word)).collect::<Vec<_>>());
        }
        line
    };
    let attribute = |attribute: &messages::Attribute| {
        let value = match AttributeType::try_from(attribute.r#type).unwrap() {
            AttributeType::Float => format!("{:.0}", f64::from(attribute.f.unwrap()) * 1e9),
            AttributeType::Int => attribute.i.unwrap().to_string(),
            AttributeType::String => String::from_utf8(attribute.s.clone().unwrap()).unwrap(),
            AttributeType::Ints => format!("{:?}", attribute.ints),
            AttributeType::Undefined => panic!("{} has no type", attribute.name),
        };
        format!(" {}={value}", attribute.name)
    };
    let node = |node: &messages::Node| {
        let settings: String = node.attribute.iter().map(attribute).collect();
        format!("{} {}({}) -> {}{settings}", node.op_type, node.name, node.input.join(", "), node.output.join(", "))
    };
    let lines: Vec<String> = graph.initializer.iter().map(constant).chain(graph.node.iter().map(node)).collect();
    lines.join("\n") + "\n"
}

#[test]
fn files_have_the_nodes_that_onnx_runtime_ran_and_we_have_its_logits() {
    let out = std::env::var_os("ONNX_OUT").map(PathBuf::from);
    let kept: File = serde_json::from_str(include_str!("onnx/onnx_runtime.json")).unwrap();
    for kind in kinds() {
        let network = network(&kind);
        let tensors = image_and_logits(&kind, &network);
        let bytes = network.to_onnx(&interface(&kind)).unwrap();
        if let Some(out) = &out {
            std::fs::write(out.join(format!("{}.onnx", kind.name)), &bytes).unwrap();
            std::fs::write(out.join(format!("{}.safetensors", kind.name)), to_safetensors(&tensors)).unwrap();
            continue;
        }
        let graph = messages::Model::decode(bytes.as_slice()).unwrap().graph.unwrap();
        let facts = kept.data.get(&kind.name).unwrap_or_else(|| panic!("{}: run onnx_equal.py again", kind.name));
        let mut operators = BTreeMap::new();
        graph.node.iter().for_each(|node| *operators.entry(node.op_type.clone()).or_insert(0) += 1);
        assert_eq!(operators, facts.operators, "{}: operators", kind.name);
        let hash: String = Sha256::digest(description(&graph)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hash,
            facts.graph,
            "{}: run onnx_equal.py again if this is intended\n{}",
            kind.name,
            description(&graph)
        );
        let [_, logits] = &tensors;
        let largest = logits.data.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert!(largest > 0.01, "{}: the logits are {largest} at most", kind.name);
        for (index, expected) in facts.indices.iter().zip(&facts.logits) {
            let difference = (f64::from(logits.data[*index]) - expected).abs();
            assert!(difference < 1e-4, "{}: logit {index} differs by {difference}", kind.name);
        }
        let norm = logits.data.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert!((norm - facts.norm).abs() < 1e-4 * facts.norm, "{}: norm {norm}, expected {}", kind.name, facts.norm);
    }
}

#[test]
fn nodes_are_in_the_order_of_computation_and_every_weight_is_used_once() {
    for kind in kinds() {
        let network = network(&kind);
        let model = model(&kind, &network);
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        assert_eq!(model.metadata_props[0].value, kind.name);
        let graph = model.graph.unwrap();
        let mut known: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(known.len(), graph.initializer.len(), "{}: names of constants are unique", kind.name);
        known.insert(&graph.input[0].name);
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        for node in &graph.node {
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                assert!(known.contains(input.as_str()), "{}: {} needs {input} too early", kind.name, node.name);
                *used.entry(input).or_default() += 1;
            }
            for output in &node.output {
                assert!(known.insert(output), "{}: {output} is computed twice", kind.name);
            }
        }
        assert!(known.contains(OUTPUT) && !used.contains_key(OUTPUT), "{}", kind.name);
        let names: HashSet<String> = network.parameters.export().into_iter().map(|tensor| tensor.name).collect();
        for tensor in &graph.initializer {
            assert_eq!(used.get(tensor.name.as_str()), Some(&1), "{}: uses of {}", kind.name, tensor.name);
        }
        // Only the heads of deep supervision are left out.
        let constants = graph.constants();
        let absent: Vec<&String> = names.iter().filter(|name| !constants.contains_key(name.as_str())).collect();
        assert!(absent.iter().all(|name| name.starts_with("decoder.") && name.contains(".head.")), "{absent:?}");
        assert_eq!(absent.is_empty(), !kind.unet.deep_supervision, "{}", kind.name);
    }
}

#[test]
fn weights_keep_their_bits() {
    let kind = &kinds()[6];
    let network = network(kind);
    let graph = model(kind, &network).graph.unwrap();
    let constants = graph.constants();
    for NamedTensor { name, shape, data } in network.parameters.export() {
        let tensor = constants[name.as_str()];
        let (words, _) = tensor.raw_data.as_chunks::<4>();
        assert!(words.iter().map(|word| f32::from_le_bytes(*word)).eq(data), "{name}");
        assert!(tensor.dims.iter().map(|size| *size as usize).eq(shape), "{name}");
    }
}

#[test]
fn the_batch_is_dynamic_and_the_other_axes_are_fixed_where_asked_for() {
    let kind = &kinds()[0];
    let network = network(kind);
    let dims = |shape| {
        let bytes = network.to_onnx(&Interface { shape, ..interface(kind) }).unwrap();
        let graph = messages::Model::decode(bytes.as_slice()).unwrap().graph.unwrap();
        [&graph.input[0], &graph.output[0]].map(|value| {
            let tensor = value.r#type.clone().unwrap().tensor_type.unwrap();
            let size = |dim: messages::Dimension| match dim.size.unwrap() {
                Size::Fixed(size) => size.to_string(),
                Size::Dynamic(name) => name,
            };
            (value.name.clone(), tensor.shape.unwrap().dim.into_iter().map(size).collect::<Vec<_>>().join(" "))
        })
    };
    let named =
        |input: &str, output: &str| [(INPUT.to_owned(), input.to_owned()), (OUTPUT.to_owned(), output.to_owned())];
    assert_eq!(dims(None), named("batch 1 x y z", "batch 3 x y z"));
    assert_eq!(dims(Some([16, 8, 24])), named("batch 1 16 8 24", "batch 3 16 8 24"));
}

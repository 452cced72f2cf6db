//! Builds the graph of a network node by node.

use std::collections::HashSet;

use super::messages::{Attribute, AttributeType, DataType, Graph, Node, Tensor};
use crate::parameters::{ParameterId, Parameters};

/// A value of a graph: its input, or the output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

/// A graph that layers add their nodes to, in the order of computation.
///
/// Weights are added under their names in weight files, and nodes are named after their weights, so that a viewer shows the
/// names of the network.
#[derive(Debug)]
pub struct GraphBuilder<'a> {
    parameters: &'a Parameters,
    graph: Graph,
    /// Names of nodes and of constants.
    names: HashSet<String>,
}

impl<'a> GraphBuilder<'a> {
    /// Creates an empty graph of a network with these weights.
    pub(super) fn new(parameters: &'a Parameters) -> Self {
        Self { parameters, graph: Graph { name: "network".to_owned(), ..Graph::default() }, names: HashSet::new() }
    }

    /// Returns a value that enters the graph.
    pub(super) fn input(&mut self, name: &str) -> Value {
        self.names.insert(name.to_owned());
        Value(name.to_owned())
    }

    /// Returns the graph, whose output is `value` under the name `output`.
    pub(super) fn finish(mut self, value: &Value, output: &str) -> Graph {
        let nodes = self.graph.node.iter_mut();
        let renamed = nodes.flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        renamed.filter(|name| **name == value.0).for_each(|name| output.clone_into(name));
        self.graph
    }

    /// Returns the shape of a parameter.
    pub(crate) fn shape(&self, id: ParameterId) -> &[usize] {
        self.parameters.shape(id)
    }

    /// Returns the name of the layer of a parameter: its own name without its last part, as in `encoder.0.conv1`.
    pub(crate) fn layer(&self, id: ParameterId) -> String {
        let name = self.parameters.name(id);
        name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_owned()
    }

    /// Adds a parameter in its own shape.
    pub(crate) fn parameter(&mut self, id: ParameterId) -> Value {
        let shape = self.parameters.shape(id).to_vec();
        self.parameter_as(id, &shape)
    }

    /// Adds a parameter in another shape with as many values.
    pub(crate) fn parameter_as(&mut self, id: ParameterId, shape: &[usize]) -> Value {
        let bytes = self.parameters.host(id).into_iter().flat_map(f32::to_le_bytes).collect();
        let name = self.parameters.name(id).to_owned();
        self.constant(&name, shape, DataType::Float, bytes)
    }

    /// Adds constant numbers.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        self.constant(name, shape, DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds constant integers, one axis.
    pub(crate) fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], DataType::Int64, bytes)
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) -> Value {
        let name = self.unused(name);
        let dims = shape.iter().map(|size| *size as i64).collect();
        self.graph.initializer.push(Tensor { dims, data_type: data_type.into(), name: name.clone(), raw_data });
        Value(name)
    }

    /// Adds a node and returns its output; `None` is an optional input that is left out.
    pub(crate) fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[Option<&Value>],
        attribute: Vec<Attribute>,
    ) -> Value {
        let name = self.unused(name);
        let input = inputs.iter().map(|input| input.map(|value| value.0.clone()).unwrap_or_default()).collect();
        let node =
            Node { input, output: vec![name.clone()], name: name.clone(), op_type: operator.to_owned(), attribute };
        self.graph.node.push(node);
        Value(name)
    }

    /// Returns a name that no other node or constant has: the given one, or the same with a number.
    fn unused(&mut self, name: &str) -> String {
        let candidates = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}_{number}")));
        let name = candidates.into_iter().find(|name| !self.names.contains(name));
        let name = name.expect("there are more numbers than nodes");
        self.names.insert(name.clone());
        name
    }
}

/// Returns a setting that is a number.
pub(crate) fn float(name: &str, value: f64) -> Attribute {
    let r#type = AttributeType::Float.into();
    Attribute { name: name.to_owned(), f: Some(value as f32), r#type, ..Attribute::default() }
}

/// Returns a setting that is an integer.
pub(crate) fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(value), r#type: AttributeType::Int.into(), ..Attribute::default() }
}

/// Returns a setting that is a list of integers.
pub(crate) fn ints(name: &str, values: impl IntoIterator<Item = usize>) -> Attribute {
    let ints = values.into_iter().map(|value| value as i64).collect();
    Attribute { name: name.to_owned(), ints, r#type: AttributeType::Ints.into(), ..Attribute::default() }
}

/// Returns a setting that is a text.
pub(crate) fn text(name: &str, value: &str) -> Attribute {
    let s = Some(value.as_bytes().to_vec());
    Attribute { name: name.to_owned(), s, r#type: AttributeType::String.into(), ..Attribute::default() }
}

"""Compares networks in ONNX Runtime with our own forward pass, and keeps its results for crates/nn/tests/onnx.rs.

usage: ONNX_OUT=DIR cargo test --release -p nn --test onnx
       python crates/nn/tests/onnx/onnx_equal.py DIR

Needs numpy, onnx, onnxruntime and safetensors. Fails if a logit differs by 1e-4 or more, for the batch of the test, for a
batch of one, and for an input of another shape where the network takes one.
"""

import hashlib
import importlib.metadata
import json
import sys
from collections import Counter
from pathlib import Path

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

HERE = Path(__file__).parent
TOLERANCE = 1e-4


def text(attribute):
    """Writes a setting of a node, as the Rust test does."""
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.FLOAT:
        return f"{round(value * 1e9)}"
    if attribute.type == onnx.AttributeProto.STRING:
        return value.decode()
    return str(list(value)) if attribute.type == onnx.AttributeProto.INTS else str(value)


def description(graph):
    """Describes each constant and each node in a line."""
    lines = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        ints = f" {values.tolist()}" if values.dtype == numpy.int64 else ""
        lines.append(f"{tensor.name} {list(tensor.dims)}{ints}")
    for node in graph.node:
        settings = "".join(f" {attribute.name}={text(attribute)}" for attribute in node.attribute)
        lines.append(f"{node.op_type} {node.name}({', '.join(node.input)}) -> {', '.join(node.output)}{settings}")
    return "\n".join(lines) + "\n"


def check(folder, kind):
    path = folder / f"{kind['name']}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tensors = load_file(folder / f"{kind['name']}.safetensors")
    (logits,) = session.run(None, {"image": tensors["image"]})
    difference = numpy.abs(logits - tensors["logits"]).max()
    (alone,) = session.run(None, {"image": tensors["image"][1:]})
    of_one = numpy.abs(alone - tensors["logits"][1:]).max()
    # Twice as long along x: any multiple of the strides is an input.
    (longer,) = session.run(None, {"image": numpy.concatenate([tensors["image"]] * 2, axis=2)})
    assert longer.shape[2] == 2 * logits.shape[2], kind["name"]
    print(f"{kind['name']:45} {difference:.1e} {of_one:.1e}")
    assert max(difference, of_one) < TOLERANCE, kind["name"]
    flat = logits.ravel().astype(float)
    indices = numpy.unique(numpy.linspace(0, len(flat) - 1, 16).astype(int)).tolist()
    return {
        "operators": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "graph": hashlib.sha256(description(model.graph).encode()).hexdigest(),
        "indices": indices,
        "logits": [float(flat[index]) for index in indices],
        "norm": float(numpy.sqrt((flat ** 2).sum())),
    }


def main():
    folder = Path(sys.argv[1])
    kinds = json.loads((HERE / "kinds.json").read_text())
    versions = {name: importlib.metadata.version(name) for name in ("onnx", "onnxruntime")}
    document = {"versions": versions, "data": {kind["name"]: check(folder, kind) for kind in kinds}}
    (HERE / "onnx_runtime.json").write_text(json.dumps(document, indent=1) + "\n")


main()

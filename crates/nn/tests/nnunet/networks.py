"""Writes the expected values of crates/nn/tests/nnunet.rs with nnU-Net's own network classes.

usage: python crates/nn/tests/nnunet/networks.py

Needs torch and dynamic-network-architectures. Weights, inputs and targets are formulas that the Rust test repeats, so only
results are stored. They are computed in double precision. benches/nnunet/gradients.py uses the same networks.
"""

import importlib.metadata
import json
import re
from pathlib import Path

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)

CASES = [
    dict(name="isotropic", encoder="plain", widths=[4, 8, 8, 12], kernels=[[3, 3, 3]] * 4,
         strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]], convs=[2] * 4, decoder=[2] * 3, channels=1, classes=3,
         shape=[16, 24, 16]),
    dict(name="anisotropic", encoder="plain", widths=[4, 6, 8], kernels=[[3, 3, 1], [3, 3, 3], [3, 3, 3]],
         strides=[[1, 1, 1], [2, 2, 1], [2, 2, 2]], convs=[2, 3, 1], decoder=[1, 2], channels=2, classes=2,
         shape=[12, 16, 6]),
    dict(name="residual", encoder="residual", widths=[4, 8, 8, 12], kernels=[[3, 3, 3]] * 4,
         strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]], convs=[1, 2, 2, 3], decoder=[1] * 3, channels=1, classes=3,
         shape=[16, 16, 24]),
    dict(name="anisotropic residual", encoder="residual", widths=[4, 6, 8], kernels=[[3, 3, 1], [3, 3, 3], [3, 3, 3]],
         strides=[[1, 1, 1], [2, 2, 1], [2, 2, 2]], convs=[1, 3, 2], decoder=[1, 1], channels=2, classes=2,
         shape=[12, 16, 6]),
    dict(name="two-dimensional", encoder="plain", widths=[4, 8, 8], kernels=[[3, 3, 1]] * 3,
         strides=[[1, 1, 1], [2, 2, 1], [2, 2, 1]], convs=[2] * 3, decoder=[2] * 2, channels=1, classes=3,
         shape=[24, 20, 1]),
]

# The magnitude of every value before a LeakyReLU is above this, so that none gets the other sign by rounding: gradients would
# differ by far more than by rounding itself.
MARGIN = 2e-6
# Sums of a gradient's values with different signs.
SIGNED_SUMS = 16
# nnU-Net's recipe of a step, with an unchanged batch.
STEPS, LEARNING_RATE, MOMENTUM, DECAY, CLIP = 3, 0.01, 0.99, 3e-5, 12


def wave(shape, step, scale=1.0):
    """Returns sin(step * i) * scale for i = 1, 2, ..., rounded to single precision."""
    count = 1
    for size in shape:
        count *= size
    index = torch.arange(count)
    return (torch.sin(step * (index + 1)) * scale).reshape(shape).float().double()


def labels(shape, classes):
    """Returns the class of voxel i: (i * 7 + i // 5) % classes."""
    index = torch.arange(torch.tensor(shape).prod().item())
    return ((index * 7 + index // 5) % classes).reshape(shape)


def our_name(name, levels):
    """Translates the name of a parameter; None for another name of the same tensor."""
    if "all_modules" in name or name.startswith("decoder.encoder."):
        return None
    layers = r"(conv|norm)\.(weight|bias)$"
    if match := re.match(r"encoder\.stem\.convs\.(\d+)\." + layers, name):
        convolution, layer, kind = match.groups()
        return f"encoder.stem.{layer}{int(convolution) + 1}.{kind}"
    if match := re.match(r"encoder\.stages\.(\d+)\.0\.convs\.(\d+)\." + layers, name):
        level, convolution, layer, kind = match.groups()
        return f"encoder.{level}.{layer}{int(convolution) + 1}.{kind}"
    if match := re.match(r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv(\d)\." + layers, name):
        level, block, convolution, layer, kind = match.groups()
        return f"encoder.{level}.blocks.{block}.{layer}{convolution}.{kind}"
    if match := re.match(r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.skip\.\d\." + layers, name):
        level, block, layer, kind = match.groups()
        return f"encoder.{level}.blocks.{block}.{'shortcut' if layer == 'conv' else 'shortcut_norm'}.{kind}"
    if match := re.match(r"decoder\.transpconvs\.(\d+)\.(weight|bias)$", name):
        return f"decoder.{match[1]}.up.{match[2]}"
    if match := re.match(r"decoder\.stages\.(\d+)\.convs\.(\d+)\." + layers, name):
        level, convolution, layer, kind = match.groups()
        return f"decoder.{level}.{layer}{int(convolution) + 1}.{kind}"
    if match := re.match(r"decoder\.seg_layers\.(\d+)\.(weight|bias)$", name):
        return f"head.{match[2]}" if int(match[1]) == levels - 2 else f"decoder.{match[1]}.head.{match[2]}"
    raise ValueError(name)


def build(case):
    two_d = all(kernel[2] == 1 for kernel in case["kernels"])
    axes = slice(0, 2) if two_d else slice(0, 3)
    per_stage = "n_conv_per_stage" if case["encoder"] == "plain" else "n_blocks_per_stage"
    network = (PlainConvUNet if case["encoder"] == "plain" else ResidualEncoderUNet)(
        input_channels=case["channels"], n_stages=len(case["widths"]), features_per_stage=case["widths"],
        conv_op=nn.Conv2d if two_d else nn.Conv3d, kernel_sizes=[kernel[axes] for kernel in case["kernels"]],
        strides=[stride[axes] for stride in case["strides"]], num_classes=case["classes"],
        n_conv_per_stage_decoder=case["decoder"], conv_bias=True,
        norm_op=nn.InstanceNorm2d if two_d else nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True, **{per_stage: case["convs"]})
    named = {}
    for name, value in network.named_parameters(remove_duplicate=False):
        if (ours := our_name(name, len(case["widths"]))) is not None:
            named[ours] = value
    assert {id(value) for value in named.values()} == {id(value) for value in network.parameters()}
    with torch.no_grad():
        for index, (name, value) in enumerate(sorted(named.items())):
            fan_in = max(value[0].numel(), 1) if value.dim() > 1 else 8
            offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            value.copy_(wave(value.shape, 0.7 + 0.01 * index, fan_in ** -0.5) + offset)
    return network, named, two_d


def our_unet(case):
    """Returns the keys of the network in an experiment."""
    return dict(widths=case["widths"], kernel_sizes=case["kernels"], strides=case["strides"], encoder=case["encoder"],
                convs_per_level=case["convs"], decoder_convs_per_level=case["decoder"][::-1], norm="instance",
                activation="leaky_relu", downsample="strided_conv", upsample="transposed_conv", deep_supervision=True)


def loss_of(outputs, target):
    """Cross-entropy at each resolution, with nnU-Net's weights and its resampling of the target."""
    weights = [0.5 ** level for level in range(len(outputs))]
    if len(weights) > 1:
        weights[-1] = 0.0
    total = 0.0
    for weight, output in zip(weights, outputs):
        if weight:
            size = output.shape[2:]
            small = F.interpolate(target[:, None].double(), size=size, mode="nearest-exact")[:, 0].long()
            total = total + weight / sum(weights) * F.cross_entropy(output, small)
    return total


def summary(value):
    """Summarizes a tensor: its largest magnitude, its norm, and up to 12 of its values."""
    flat = value.detach().flatten()
    indices = sorted({int(i) for i in torch.linspace(0, len(flat) - 1, min(12, len(flat)), dtype=torch.float32).tolist()})
    return {"largest": flat.abs().max().item(), "norm": flat.norm().item(), "indices": indices,
            "values": [flat[i].item() for i in indices]}


def signs(count, index):
    """Returns `count` pseudorandom signs, others for each index."""
    bits = (np.arange(count, dtype=np.uint64) * np.uint64(SIGNED_SUMS) + np.uint64(index + 1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return torch.from_numpy(1.0 - 2.0 * (bits >> np.uint64(63)).astype(np.float64))


def signed_sums(value):
    """Summarizes a gradient by its norm and by sums with pseudorandom signs: the mean square of the differences between those of
    two tensors estimates the squared norm of the tensors' difference."""
    flat = value.detach().flatten()
    return {"norm": flat.norm().item(), "sums": [(signs(len(flat), i) * flat).sum().item() for i in range(SIGNED_SUMS)]}


def margin(network, image):
    """Returns the smallest magnitude of a value before a LeakyReLU."""
    smallest = []
    hooks = [module.register_forward_pre_hook(lambda _, inputs: smallest.append(inputs[0].abs().min().item()))
             for module in network.modules() if isinstance(module, nn.LeakyReLU)]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return min(smallest)


def image_for(network, shape):
    """Returns the first image, a wave of some step, for which no value before a LeakyReLU is close to 0, and the step."""
    for index in range(100):
        step = round(0.37 + 0.01 * index, 2)
        image = wave(shape, step)
        if margin(network, image) > MARGIN:
            return image, step
    raise ValueError("every image has a value before a LeakyReLU that is close to 0")


def run(case):
    network, named, two_d = build(case)
    shape = case["shape"][:2] if two_d else case["shape"]
    image, step = image_for(network, [2, case["channels"], *shape])
    target = labels([2, *shape], case["classes"])
    optimizer = torch.optim.SGD(named.values(), LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)
    result = {"heads": [], "gradients": {}, "losses": []}
    for index in range(STEPS):
        outputs = network(image)
        loss = loss_of(outputs, target)
        optimizer.zero_grad()
        loss.backward()
        result["losses"].append(loss.item())
        if index == 0:
            result["heads"] = [summary(output) for output in outputs]
            result["gradients"] = {name: signed_sums(value.grad) for name, value in named.items() if value.grad is not None}
        torch.nn.utils.clip_grad_norm_(named.values(), CLIP)
        optimizer.step()
    result["weights"] = {name: summary(value) for name, value in named.items()}
    return dict(name=case["name"], unet=our_unet(case), channels=case["channels"], classes=case["classes"],
                shape=case["shape"], image_step=step, num_parameters=sum(value.numel() for value in named.values()), **result)


def main():
    torch.set_default_dtype(torch.float64)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "dynamic-network-architectures")}
    document = {"versions": versions, "data": [run(case) for case in CASES]}
    Path(__file__).with_name("networks.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()

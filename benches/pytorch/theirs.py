"""Times training steps of an experiment's network in PyTorch, as benches/step.rs does in runner.

usage: python theirs.py FILE DEVICE STEPS [--compile] [--bfloat16]

The network, the loss and the optimizer, Adam or SGD, are those of FILE. Networks with `strides` are nnU-Net's classes, for which
dynamic-network-architectures is needed. Prints JSON: the seconds of each step after the warm-up, and the peak memory.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.nn.functional import one_hot
from unet import Unet


def build_loss(name):
    if name == "binary_cross_entropy":
        return lambda logits, target: nn.functional.binary_cross_entropy_with_logits(logits, target)

    def dice_cross_entropy(logits, target):
        log_probabilities = torch.log_softmax(logits, 1)
        probabilities = log_probabilities.exp()
        axes = (2, 3, 4)
        overlap = (probabilities * target).sum(axes)
        dice = (2 * overlap + 1e-5) / (probabilities.sum(axes) + target.sum(axes) + 1e-5)
        return 1 - dice[:, 1:].mean() - (log_probabilities * target).sum(1).mean()

    return dice_cross_entropy


def build_network(spec):
    """Returns a network of 1 channel and 3 classes."""
    if "strides" not in spec:
        return Unet(1, 3, spec)
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

    levels, residual = len(spec["widths"]), spec.get("encoder") == "residual"
    blocks = {"n_blocks_per_stage" if residual else "n_conv_per_stage": spec.get("convs_per_level", [2] * levels)}
    return (ResidualEncoderUNet if residual else PlainConvUNet)(
        input_channels=1, n_stages=levels, features_per_stage=spec["widths"], conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * levels, strides=spec["strides"], num_classes=3,
        n_conv_per_stage_decoder=spec.get("decoder_convs_per_level", [2] * (levels - 1)), conv_bias=True,
        norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True}, deep_supervision=spec["deep_supervision"], **blocks)


def supervised(loss):
    """Returns nnU-Net's sum of a loss over resolutions, the lowest left out."""
    def over_levels(outputs, target):
        if not isinstance(outputs, (list, tuple)):
            return loss(outputs.float(), target)
        weights = [0.5**level for level in range(len(outputs) - 1)]
        total = 0
        for weight, logits in zip(weights, outputs):
            steps = [fine // coarse for fine, coarse in zip(target.shape[2:], logits.shape[2:])]
            level = target[:, :, ::steps[0], ::steps[1], ::steps[2]]
            total = total + weight / sum(weights) * loss(logits.float(), level)
        return total

    return over_levels


def build_optimizer(spec, parameters):
    (name, keys), = spec.items()
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=float(keys["learning_rate"]), momentum=keys["momentum"], nesterov=keys["nesterov"],
                               weight_decay=float(keys["weight_decay"]))
    return torch.optim.Adam(parameters, lr=1e-3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("device")
    parser.add_argument("steps", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    spec = yaml.safe_load(arguments.file.read_text())
    patch, batch = spec["sampler"]["uniform"]["patch"], spec["train"]["batch_size"]
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    network = build_network(spec["model"]["unet"]).to(device)
    layout = torch.channels_last_3d if device.type == "cuda" else torch.contiguous_format
    network = network.to(memory_format=layout)
    image = torch.randn(batch, 1, *patch, device=device).contiguous(memory_format=layout)
    target = one_hot(torch.randint(3, (batch, *patch), device=device), 3).permute(0, 4, 1, 2, 3).float().contiguous()
    loss_function = supervised(build_loss(next(iter(spec["loss"]))))
    optimizer = build_optimizer(spec["optimizer"], network.parameters())
    clip_norm = spec["train"].get("clip_gradient_norm")
    model = torch.compile(network) if arguments.compile else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bfloat16):
            logits = model(image)
        loss = loss_function(logits, target)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        optimizer.step()
        return loss.item()

    for _ in range(3 if device.type == "cuda" else 1):
        step()
    seconds = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "torch": torch.__version__, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()

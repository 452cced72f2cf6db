"""Times training steps of an experiment's network in PyTorch, as benches/step.rs does in runner.

usage: python theirs.py FILE DEVICE STEPS [--compile] [--bfloat16]

The network and the loss are those of FILE; the optimizer is Adam. Prints JSON: the seconds of each step after the warm-up,
and the peak memory.
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
    network = Unet(1, 3, spec["model"]["unet"]).to(device)
    layout = torch.channels_last_3d if device.type == "cuda" else torch.contiguous_format
    network = network.to(memory_format=layout)
    image = torch.randn(batch, 1, *patch, device=device).contiguous(memory_format=layout)
    target = one_hot(torch.randint(3, (batch, *patch), device=device), 3).permute(0, 4, 1, 2, 3).float().contiguous()
    loss_function = build_loss(next(iter(spec["loss"])))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    model = torch.compile(network) if arguments.compile else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bfloat16):
            logits = model(image)
        loss = loss_function(logits.float(), target)
        loss.backward()
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

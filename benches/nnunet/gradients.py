"""Compares the accuracy of gradients of nnU-Net's networks in single precision: runner's and PyTorch's against those of PyTorch
in double precision.

usage, from the root of the repository:
    python3 benches/nnunet/gradients.py [--bench target/release/deps/gradients-HASH]

Needs torch and dynamic-network-architectures. The networks are the five of crates/nn/tests/nnunet/networks.py, and the same with
random weights and 32 to 96 channels, which have other kernels. Prints for each network the norm of the difference of all
gradients relative to the norm of the gradients, and the largest one of a parameter; biases before a normalization, whose
gradient is 0, are left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path += [str(ROOT / "benches"), str(ROOT / "crates/nn/tests/nnunet")]
from measure import built_bench  # noqa: E402
import networks  # noqa: E402

WIDE = {4: 32, 6: 64, 8: 64, 12: 96}


def wide(case):
    """Returns a case with more channels."""
    return dict(case, name=f"{case['name']}, wide", widths=[WIDE[width] for width in case["widths"]])


def randomize(named, generator):
    """Sets parameters to random numbers of single precision."""
    for name, value in sorted(named.items()):
        scale, offset = 0.1, 0.0
        if value.dim() > 1:
            scale = (2 / value[0].numel()) ** 0.5
        elif "norm" in name and name.endswith("weight"):
            offset = 1.0
        with torch.no_grad():
            value.copy_((torch.randn(value.shape, generator=generator) * scale + offset).float())


def margin_image(network, shape, generator):
    """Returns a random image for which no value before a LeakyReLU is close to 0."""
    while True:
        image = torch.randn(shape, generator=generator).float().double()
        if networks.margin(network, image) > networks.MARGIN:
            return image


def gradients(network, named, image, target):
    for value in named.values():
        value.grad = None
    networks.loss_of(network(image), target).backward()
    return {name: value.grad.double() for name, value in named.items() if value.grad is not None}


def runners(bench, case, named, image, target):
    """Returns runner's gradients."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        keys = dict(unet=networks.our_unet(case), channels=case["channels"], classes=case["classes"], shape=case["shape"])
        (folder / "case.json").write_text(json.dumps(keys))
        one_hot = torch.nn.functional.one_hot(target, case["classes"]).movedim(-1, 1)
        (folder / "weights").mkdir()
        for name, value in [("image", image), ("target", one_hot)] + [(f"weights/{n}", v) for n, v in named.items()]:
            value.detach().float().contiguous().numpy().tofile(folder / name)
        subprocess.run([bench, folder], check=True)
        read = {path.name: torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32)
                for path in (folder / "gradients").iterdir()}
        return {name: values.double().reshape(named[name].shape) for name, values in read.items()}


def differences(expected, actual):
    """Returns the difference of all gradients and the largest one of a parameter, with its name."""
    has_gradient = {name for name in expected if not (name.endswith(".bias") and name.split(".")[-2].startswith("conv"))}
    squares = {name: ((expected[name] - actual[name]).square().sum(), expected[name].square().sum()) for name in has_gradient}
    total = [sum(column) for column in zip(*squares.values())]
    worst = max((float((difference / norm).sqrt()), name) for name, (difference, norm) in squares.items())
    return float((total[0] / total[1]).sqrt()), *worst


def compare(bench, case, seed):
    torch.set_default_dtype(torch.float64)
    network, named, two_d = networks.build(case)
    shape = [2, case["channels"], *(case["shape"][:2] if two_d else case["shape"])]
    target = networks.labels([2, *shape[2:]], case["classes"])
    if seed is None:
        image, _ = networks.image_for(network, shape)
    else:
        generator = torch.Generator().manual_seed(seed)
        randomize(named, generator)
        image = margin_image(network, shape, generator)
    expected = gradients(network, named, image, target)
    rows = {"runner": runners(bench, case, named, image, target)}
    network.float()
    torch.set_default_dtype(torch.float32)
    for label, is_enabled in [("PyTorch, oneDNN", True), ("PyTorch without it", False)]:
        with torch.backends.mkldnn.flags(enabled=is_enabled):
            rows[label] = gradients(network, named, image.float(), target)
    for label, actual in rows.items():
        total, worst, name = differences(expected, actual)
        print(f"{case['name']:<28} {label:<20} {total:.1e}   {worst:.1e} {name}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", help="a built executable of the bench `gradients` of the crate nn")
    arguments = parser.parse_args()
    bench = arguments.bench or built_bench("", "gradients", "nn")
    for case in networks.CASES:
        compare(bench, case, None)
    for seed, case in enumerate(networks.CASES):
        compare(bench, wide(case), seed)


if __name__ == "__main__":
    main()

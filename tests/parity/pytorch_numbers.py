"""Writes the expected values of tests/pytorch.rs with PyTorch.

usage: python tests/parity/pytorch_numbers.py tests/parity/pytorch

Weights and inputs are formulas that the Rust test repeats, so only results are stored.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
torch.set_num_threads(1)


def wave(shape, step, scale=1.0):
    """Returns sin(step * i) * scale for i = 1, 2, ..., computed in double precision."""
    count = 1
    for size in shape:
        count *= size
    index = torch.arange(count, dtype=torch.float64)
    return (torch.sin(step * (index + 1)) * scale).reshape(shape).float()


def one_hot(shape, classes):
    """Returns one-hot targets; the class of voxel i is (i * 7 + i // 5) % classes."""
    count = shape[0] * shape[1] * shape[2] * shape[3]
    index = torch.arange(count)
    target = ((index * 7 + index // 5) % classes).reshape(shape)
    return F.one_hot(target, classes).permute(0, 4, 1, 2, 3).float()


class Block(nn.Module):
    def __init__(self, input, output, norm, activation, residual, stride=1):
        super().__init__()
        self.conv1 = nn.Conv3d(input, output, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv3d(output, output, 3, padding=1)
        self.norm1, self.norm2 = norm(output), norm(output)
        self.residual = residual
        if residual and (input != output or stride != 1):
            self.shortcut = nn.Conv3d(input, output, 1, stride=stride)
        self.activation = activation

    def forward(self, x):
        hidden = self.activation(self.norm1(self.conv1(x)))
        hidden = self.norm2(self.conv2(hidden))
        if self.residual:
            hidden = hidden + (self.shortcut(x) if hasattr(self, "shortcut") else x)
        return self.activation(hidden)


class Level(Block):
    """A decoder level with its own upsampling."""


class Unet(nn.Module):
    def __init__(self, channels, classes, widths, norm="none", activation="relu", downsample="max_pool",
                 upsample="trilinear", residual=False):
        super().__init__()
        make_norm = {
            "none": lambda width: nn.Identity(),
            "instance": lambda width: nn.InstanceNorm3d(width, affine=True),
            "batch": lambda width: nn.BatchNorm3d(width),
            "group": lambda width: nn.GroupNorm(max(width // 8, 1), width),
        }[norm]
        act = {"relu": F.relu, "leaky_relu": F.leaky_relu}[activation]
        self.downsample, self.upsample = downsample, upsample
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        previous = channels
        for level, width in enumerate(widths):
            stride = 2 if level > 0 and downsample == "strided_conv" else 1
            self.encoder.append(Block(previous, width, make_norm, act, residual, stride))
            previous = width
        for width in reversed(widths[:-1]):
            below = width if upsample == "transposed_conv" else previous
            block = Level(below + width, width, make_norm, act, residual)
            if upsample == "transposed_conv":
                block.up = nn.ConvTranspose3d(previous, width, 2, stride=2)
            self.decoder.append(block)
            previous = width
        self.head = nn.Conv3d(previous, classes, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.encoder):
            if level > 0:
                skips.append(x)
                if self.downsample == "max_pool":
                    x = F.max_pool3d(x, 2)
            x = block(x)
        for block, skip in zip(self.decoder, reversed(skips)):
            if self.upsample == "trilinear":
                x = F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)
            elif self.upsample == "nearest":
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            else:
                x = block.up(x)
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)


def fill(net):
    """Fills each parameter with a wave; its step depends on the index of the parameter in the order of names."""
    with torch.no_grad():
        for index, (name, value) in enumerate(sorted(net.named_parameters())):
            fan_in = max(value[0].numel(), 1) if value.dim() > 1 else 8
            offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            value.copy_(wave(value.shape, 0.7 + 0.01 * index, fan_in ** -0.5) + offset)


def summary(value):
    """Summarizes a tensor: its sum, its sum of squares, and up to 12 of its values."""
    flat = value.detach().double().flatten()
    indices = sorted({int(i) for i in torch.linspace(0, len(flat) - 1, min(12, len(flat))).tolist()})
    return {"sum": flat.sum().item(), "squares": (flat * flat).sum().item(), "indices": indices,
            "values": [flat[i].item() for i in indices]}


def networks():
    cases = [
        dict(spec=dict(widths=[4, 8, 16]), channels=1, classes=3, shape=[8, 12, 16]),
        dict(spec=dict(widths=[4, 8], norm="instance", activation="leaky_relu", upsample="nearest"),
             channels=2, classes=2, shape=[6, 4, 10]),
        dict(spec=dict(widths=[8, 16], norm="group", upsample="transposed_conv"), channels=1, classes=3, shape=[4, 6, 8]),
        dict(spec=dict(widths=[4, 8, 8], norm="instance", downsample="strided_conv", residual=True),
             channels=1, classes=3, shape=[8, 8, 12]),
        dict(spec=dict(widths=[4, 8], norm="batch", residual=True), channels=1, classes=2, shape=[4, 4, 6]),
        dict(spec=dict(widths=[32, 64, 128, 256]), channels=1, classes=3, shape=[16, 8, 8]),
    ]
    for case in cases:
        net = Unet(case["channels"], case["classes"], **case["spec"])
        case["num_parameters"] = sum(value.numel() for value in net.parameters())
        fill(net)
        net.train()
        image = wave([2, case["channels"], *case["shape"]], 0.37)
        target = one_hot([2, *case["shape"]], case["classes"])
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        logits = net(image)
        loss = F.binary_cross_entropy_with_logits(logits, target)
        loss.backward()
        case["logits"] = summary(logits)
        case["loss"] = loss.item()
        case["gradients"] = {name: summary(value.grad) for name, value in sorted(net.named_parameters())}
        net.eval()
        with torch.no_grad():
            case["inference"] = summary(net(image))
        optimizer.step()
        case["after_adam"] = {name: summary(value) for name, value in sorted(net.named_parameters())}
    return cases


def layers():
    """Returns the output, and the gradient of sum(output * wave), of pooling with ties and of upsampling."""
    results = {}
    # Rounded to thirds, so that many windows contain equal values.
    for name, shape, function in [
        ("max_pool", [2, 3, 4, 6, 8], lambda x: F.max_pool3d(x, 2)),
        ("trilinear", [2, 3, 3, 4, 5], lambda x: F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)),
        ("nearest", [2, 3, 3, 4, 5], lambda x: F.interpolate(x, scale_factor=2, mode="nearest")),
    ]:
        image = (torch.round(wave(shape, 0.37) * 3) / 3).requires_grad_()
        output = function(image)
        (output * wave(output.shape, 0.11)).sum().backward()
        results[name] = {"shape": shape, "output": output.detach().flatten().tolist(), "gradient": image.grad.flatten().tolist()}
    return results


def soft_dice(logits, target, smooth, batch, background, weights):
    """Computes nnU-Net's SoftDiceLoss + 1, with a weighted mean over classes."""
    probabilities = torch.softmax(logits, 1)
    axes = [0, 2, 3, 4] if batch else [2, 3, 4]
    common = (probabilities * target).sum(axes)
    total = probabilities.sum(axes) + target.sum(axes)
    dice = (2 * common + smooth) / (total + smooth)
    weights = torch.ones(logits.shape[1]) if weights is None else torch.tensor(weights)
    if not background:
        weights = weights * torch.tensor([0.0] + [1.0] * (logits.shape[1] - 1))
    return 1 - (dice * weights).sum(-1).mean() / weights.sum()


def losses():
    shape, classes = [2, 3, 4, 5], 3
    weights = [0.5, 1.0, 4.0]
    indices = lambda target: target.argmax(1)
    broadcast = torch.tensor(weights).reshape(1, 3, 1, 1, 1)

    def focal(x, t, gamma):
        log_p = torch.log_softmax(x, 1)
        return (-(1 - log_p.exp()) ** gamma * log_p * t).sum(1).mean()

    cases = {
        "binary_cross_entropy: {}": lambda x, t: F.binary_cross_entropy_with_logits(x, t),
        "binary_cross_entropy: {class_weights: [0.5, 1, 4]}": lambda x, t: F.binary_cross_entropy_with_logits(x, t, weight=broadcast),
        "cross_entropy: {}": lambda x, t: F.cross_entropy(x, indices(t)),
        "cross_entropy: {class_weights: [0.5, 1, 4]}": lambda x, t: F.cross_entropy(x, indices(t), weight=torch.tensor(weights)),
        "dice: {}": lambda x, t: soft_dice(x, t, 1e-5, False, False, None),
        "dice: {batch: true, background: true, smooth: 1.0}": lambda x, t: soft_dice(x, t, 1.0, True, True, None),
        "dice: {class_weights: [0.5, 1, 4]}": lambda x, t: soft_dice(x, t, 1e-5, False, False, weights),
        "dice_cross_entropy: {}": lambda x, t: soft_dice(x, t, 1e-5, False, False, None) + F.cross_entropy(x, indices(t)),
        "dice_cross_entropy: {dice_weight: 0.5, cross_entropy_weight: 2, batch: true}":
            lambda x, t: 0.5 * soft_dice(x, t, 1e-5, True, False, None) + 2 * F.cross_entropy(x, indices(t)),
        "focal: {}": lambda x, t: focal(x, t, 2.0),
        "focal: {gamma: 0}": lambda x, t: F.cross_entropy(x, indices(t)),
    }
    results = []
    for text, function in cases.items():
        logits = wave([shape[0], classes, *shape[1:]], 0.37, 5.0).requires_grad_()
        loss = function(logits, one_hot(shape, classes))
        loss.backward()
        results.append({"yaml": text, "loss": loss.item(), "gradient": logits.grad.flatten().tolist()})
    return {"shape": shape, "classes": classes, "cases": results}


def optimizers():
    """Returns the parameter values after each of ten steps with the gradient g = p + wave."""
    cases = {
        "adam: {learning_rate: 0.1}": lambda p: torch.optim.Adam(p, lr=0.1),
        "adam: {learning_rate: 0.1, betas: [0.8, 0.95], epsilon: 1.0e-3, weight_decay: 0.1}":
            lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
        "adamw: {learning_rate: 0.1}": lambda p: torch.optim.AdamW(p, lr=0.1),
        "sgd: {learning_rate: 0.1}": lambda p: torch.optim.SGD(p, lr=0.1),
        "sgd: {learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01}":
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "sgd: {learning_rate: 0.1, momentum: 0.9, nesterov: true}":
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    }
    results = []
    for text, make in cases.items():
        value = wave([6], 0.9).requires_grad_()
        optimizer = make([value])
        steps = []
        for step in range(10):
            value.grad = value.detach() + wave([6], 0.3 + 0.1 * step)
            optimizer.step()
            steps.append(value.detach().tolist())
        results.append({"yaml": text, "steps": steps})
    return results


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in [("networks", networks()), ("layers", layers()), ("losses", losses()), ("optimizers", optimizers())]:
        (folder / f"{name}.json").write_text(json.dumps({"torch": torch.__version__.split("+")[0], "data": value}) + "\n")

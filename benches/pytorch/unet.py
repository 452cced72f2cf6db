"""The network of an experiment in PyTorch, with the same parameter names."""

import torch
from torch import nn
from torch.nn.functional import interpolate, leaky_relu, max_pool3d, relu


class Block(nn.Module):
    def __init__(self, input, output, spec):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv3d(input, output, 3, padding=1), nn.Conv3d(output, output, 3, padding=1)
        norm = (lambda: nn.InstanceNorm3d(output, affine=True)) if spec.get("norm") == "instance" else nn.Identity
        self.norm1, self.norm2 = norm(), norm()
        self.activation = (lambda x: leaky_relu(x, 0.01)) if spec.get("activation") == "leaky_relu" else relu

    def forward(self, x):
        x = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(x)))


class Unet(nn.Module):
    def __init__(self, channels, classes, spec):
        super().__init__()
        widths = spec["widths"]
        self.encoder = nn.ModuleList(Block(i, o, spec) for i, o in zip([channels, *widths], widths))
        up = widths[::-1]
        self.decoder = nn.ModuleList(Block(low + skip, skip, spec) for low, skip in zip(up, up[1:]))
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(max_pool3d(x, 2) if level else x)
            skips.append(x)
        for block, skip in zip(self.decoder, skips[-2::-1]):
            x = interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)

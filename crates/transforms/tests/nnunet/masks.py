"""Writes the numbers that `crates/transforms/tests/nnunet_masks.rs` compares with: what batchgeneratorsv2 computes for the
masks that are input of a cascade's second stage, for given parameters.

usage: python masks.py  (batchgeneratorsv2 0.3.6, torch 2.12.1; writes masks.json beside it)

The steps treat all axes alike, so arrays are [mask, x, y, z] here too.
"""

import json
from pathlib import Path

import numpy as np
import torch
from batchgeneratorsv2.transforms.nnunet import random_binary_operator as operators
from batchgeneratorsv2.transforms.nnunet.remove_connected_components import (
    RemoveRandomConnectedComponentFromOneHotEncodingTransform,
)

SHAPE = (13, 17, 15)
LABELS = 3


def masks():
    """Ellipsoids of labels 1 to 3, which touch each other and the border; the test repeats the formula."""
    x, y, z = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    label = np.zeros(SHAPE, int)
    for index, (centre, radius) in enumerate([((3, 5, 2), 5), ((9, 12, 8), 4), ((6, 8, 12), 3), ((11, 2, 13), 2)]):
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2
        label[inside] = index % LABELS + 1
    label[(7 * x + 5 * y + 3 * z) % 23 == 0] = 0
    return torch.stack([torch.from_numpy(label == index + 1) for index in range(LABELS)]).float()


def runs(mask):
    """The lengths of alternating runs of 0 and 1, starting with 0."""
    values = mask.numpy().astype(int).ravel()
    ends = np.flatnonzero(np.diff(values)) + 1
    lengths = np.diff([0, *ends, values.size]).tolist()
    return lengths if values[0] == 0 else [0, *lengths]


def morphology(steps):
    names = {
        "dilation": operators.binary_dilation_torch,
        "erosion": operators.binary_erosion_torch,
        "closing": operators.binary_closing_torch,
        "opening": operators.binary_opening_torch,
    }
    transform = operators.ApplyRandomBinaryOperatorTransform(channel_idx=list(range(LABELS)), strel_size=(1, 8))
    image = transform._apply_to_image(
        masks(),
        apply_to_channels=[mask for mask, _, _ in steps],
        operators=[names[name] for _, name, _ in steps],
        strel_size=[radius for _, _, radius in steps],
    )
    params = [{"mask": mask, "operation": name, "radius": radius} for mask, name, radius in steps]
    return {"params": {"random_morphology": params}, "masks": [runs(mask) for mask in image]}


def removal(mask, component, max_fraction, into=None):
    transform = RemoveRandomConnectedComponentFromOneHotEncodingTransform(
        channel_idx=list(range(LABELS)),
        fill_with_other_class_p=float(into is not None),
        dont_do_if_covers_more_than_x_percent=max_fraction,
    )
    chosen = np.random.choice
    # The first choice is that of the component, the second that of the other label.
    choices = iter([lambda valid: valid[int(component * len(valid))], lambda others: into])
    np.random.choice = lambda items: next(choices)(items)
    image = transform._apply_to_image(masks(), apply_to_channels=[mask])
    np.random.choice = chosen
    params = [{"mask": mask, "component": component, "into": into}]
    return {"params": {"remove_component": params}, "max_fraction": max_fraction, "masks": [runs(m) for m in image]}


radii = [1, 1.3, 1.5, 1.9, 2, 2.5, 2.7, 3, 4.2, 6.9, 8]
out = {
    "morphology": [morphology([(index % LABELS, name, radius)])
                   for index, radius in enumerate(radii) for name in ("dilation", "erosion", "closing", "opening")]
    + [morphology([(2, "dilation", 2.2), (0, "closing", 3.4), (1, "opening", 1.2)])],
    "removals": [removal(mask, component, fraction, into) for mask, component, fraction, into in [
        (0, 0.0, 0.15, None), (0, 0.99, 0.15, None), (0, 0.5, 0.05, None), (1, 0.3, 0.15, 2), (2, 0.7, 0.001, None)]],
}
(Path(__file__).resolve().parent / "masks.json").write_text(json.dumps(out) + "\n")

"""Writes the expected values of tests/samplers.rs with TorchIO 1.2.1.

usage: python tests/parity/torchio_samplers.py tests/parity/torchio

Maps are formulas that the Rust test repeats, so only results are stored.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchio as tio

SHAPE = [9, 8, 7]

GRIDS = [
    ([9, 8, 7], [4, 4, 4], [2, 0, 2]),
    ([10, 10, 10], [5, 5, 5], [2, 4, 0]),
    ([12, 6, 7], [4, 6, 3], [0, 4, 2]),
    ([7, 7, 7], [7, 7, 7], [0, 0, 0]),
    ([13, 5, 9], [6, 2, 3], [4, 0, 0]),
]

PATCHES = [[4, 3, 2], [1, 1, 1], [5, 6, 7]]

PROBABILITIES = {"0": 0.2, "1": 0.3, "2": 0.5, "7": 3.0}


def waves():
    index = np.arange(np.prod(SHAPE), dtype=np.float64)
    return np.sin(0.37 * index) * 50 + np.cos(0.05 * index) * 10


def subject():
    values = waves()
    labels = (values > 0).astype(np.int16) + (values > 50).astype(np.int16)
    weights = np.clip(values, 0, None).astype(np.float32)
    as_tensor = lambda array: torch.from_numpy(array.reshape(1, *SHAPE))
    return tio.Subject(
        image=tio.ScalarImage(tensor=as_tensor(values.astype(np.float32))),
        label=tio.LabelMap(tensor=as_tensor(labels)),
        weights=tio.ScalarImage(tensor=as_tensor(weights)),
    )


def probabilities(sampler):
    """Returns the probability of each voxel to be the centre of a patch."""
    whole = subject()
    volume = sampler.process_probability_map(sampler.get_probability_map(whole), whole)
    volume = np.asarray(volume, dtype=np.float64).reshape(-1)
    return (volume / volume.sum()).tolist()


def main(folder):
    grids = []
    for shape, patch, overlap in GRIDS:
        image = tio.Subject(image=tio.ScalarImage(tensor=torch.zeros(1, *shape)))
        starts = tio.GridSampler(image, patch, overlap).locations[:, :3].tolist()
        grids.append(dict(shape=shape, patch=patch, overlap=overlap, starts=starts))
    centres = []
    for patch in PATCHES:
        weighted = tio.WeightedSampler(patch, "weights")
        centres.append(dict(yaml=f"weighted: {{patch: {patch}, map: weights.nii}}", probabilities=probabilities(weighted)))
        label = tio.LabelSampler(patch, "label", {int(label): p for label, p in PROBABILITIES.items()})
        written = ", ".join(f"{label}: {p}" for label, p in PROBABILITIES.items())
        yaml = f"label: {{patch: {patch}, probabilities: {{{written}}}}}"
        centres.append(dict(yaml=yaml, probabilities=probabilities(label)))
        centres.append(dict(yaml=f"label: {{patch: {patch}}}", probabilities=probabilities(tio.LabelSampler(patch, "label"))))
    text = json.dumps(dict(shape=SHAPE, grids=grids, centres=centres))
    (Path(folder) / "samplers.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""Writes the bounding boxes of nnU-Net's data loader for tests/samplers.rs.

usage: python -P tests/parity/nnunet_sampler.py    # nnunetv2 2.8.1

-P keeps this folder, whose statistics.py would replace Python's, out of the path of modules.

The positions of patches without guaranteed foreground are given by the first and the last one that the loader draws from,
those of the others by the voxel that it draws.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

LABELS = SimpleNamespace(all_labels=[1], has_ignore_label=False)


def boxes(shape, patch, cut):
    loader = nnUNetDataLoader(SimpleNamespace(identifiers=["case"]), 2, cut, patch, LABELS, 0.33)
    with mock.patch("numpy.random.randint", side_effect=lambda low, high: low):
        first, _ = loader.get_bbox(np.array(shape), False, None)
    with mock.patch("numpy.random.randint", side_effect=lambda low, high: high - 1):
        last, _ = loader.get_bbox(np.array(shape), False, None)
    corners = [[0, 0, 0], [n - 1 for n in shape], [n // 2 for n in shape], [0, shape[1] - 1, shape[2] // 3]]
    around = []
    for voxel in corners:
        start, end = loader.get_bbox(np.array(shape), True, {1: np.array([[0, *voxel]])})
        assert [e - s for s, e in zip(start, end)] == list(cut)
        around.append({"voxel": voxel, "start": [int(i) for i in start]})
    integers = lambda values: [int(value) for value in values]
    return {"shape": shape, "patch": patch, "cut": cut, "first": integers(first), "last": integers(last), "around": around}


def main():
    cases = [
        ([12, 10, 9], [4, 3, 3], [4, 3, 3]),
        ([12, 10, 9], [4, 4, 4], [7, 6, 9]),
        ([5, 4, 6], [8, 7, 6], [8, 7, 6]),
        ([5, 4, 6], [8, 7, 6], [11, 12, 7]),
        ([6, 9, 3], [4, 4, 4], [9, 9, 9]),
        ([3, 2, 1], [2, 2, 2], [5, 4, 4]),
    ]
    batches = {}
    for size in [1, 2, 3, 4, 5, 9, 12]:
        loader = nnUNetDataLoader(SimpleNamespace(identifiers=["case"]), size, [4] * 3, [4] * 3, LABELS, 0.33)
        batches[size] = [bool(loader.get_do_oversample(index)) for index in range(size)]
    out = Path(__file__).parent / "nnunet" / "sampler.json"
    out.parent.mkdir(exist_ok=True)
    content = {"boxes": [boxes(*case) for case in cases], "guaranteed": batches}
    out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Writes the expected folds of crates/dataset/tests/nnunet_folds.rs with nnU-Net's own function.

usage: python crates/dataset/tests/nnunet_folds/folds.py

Needs nnunetv2 and what it depends on. Names are formulas that the Rust test repeats; of each fold the indices of the
validation subjects are stored.
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from nnunetv2.utilities.crossval_split import generate_crossval_split

COUNTS = [5, 6, 7, 20, 131, 200, 257, 1000]


def names(count):
    """Returns case_0, case_1, ..., whose sorted order is not that of the numbers."""
    return [f"case_{index}" for index in range(count)]


def folds(count):
    # As in nnUNetTrainer.do_split.
    splits = generate_crossval_split(list(np.sort(names(count))), seed=12345, n_splits=5)
    for split in splits:
        assert sorted([*split["train"], *split["val"]]) == sorted(names(count))
    return [sorted(int(name.removeprefix("case_")) for name in split["val"]) for split in splits]


def main():
    versions = {name: importlib.metadata.version(name) for name in ("nnunetv2", "scikit-learn", "numpy")}
    cases = ",\n".join(json.dumps({"count": count, "val": folds(count)}) for count in COUNTS)
    path = Path(__file__).with_name("folds.json")
    path.write_text(f'{{"versions": {json.dumps(versions)}, "cases": [\n{cases}\n]}}\n')


if __name__ == "__main__":
    main()

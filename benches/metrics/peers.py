"""Times the metrics of MONAI, surface-distance and MedPy on a pair of label maps, in their virtual environment.

usage: python peers.py PREDICTION TRUTH REPEATS NAME

The masks (one-hot for MONAI, one per label for the others) are made before the clock starts. Prints JSON.
"""

import importlib.metadata
import json
import sys
import time
import warnings
from functools import partial

import nibabel
import numpy as np
import scipy.ndimage
import torch

# surface-distance uses these names, which NumPy and SciPy have removed.
np.Inf, np.NaN = np.inf, np.nan
scipy.ndimage.filters = scipy.ndimage.morphology = scipy.ndimage
warnings.filterwarnings("ignore")

import medpy.metric.binary as medpy
import monai.metrics as monai
import surface_distance as deepmind

LABELS = (1, 2)
TOLERANCE = 2.0


def read(path):
    image = nibabel.load(path)
    spacing = tuple(float(step) for step in image.header.get_zooms())
    return np.asanyarray(image.dataobj), spacing


def by_class(function, prediction, truth, spacing):
    """Returns a function that computes a metric of one mask for each label."""
    masks = [(prediction == label, truth == label) for label in LABELS]
    return lambda: [float(function(*pair, spacing)) for pair in masks]


def one_hot(function, prediction, truth, spacing):
    """Returns a function that computes a MONAI metric for all labels together."""
    pair = [torch.from_numpy(np.stack([labels == label for label in (0, *LABELS)])[None]) for labels in (prediction, truth)]
    pair = [masks.float() for masks in pair]
    return lambda: function(*pair, spacing=spacing).flatten().tolist()


def surface_distance(score):
    return lambda prediction, truth, spacing: score(deepmind.compute_surface_distances(truth, prediction, spacing))


def deepmind_all(prediction, truth, spacing):
    distances = deepmind.compute_surface_distances(truth, prediction, spacing)
    deepmind.compute_robust_hausdorff(distances, 95)
    return deepmind.compute_surface_dice_at_tolerance(distances, TOLERANCE)


PEERS = {
    "monai hd95": partial(one_hot, partial(monai.compute_hausdorff_distance, percentile=95)),
    "monai assd": partial(one_hot, partial(monai.compute_average_surface_distance, symmetric=True)),
    "monai nsd": partial(
        one_hot, partial(monai.compute_surface_dice, class_thresholds=[TOLERANCE] * len(LABELS), use_subvoxels=True)
    ),
    "surface-distance hd95": partial(by_class, surface_distance(lambda d: deepmind.compute_robust_hausdorff(d, 95))),
    "surface-distance nsd": partial(
        by_class, surface_distance(lambda d: deepmind.compute_surface_dice_at_tolerance(d, TOLERANCE))
    ),
    "surface-distance hd95 and nsd": partial(by_class, deepmind_all),
    "medpy hd95": partial(by_class, lambda p, t, spacing: medpy.hd95(p, t, voxelspacing=spacing)),
    "medpy assd": partial(by_class, lambda p, t, spacing: medpy.assd(p, t, voxelspacing=spacing)),
}


def main():
    prediction, truth, repeats, name = sys.argv[1:]
    (prediction, spacing), (truth, _) = read(prediction), read(truth)
    score = PEERS[name](prediction, truth, spacing)
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        scores = score()
        seconds.append(time.perf_counter() - start)
    packages = ["monai", "surface-distance", "medpy", "torch", "numpy", "scipy"]
    versions = {package: importlib.metadata.version(package) for package in packages}
    print(json.dumps({"scores": scores, "seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()

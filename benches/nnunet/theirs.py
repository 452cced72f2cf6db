"""Augments patches by nnU-Net's transforms, batchgeneratorsv2's classes, and prints patches per second, and per second of
processor time, as JSON.

usage: python theirs.py CHAIN.yaml [--workers N] [--seconds S]

Each worker is a process with one thread, as in nnU-Net's data loader, and augments the same larger patch, which is in memory.
The transforms are those of nnUNetTrainer.get_training_transforms for the patch of the file, without downsampled targets.
"""

import argparse
import json
import multiprocessing
import time

import numpy as np
import torch
import yaml
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def chain(patch):
    """Returns the transforms for a patch, and the larger patch that they start from; both along z, y and x."""
    is_2d = max(patch) / patch[0] > 3
    angle = np.pi if is_2d else np.pi / 6
    rotation = (-angle, angle)
    larger = get_patch_size(patch, rotation, rotation, rotation, (0.85, 1.25))
    if is_2d:
        larger[0] = patch[0]
    transforms = nnUNetTrainer.get_training_transforms(patch, rotation, None, (0, 1, 2), is_2d)
    return transforms, [int(size) for size in larger]


def volume(shape, channels):
    """Returns a smooth image with noise, and two nested balls as labels."""
    axes = [2 * np.arange(size) / size - 1 for size in shape]
    radius = sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij"))
    image = np.cos(radius * 7) + np.sin(np.arange(radius.size).reshape(shape) * 0.7) * 0.2
    labels = (radius < 0.3).astype(np.int16) + (radius < 0.1)
    return np.stack([image.astype(np.float32)] * channels), labels[None].astype(np.int16)


def work(patch, channels, seconds, seed, start, results):
    torch.set_num_threads(1)
    np.random.seed(seed)
    torch.manual_seed(seed)
    transforms, larger = chain(patch)
    image, labels = volume(larger, channels)

    def augment():
        """Augments once and returns the seconds and those of processor time, without those for copying the input, which some
        transforms change."""
        data = dict(image=torch.from_numpy(image.copy()), segmentation=torch.from_numpy(labels.copy()))
        begin = np.array([time.monotonic(), time.process_time()])
        data = transforms(**data)
        elapsed = np.array([time.monotonic(), time.process_time()]) - begin
        assert data["image"].shape[1:] == tuple(patch)
        return elapsed

    with torch.no_grad():
        for _ in range(20):
            # Measures which convolution is faster, and fills caches.
            augment()
        start.wait()
        total, count = 0, 0
        while np.max(total) < seconds:
            total = total + augment()
            count += 1
        results.put(count / total)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chain")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    with open(arguments.chain) as file:
        document = yaml.safe_load(file)
    patch = document["patch"][::-1]
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(arguments.workers), context.Queue()
    processes = [
        context.Process(target=work, args=(patch, document["channels"], arguments.seconds, seed, start, results))
        for seed in range(arguments.workers)
    ]
    for process in processes:
        process.start()
    rates = np.array([results.get() for _ in processes])
    for process in processes:
        process.join()
    result = {"input": chain(patch)[1][::-1], "patches_per_second": rates[:, 0].sum()}
    print(json.dumps(dict(result, patches_per_processor_second=rates[:, 1].mean())))


if __name__ == "__main__":
    main()

"""Runs TorchIO in a separate process, which compare.py starts.

Each event is printed as a line of JSON with the time of a clock that all processes share.
"""

import json
import time


def emit(event, **details):
    print(json.dumps({"event": event, "time": time.monotonic(), **details}), flush=True)


emit("started")

import argparse  # noqa: E402
import csv  # noqa: E402
import importlib.metadata  # noqa: E402
import platform  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402
import torchio as tio  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

emit("imported")
# None of the warnings concerns the measurements.
warnings.filterwarnings("ignore")

PATCH = (96, 96, 96)
PROBABILITIES = {0: 0.2, 1: 0.3, 2: 0.5}
SAMPLES_PER_VOLUME = 5
QUEUE_LENGTH = 40
BATCH_SIZE = 2


def affine():
    return tio.RandomAffine(scales=(0.9, 1.1), degrees=(-10, 10))


def preprocessing():
    return [tio.CropOrPad((256, 256, 100)), tio.RescaleIntensity((-1, 1))]


def elastic():
    return tio.RandomElasticDeformation(num_control_points=7, max_displacement=7.5, locked_borders=2)


CHAINS = {
    "recipe": lambda: [*preprocessing(), affine()],
    "prepared": lambda: [affine()],
    "elastic": lambda: [
        *preprocessing(),
        elastic(),
        affine(),
        tio.RandomGamma(log_gamma=(-0.3, 0.3)),
        tio.RandomNoise(mean=0, std=(0, 0.25)),
    ],
}


def read_subjects(table):
    with open(table, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["subject"] != "validation"]
    return [
        tio.Subject(name=row["subject"], image=tio.ScalarImage(row["image"]), label=tio.LabelMap(row["label"]))
        for row in rows
    ]


def label_sampler():
    return tio.LabelSampler(PATCH, label_name="label", label_probabilities=PROBABILITIES)


def batches_of_patches(subjects, chain, workers, fills):
    # One more repetition of the subjects than needed keeps the workers busy until the last batch, as in a long epoch.
    dataset = tio.SubjectsDataset(subjects * (fills + 1), transform=tio.Compose(CHAINS[chain]()))
    queue = tio.Queue(dataset, QUEUE_LENGTH, SAMPLES_PER_VOLUME, label_sampler(), num_workers=workers)
    return iter(DataLoader(queue, batch_size=BATCH_SIZE, num_workers=0))


def stream(arguments):
    """Samples batches until the queue has been emptied `fills` times."""
    subjects = read_subjects(arguments.subjects)
    batches = batches_of_patches(subjects, arguments.chain, arguments.workers, arguments.fills)
    batches_per_fill = QUEUE_LENGTH // BATCH_SIZE
    for number in range(1, arguments.fills * batches_per_fill + 1):
        batch = next(batches)
        assert batch["image"]["data"].shape == (BATCH_SIZE, 1, *PATCH)
        if number == 1:
            emit("first_batch")
        if number % batches_per_fill == 0:
            emit(f"fill_{number // batches_per_fill}")


def first(arguments):
    """Samples one patch from the first subject."""
    subject = read_subjects(arguments.subjects)[0]
    patch = next(label_sampler()(subject, num_patches=1))
    assert patch["image"]["data"].shape == (1, *PATCH)
    emit("first_patch")


def prepare(arguments):
    """Writes preprocessed volumes, uncompressed, and their table."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for subject in read_subjects(arguments.subjects):
        subject = tio.Compose(preprocessing())(subject)
        image = arguments.out / f"{subject['name']}_image.nii"
        label = arguments.out / f"{subject['name']}_label.nii"
        subject["image"].save(image)
        subject["label"].save(label)
        rows.append([subject["name"], image, label])
    with open(arguments.out / "subjects.csv", "w", newline="") as file:
        csv.writer(file).writerows([["subject", "image", "label"], *rows])


def versions(_arguments):
    packages = ["torch", "torchio", "SimpleITK", "numpy", "nibabel"]
    installed = {package: importlib.metadata.version(package) for package in packages}
    emit("versions", versions={"python": platform.python_version(), **installed, "torch threads": torch.get_num_threads()})


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (stream, first, prepare, versions):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("--subjects", type=Path)
        command.add_argument("--chain", choices=CHAINS)
        command.add_argument("--workers", type=int)
        command.add_argument("--fills", type=int)
        command.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    arguments.function(arguments)

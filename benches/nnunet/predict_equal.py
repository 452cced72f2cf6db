"""Compares label maps of runner and nnU-Net for trained models of nnU-Net, voxel by voxel.

usage, from the root of the repository:
    nnunet/bin/python benches/nnunet/predict_equal.py --runner target/release/runner --models FOLDER [--cases N] [MODEL ...]

`FOLDER` has nnUNet_raw and nnUNet_results, as models.py makes them; MODEL is a path below nnUNet_results, such as
Dataset004_Plain/nnUNetTrainer__nnUNetPlans__3d_fullres (default: all). Each model is imported by `runner import nnunet`, and its
images of imagesTs are predicted by `runner predict` with all folds and by nnUNetPredictor. Prints for each case the fraction of
equal voxels, and how far the differing ones are from a tie in nnU-Net's own probabilities: the difference between its label's
and runner's, or of a region from 0.5. Exits with 1 if fewer than 99.99 % are equal or a voxel is farther than 1e-3.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
for name in ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]:
    os.environ.setdefault(name, tempfile.gettempdir())

MIN_EQUAL, MAX_DISTANCE = 0.9999, 1e-3


def predictor(model):
    """Opens all folds of a model with nnU-Net."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    opened = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    opened.initialize_from_trained_model_folder(str(model), None)
    return opened


def theirs(opened, images):
    """Returns nnU-Net's label map and probabilities of an image, with the axes of the file."""
    import numpy as np

    reader = opened.plans_manager.image_reader_writer_class()
    data, properties = reader.read_images(images)
    labels, probabilities = opened.predict_single_npy_array(data, properties, None, None, True)
    return np.asarray(labels).transpose(2, 1, 0), np.asarray(probabilities).transpose(0, 3, 2, 1)


def distances(ours, labels, probabilities, manager):
    """Returns the distance from a tie of each voxel whose labels differ."""
    import numpy as np

    where = np.nonzero(ours != labels)
    if manager.has_regions:
        # The label map follows from the regions whose probability is above 0.5; the closest one to it may be the other.
        return np.abs(probabilities[:, *where] - 0.5).min(0)
    return probabilities[labels[where], *where] - probabilities[ours[where], *where]


def compare(model, arguments, folder):
    import nibabel
    import numpy as np

    raw = arguments.models / "nnUNet_raw" / model.parent.name / "imagesTs"
    cases = sorted({path.name[: -len("_0000.nii.gz")] for path in raw.glob("*_0000.nii.gz")})[: arguments.cases]
    run = [arguments.runner, "import", "nnunet", str(model), "--runs-dir", str(folder / "runs"), "--name", "model"]
    roots = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    out = folder / "ours"
    command = [arguments.runner, "predict", "--out", str(out), "--device", arguments.device, "--quiet"]
    command += [argument for root in roots for argument in ["--run", root]]
    opened = predictor(model)
    channels = len(opened.dataset_json["channel_names"])
    for channel in range(channels):
        command += ["--channel", str(raw / f"*_{channel:04}.nii.gz")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    fine = True
    for case in cases:
        labels, probabilities = theirs(opened, [str(raw / f"{case}_{channel:04}.nii.gz") for channel in range(channels)])
        ours = np.asarray(nibabel.load(out / f"{case}.nii.gz").dataobj).astype(int)
        far = distances(ours, labels.astype(int), probabilities, opened.label_manager)
        equal, farthest = 1 - len(far) / ours.size, max(far, default=0.0)
        good = equal >= MIN_EQUAL and farthest <= MAX_DISTANCE
        fine &= good
        print(f"{model.parent.name}/{model.name} {case}: {100 * equal:.4f} % of {ours.size} equal, {len(far)} differ, at most "
              f"{farthest:.1e} from a tie, {(labels > 0).sum()} in the foreground{'' if good else '  <-- TOO DIFFERENT'}", flush=True)
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runner", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--device", default="flex")
    parser.add_argument("chosen", nargs="*", metavar="MODEL")
    arguments = parser.parse_args()
    results = arguments.models / "nnUNet_results"
    models = [results / name for name in arguments.chosen] or sorted(path.parent for path in results.glob("*/*/plans.json"))
    fine = True
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            fine &= compare(model, arguments, Path(folder))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()

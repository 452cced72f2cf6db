"""Compares label maps of runner and nnU-Net for a cascade, voxel by voxel.

usage, from the root of the repository:
    nnunet/bin/python tests/program/nnunet/make_cascade.py FOLDER
    nnunet/bin/python benches/nnunet/cascade_equal.py --runner target/release/runner FOLDER

`FOLDER` gets the models of both stages, images, and nnU-Net's label maps and probabilities. The second stage is imported by
`runner import nnunet` with the first, which is beside it, and predicts the images with all folds. Prints for each image the
fraction of equal voxels, and how far the differing ones are from a tie in nnU-Net's own probabilities. Exits with 1 if fewer than
99.99 % are equal or a voxel is farther than 1e-3.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np

MIN_EQUAL, MAX_DISTANCE = 0.9999, 1e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runner", required=True)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    model = arguments.folder / "cascade" / "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres"
    images = sorted(arguments.folder.glob("case*_0000.nii.gz"))
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        command = [arguments.runner, "import", "nnunet", str(model), "--runs-dir", str(out / "runs")]
        roots = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        runs = [argument for root in roots for argument in ["--run", root]]
        command = [arguments.runner, "predict", *map(str, images), "--out", str(out), "--device", "flex", "--quiet", *runs]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for image in images:
            case = image.name.removesuffix("_0000.nii.gz")
            theirs = np.load(arguments.folder / f"{case}_theirs.npz")
            labels, probabilities = theirs["labels"].astype(int), theirs["probabilities"]
            ours = np.asarray(nibabel.load(next(out.glob(f"{case}*.nii.gz"))).dataobj).astype(int)
            where = np.nonzero(ours != labels)
            far = probabilities[labels[where], *where] - probabilities[ours[where], *where]
            equal, farthest = 1 - len(far) / ours.size, max(far, default=0.0)
            good = equal >= MIN_EQUAL and farthest <= MAX_DISTANCE
            fine &= good
            print(f"{case}: {100 * equal:.4f} % of {ours.size} equal, {len(far)} differ, at most {farthest:.1e} from a tie, "
                  f"{(labels > 0).sum()} in the foreground{'' if good else '  <-- TOO DIFFERENT'}", flush=True)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()

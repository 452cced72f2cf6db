"""Sets up what the measurements need: TorchIO, `runner`, phantoms and their tables."""

import csv
import os
import subprocess
import sys
import venv
from pathlib import Path

TORCH, TORCHIO = "torch==2.9.0", "torchio==1.2.1"
NUM_SUBJECTS = 8
SPACING = "0.8,0.8,2.0"


def torchio_python(folder):
    """Installs torch and TorchIO in a virtual environment, if they are missing, and returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"creating a virtual environment in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
    missing = []
    if installed_version(python, "torch") is None:
        missing.append(TORCH)
    if installed_version(python, "torchio") != TORCHIO.split("==")[1]:
        missing.append(TORCHIO)
    if missing:
        print(f"installing {' and '.join(missing)} from PyPI", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *missing], check=True)
    return python


def installed_version(python, package):
    """Returns the version of a package in another Python, or None if it is not installed."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def built_runner(root):
    """Builds the release binary from the working tree and returns its path."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=root, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "release" / "runner"


def phantoms(runner, folder, subjects, shape):
    """Writes phantoms and returns their image and label files; existing files are kept."""
    words = [runner, "phantom", folder, "--subjects", str(subjects), "--shape", shape, "--spacing", SPACING]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return [(image, folder / "labelsTr" / image.name) for image in sorted((folder / "imagesTr").glob("*.nii.gz"))]


def table(path, files, validation):
    """Writes a table of subjects; the last one is the validation subject, which an experiment requires."""
    rows = [[f"phantom_{number:03}", image, label] for number, (image, label) in enumerate(files)]
    rows.append(["validation", *validation])
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["subject", "image", "label"], *rows])
    return path


def tables(runner, work):
    """Returns the table of eight subjects and the table of a single, larger subject."""
    tiny = phantoms(runner, work / "tiny", 1, "96,96,96")[0]
    many = phantoms(runner, work / "phantoms", NUM_SUBJECTS, "512,512,150")
    large = phantoms(runner, work / "large", 1, "512,512,200")
    return table(work / "subjects.csv", many, tiny), table(work / "large.csv", large, tiny)


def warm_page_cache(subjects):
    """Reads every file of a table, so that later reads do not depend on the disk."""
    with open(subjects, newline="") as file:
        for row in csv.DictReader(file):
            for column in ("image", "label"):
                Path(row[column]).read_bytes()

"""Times the metrics of runner, MONAI, surface-distance and MedPy on one pair of label maps of the size of a CT.

usage, from the root of the repository: python3 benches/metrics/compare.py [--venv FOLDER] [--json PATH]

All read the same two files of 512 x 512 x 150 voxels, with labels for a liver and its lesions. Not timed are reading the
files and, for the other libraries, making the masks; the time of runner includes the search for the voxels of each label.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = ["torch==2.9.0", "monai==1.6.1", "medpy==0.5.2", "surface-distance==0.1", "nibabel==5.4.2"]

# The metrics of the other libraries, and what runner computes in comparison.
ROWS = [
    ("monai hd95", ["{ hd95: { variant: monai } }"]),
    ("monai assd", ["{ assd: { variant: monai } }"]),
    ("monai nsd", ["{ nsd: { tolerance_mm: 2.0 } }"]),
    ("surface-distance hd95", ["{ hd95: { variant: deepmind } }"]),
    ("surface-distance nsd", ["{ nsd: { tolerance_mm: 2.0 } }"]),
    ("surface-distance hd95 and nsd", ["{ hd95: { variant: deepmind } }", "{ nsd: { tolerance_mm: 2.0 } }"]),
    ("medpy hd95", ["{ hd95: { variant: medpy } }"]),
    ("medpy assd", ["{ assd: { variant: medpy } }"]),
]


def peers_python(folder):
    """Installs the other libraries in a virtual environment and returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"creating a virtual environment in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def json_output(command):
    """Runs a command and parses the last line of its output as JSON."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def built_bench():
    """Builds the bench from the working tree and returns the path of its executable."""
    build = ["cargo", "bench", "--bench", "metrics", "--no-run", "--message-format", "json"]
    done = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "metrics")


def largest_relative_difference(own, theirs):
    """Returns the largest relative difference between two lists of scores."""
    return max(abs(a - b) / abs(b) for a, b in zip(own, theirs))


def machine():
    """Describes the hardware, the system and the commit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "CPU": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "commit": commit.stdout.strip(),
    }


def measured(name, metrics, python, bench, files, arguments):
    theirs = json_output([python, HERE / "peers.py", *files, arguments.peer_repeats, name])
    own = json_output([bench, *files, arguments.repeats, *metrics])[-1]
    row = {"peer": name, "metrics": metrics, "runner_seconds": own["seconds"], "peer_seconds": theirs["seconds"]}
    row["ratio"] = median(theirs["seconds"]) / median(own["seconds"])
    last = own["scores"][-len(theirs["scores"]) :]
    row["largest_relative_difference"] = largest_relative_difference(last, theirs["scores"])
    return row, theirs["versions"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default_work = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runner-bench"
    parser.add_argument("--work", type=Path, default=default_work, help="folder for the two files; they are kept")
    parser.add_argument("--venv", type=Path, help="a virtual environment; by default one in the work folder")
    parser.add_argument("--repeats", type=int, default=11, help="number of measurements of runner")
    parser.add_argument("--peer-repeats", type=int, default=3, help="number of measurements of each other library")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    arguments = parser.parse_args()
    bench = built_bench()
    python = peers_python(arguments.venv or arguments.work / "venv")
    folder = arguments.work.resolve() / "metrics"
    subprocess.run([python, HERE / "pairs.py", folder], check=True)
    files = folder / "prediction.nii.gz", folder / "truth.nii.gz"
    about = {"machine": machine(), "pair": "512 x 512 x 150 voxels of 0.77 x 0.77 x 1 mm, labels 1 and 2"}
    for name, value in about["machine"].items():
        print(f"{name:<10} {value}")
    print("\n| library, metric | library, s | runner, s | times as fast | scores differ by |\n|---|---|---|---|---|")
    rows = []
    for name, metrics in ROWS:
        row, about["versions"] = measured(name, metrics, python, bench, files, arguments)
        rows.append(row)
        times = f"{median(row['peer_seconds']):.2f} | {median(row['runner_seconds']):.4f} | {row['ratio']:.0f}"
        print(f"| {name} | {times} | {row['largest_relative_difference']:.1e} |", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    print("\nMedians; runner uses every core.", *(f"{key} {value}" for key, value in about["versions"].items()))


if __name__ == "__main__":
    main()

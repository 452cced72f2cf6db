"""Measures the duration of `runner check`, and of `runner run` without its training epoch.

python3 benches/startup.py RUNNER [--data FOLDER_OF_TASK04] [--repeats N]

The second is the time of a whole run of one epoch, from start to exit, minus the seconds of the epoch in timing.csv. It
includes reading, planning, preprocessing, opening the device, and writing the last checkpoint and the plots, so the time
to the first step is shorter. It is measured with an empty and with a warm cache.

The liver dataset has as many scans as Task03_Liver: links to one phantom of 512x512x150 voxels.
"""

import argparse
import csv
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def seconds(command):
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.monotonic() - start


def seconds_without_epoch(runner, words, cache):
    with tempfile.TemporaryDirectory() as runs:
        whole = seconds([runner, "run", *words, "--set", "train.epochs=1", "--runs-dir", runs, "--cache-dir", cache])
        (timing,) = Path(runs).glob("*/*/timing.csv")
        return whole - sum(float(row["seconds"]) for row in csv.DictReader(timing.open()))


def livers(runner, folder):
    """Writes a dataset of 131 scans, whose headers `check` reads."""
    command = [runner, "phantom", str(folder), "--subjects", "1", "--shape", "512,512,150", "--spacing", "0.8,0.8,2"]
    subprocess.run(command, check=True, capture_output=True)
    dataset = json.loads((folder / "dataset.json").read_text())
    (one,) = dataset["training"]
    dataset["training"] = []
    for number in range(131):
        case = {side: one[side].replace("phantom_000", f"liver_{number}") for side in one}
        for side, path in case.items():
            (folder / path).symlink_to((folder / one[side]).resolve())
        dataset["training"].append(case)
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runner")
    parser.add_argument("--data", help="Task04_Hippocampus; without it only phantoms are used")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    options.runner = str(Path(options.runner).resolve())
    options.data = options.data and str(Path(options.data).resolve())

    with tempfile.TemporaryDirectory() as folder:
        data = livers(options.runner, Path(folder) / "livers")
        check = [options.runner, "check", "experiments/liver_baseline.yaml", "--set", f"data.source.msd.root={data}"]
        checks = [seconds(check) for _ in range(options.repeats)]
    print(f"check experiments/liver_baseline.yaml: {statistics.median(checks) * 1000:.0f} ms")
    experiments = [["experiments/small_phantoms.yaml"]]
    if options.data:
        experiments.append(["experiments/hippocampus.yaml", "--set", f"data.source.msd.root={options.data}"])
    for words in experiments:
        with tempfile.TemporaryDirectory() as cache:
            cold = seconds_without_epoch(options.runner, words, cache)
            warm = [seconds_without_epoch(options.runner, words, cache) for _ in range(options.repeats)]
        print(f"run {words[0]}, without its epoch: {cold:.2f} s with an empty cache, "
              f"{statistics.median(warm):.2f} s with a warm one")


if __name__ == "__main__":
    main()

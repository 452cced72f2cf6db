"""How long `runner check` takes, and how long `runner run` takes for all but its steps.

python3 benches/startup.py RUNNER [--data FOLDER_OF_TASK04] [--repeats N]

The second is the time of a whole run of one epoch, from start to exit, less the seconds that its timing.csv says were
spent in the epoch: reading, planning, preparing, opening the device, and writing the last checkpoint and the plots. So
the first step begins sooner than that. It is taken with an empty cache and with a warm one.

The liver's data is a dataset of as many scans as Task03_Liver has: links to one phantom of 512x512x150 voxels.
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
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.monotonic() - begun


def besides_the_epoch(runner, words, cache):
    with tempfile.TemporaryDirectory() as runs:
        whole = seconds([runner, "run", *words, "--set", "train.epochs=1", "--runs-dir", runs, "--cache-dir", cache])
        (timing,) = Path(runs).glob("*/*/timing.csv")
        return whole - sum(float(row["seconds"]) for row in csv.DictReader(timing.open()))


def livers(runner, folder):
    """131 scans; `check` reads their headers."""
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
            cold = besides_the_epoch(options.runner, words, cache)
            warm = [besides_the_epoch(options.runner, words, cache) for _ in range(options.repeats)]
        print(f"run {words[0]}, all but its epoch: {cold:.2f} s with an empty cache, "
              f"{statistics.median(warm):.2f} s with a warm one")


if __name__ == "__main__":
    main()

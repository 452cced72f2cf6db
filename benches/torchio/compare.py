"""Compares runner and TorchIO: patches per second, time to the first patch, memory.

usage, from the root of the repository: python3 benches/torchio/compare.py [--quick] [--json PATH]
"""

import argparse
import json
import os
import shutil
import sys
from functools import partial
from operator import itemgetter
from pathlib import Path
from statistics import median

import machine
import noise
import preparing
import theirs
from ours import Ours
from rows import LOWER, Row, markdown
from stream_rows import QUEUE_LENGTH, Chain, Measured, StreamRows

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BATCH_SIZE = 2
# Number of patches of the first, short measurement, which determines how many a long one needs.
PILOT = QUEUE_LENGTH

CHAINS = [
    Chain("Recipe: crop_or_pad, rescale_intensity, affine", "recipe.yaml", "recipe", 6),
    Chain("Recipe; TorchIO reads volumes preprocessed before", "recipe.yaml", "prepared", 6, False),
    Chain("Recipe and elastic_deformation, gamma, noise", "elastic.yaml", "elastic", 3),
]


class Bench:
    """Measures both programs on the same files."""

    def __init__(self, arguments):
        self.repeats = 1 if arguments.quick else arguments.repeats
        self.quick = arguments.quick
        self.workers = arguments.workers
        self.seconds = arguments.seconds
        self.patience = arguments.patience
        self.tries = 1 if arguments.quick else arguments.tries
        # The fraction of all cores that other processes used during each measurement.
        self.others = {}
        self.work = arguments.work.resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.runner = arguments.runner.resolve() if arguments.runner else preparing.built_runner(ROOT)
        self.python = preparing.torchio_python(arguments.venv or self.work / "venv")
        self.ours = Ours(self.runner, self.workers)
        self.subjects, self.large = preparing.tables(self.runner, self.work)
        self.cache = self.work / "cache"

    def empty_cache(self):
        shutil.rmtree(self.cache, ignore_errors=True)

    def prepared_subjects(self):
        """Returns the table of volumes that TorchIO has preprocessed and written; they are kept between calls."""
        folder = self.work / "prepared"
        if not (folder / "subjects.csv").exists():
            theirs.run(self.python, "prepare", subjects=self.subjects, out=folder)
        return folder / "subjects.csv"

    def undisturbed(self, name, subjects, measure):
        """Calls `measure` a few times and returns the result of the call during which others used the fewest cores."""
        tries = []
        for _ in range(self.tries):
            preparing.warm_page_cache(subjects)
            noise.wait_for_quiet(self.patience)
            with noise.Others() as others:
                result = measure()
            progress(f"{name}: other processes used {others.load:.0%} of the cores")
            tries.append((others.load, result))
            if others.load < noise.DISTURBING:
                break
        load, result = min(tries, key=itemgetter(0))
        self.others[name] = round(load, 3)
        return result

    def stream(self, chain):
        """Returns the rows of a long stream of patches."""
        fills = 2 if self.quick else chain.fills
        subjects = self.prepared_subjects() if chain.torchio == "prepared" else self.subjects
        experiment = HERE / chain.experiment
        check_error = self.ours.check_error(experiment, self.subjects, self.cache)
        rows = StreamRows(chain, fills, check_error)
        for repeat in range(1, self.repeats + 1):
            seconds, _, peak = self.undisturbed(
                f"{chain.torchio}, TorchIO, {repeat}", subjects, lambda: self.their_stream(subjects, chain, fills)
            )
            rows.add_theirs(seconds, peak)
            if check_error is None:
                measured = self.undisturbed(
                    f"{chain.torchio}, runner, {repeat}", self.subjects, lambda: self.our_stream(experiment, fills)
                )
                rows.add_ours(measured)
        return rows.all()

    def their_stream(self, subjects, chain, fills):
        return theirs.run(
            self.python, "stream", subjects=subjects, chain=chain.torchio, workers=self.workers, fills=fills
        )

    def our_stream(self, experiment, fills):
        def patches(count):
            return self.ours.patches(experiment, self.subjects, self.cache, count)

        self.empty_cache()
        cold_batch = patches(BATCH_SIZE).all
        warm_batch = patches(BATCH_SIZE).all
        self.empty_cache()
        cold = patches(fills * QUEUE_LENGTH)
        pilot = patches(PILOT).rate
        warm = patches(max(PILOT, round(pilot * self.seconds)))
        return Measured(cold_batch, warm_batch, cold.all, warm.rate, cold.peak, warm.peak)

    def first_patch(self):
        """Returns the rows of the first patch of one large volume."""
        group = "First label-sampled patch of one volume of 512 x 512 x 200"
        texts = {"imported": "TorchIO without its imports", "started": "TorchIO with its imports"}
        rows = {
            (state, since): Row(group, f"runner's cache {state}, {text}", "s", LOWER)
            for state in ("empty", "warm")
            for since, text in texts.items()
        }
        for repeat in range(1, self.repeats + 1):
            their_seconds = self.undisturbed(f"first patch, TorchIO, {repeat}", self.large, self.their_first_patch)
            our_seconds = self.undisturbed(f"first patch, runner, {repeat}", self.large, self.our_first_patch)
            for (state, since), row in rows.items():
                row.runner.append(our_seconds[state])
                row.torchio.append(their_seconds[since])
        return list(rows.values())

    def their_first_patch(self):
        """Returns the seconds since the start of the process and since the end of its imports."""
        seconds, _, _ = theirs.run(self.python, "first", subjects=self.large)
        return {"started": seconds["first_patch"], "imported": seconds["first_patch"] - seconds["imported"]}

    def our_first_patch(self):
        """Returns the seconds since the start of the process, with an empty and with a warm cache."""
        self.empty_cache()
        return {
            state: self.ours.patches(HERE / "first_patch.yaml", self.large, self.cache, 1).first
            for state in ("empty", "warm")
        }


def progress(text):
    print(text, file=sys.stderr, flush=True)


def default_work():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runner-bench"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", type=Path, help="the release binary; without it, cargo builds one")
    parser.add_argument("--work", type=Path, default=default_work(), help="folder for phantoms and caches; they are kept")
    parser.add_argument("--venv", type=Path, help="a virtual environment; by default one in the work folder")
    parser.add_argument("--workers", type=int, default=2, help="number of workers in both programs")
    parser.add_argument("--repeats", type=int, default=3, help="number of repeats of each measurement")
    parser.add_argument("--seconds", type=float, default=6, help="seconds for which runner streams patches")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for a quiet machine before each measurement")
    parser.add_argument("--tries", type=int, default=3, help="maximum number of attempts at a disturbed measurement")
    parser.add_argument("--quick", action="store_true", help="one short repeat of each measurement")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    return parser.parse_args()


def write_json(path, about, bench, rows):
    results = [row.as_json() for row in rows]
    path.write_text(json.dumps({**about, "others": bench.others, "rows": results}, indent=2) + "\n")


def about_everything(bench):
    """Describes the machine, the programs and the settings."""
    measured = {"workers": bench.workers, "repeats": bench.repeats}
    versions = theirs.run(bench.python, "versions")[1]["versions"]
    return {"machine": {**machine.description(ROOT, bench.runner), **measured}, "versions": versions}


def print_noise(loads):
    used = f"used {median(loads):.1%} of the cores during measurements (median), at most {max(loads):.1%}"
    print(f"\nother processes      {used}")


def main():
    arguments = parse_arguments()
    bench = Bench(arguments)
    about = about_everything(bench)
    for name, value in {**about["machine"], **about["versions"]}.items():
        print(f"{name:<20} {value}")
    rows = []
    for measure in [bench.first_patch, *(partial(bench.stream, chain) for chain in CHAINS)]:
        new = measure()
        rows += new
        print(f"\n{markdown(new)}", flush=True)
        if arguments.json:
            write_json(arguments.json, about, bench, rows)
    print_noise(bench.others.values())


if __name__ == "__main__":
    main()

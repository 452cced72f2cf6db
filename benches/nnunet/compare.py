"""Compares patches per second of nnU-Net's augmentation in runner and in batchgeneratorsv2, alternately.

usage, from the root of the repository:
    python3 benches/nnunet/compare.py --python nnunet/bin/python [--workers 2] [--rounds 3]

`--python` is a Python with nnunetv2, batchgeneratorsv2 and pyyaml. Both programs augment the same larger patch, which is in
memory, on the same number of cores: runner with one thread per worker, nnU-Net's transforms with one process of one thread per
worker, as in its data loader, without the time for copying their input. Prints ratios of patches per second and of patches per
second of processor time, which other programs on the machine affect less, and writes them as JSON into benches/results/.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent))
from measure import built_bench, keep, last_json, output  # noqa: E402

RATES = ["patches_per_second", "patches_per_processor_second"]
CHAINS = ["hippocampus", "isotropic_128", "anisotropic"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--bench", help="a built executable of the augmentation bench of the crate transforms")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", type=Path, default=ROOT / "benches" / "results" / "nnunet_augmentation.json")
    arguments = parser.parse_args()
    bench = arguments.bench or built_bench("", "augmentation", "transforms")
    options = ["--workers", str(arguments.workers), "--seconds", str(arguments.seconds)]
    results = {}
    for name in CHAINS:
        file = str(HERE / f"{name}.yaml")
        runs = {"runner": [], "batchgenerators": []}
        for _ in range(arguments.rounds):
            # Alternately, so that other load on the machine affects both. Each worker's rayon tasks run on its own thread.
            runs["runner"].append(last_json(output([bench, file, *options])))
            runs["batchgenerators"].append(last_json(output([arguments.python, str(HERE / "theirs.py"), file, *options])))
            assert runs["runner"][-1]["input"] == runs["batchgenerators"][-1]["input"], "both start from the same patch"
        results[name] = {rate: compared(runs, rate) for rate in RATES}
        for rate, rates in results[name].items():
            own, peer = median(rates["runner"]), median(rates["batchgenerators"])
            words = rate.replace("_", " ")
            print(f"{name:<14} {words:<28} runner {own:8.1f}, batchgeneratorsv2 {peer:7.2f}: {rates['ratio']:.1f} times")
    keep(arguments.json, workers=arguments.workers, chains=results)


def compared(runs, rate):
    """Returns a rate of each run, and the ratio of the medians."""
    rates = {program: [run[rate] for run in runs] for program, runs in runs.items()}
    return dict(rates, ratio=median(rates["runner"]) / median(rates["batchgenerators"]))


if __name__ == "__main__":
    main()

"""Compares patches per second of nnU-Net's augmentation in runner and in batchgeneratorsv2, alternately.

usage, from the root of the repository:
    python3 benches/nnunet/compare.py --python nnunet/bin/python [--workers 2] [--rounds 3]

`--python` is a Python with nnunetv2, batchgeneratorsv2 and pyyaml. Both programs augment the same larger patch, which is in
memory, on the same number of cores: runner with one thread per worker, nnU-Net's transforms with one process of one thread per
worker, as in its data loader, without the time for copying their input. Prints ratios and writes them as JSON into
benches/results/.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent))
from measure import built_bench, keep, last_json, output  # noqa: E402

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
        rates = {"runner": [], "batchgenerators": []}
        for _ in range(arguments.rounds):
            # Alternately, so that other load on the machine affects both. Each worker's rayon tasks run on its own thread.
            ours = last_json(output([bench, file, *options]))
            theirs = last_json(output([arguments.python, str(HERE / "theirs.py"), file, *options]))
            assert ours["input"] == theirs["input"], "both start from a patch of the same size"
            rates["runner"].append(ours["patches_per_second"])
            rates["batchgenerators"].append(theirs["patches_per_second"])
        own, peer = median(rates["runner"]), median(rates["batchgenerators"])
        results[name] = dict(rates, ratio=own / peer)
        print(f"{name:<14} runner {own:8.1f}, batchgeneratorsv2 {peer:7.2f} patches per second: {own / peer:.0f} times")
    keep(arguments.json, workers=arguments.workers, patches_per_second=results)


if __name__ == "__main__":
    main()

"""Times sliding-window inference of runner and of MONAI alternately, on the same weights, windows and volume.

usage, from the root of the repository:
    python3 benches/monai/compare.py --python torch/bin/python [--devices flex,libtorch:cpu] [--features libtorch]

`--python` is a Python with torch, monai, safetensors and pyyaml. Prints ratios and writes them as JSON into
benches/results/.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent))
from measure import built_bench, keep, last_json, output  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--devices", default="flex")
    parser.add_argument("--features", default="")
    parser.add_argument("--bench", help="a built executable of the sliding bench")
    parser.add_argument("--shape", default="160,160,128")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=ROOT / "benches" / "results" / "monai_cpu.json")
    arguments = parser.parse_args()
    bench = arguments.bench or built_bench(arguments.features, "sliding")
    file = str(HERE / "narrow.yaml")
    devices = arguments.devices.split(",")
    measured = {side: [] for side in [*devices, "monai"]}
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/weights.safetensors", f"{folder}/labels.raw"]
        # Alternately, so that other load on the machine affects all of them.
        for _ in range(arguments.rounds):
            for device in devices:
                measured[device].append(last_json(output([bench, file, device, arguments.shape, "2", *files])))
            theirs = [arguments.python, str(HERE / "theirs.py"), file, "cpu", arguments.shape, "2", *files]
            measured["monai"].append(last_json(output(theirs)))
    # The second repeat of each process, because the first allocates memory.
    seconds = {side: median(result["seconds"][1] for result in results) for side, results in measured.items()}
    peaks = {side: max(result["peak_bytes"] for result in results) for side, results in measured.items()}
    for side in measured:
        print(f"{side:<14} {seconds[side]:7.2f} s, {seconds[side] / seconds['monai']:.2f} of MONAI's; "
              f"{peaks[side] / 1e6:6.0f} MB, {peaks[side] / peaks['monai']:.2f} of MONAI's")
    same = min(result["same_labels"] for result in measured["monai"])
    print(f"labels of {devices[-1]} and MONAI are the same in {same:.5%} of voxels")
    keep(arguments.json, shape=arguments.shape, seconds=seconds, peak_bytes=peaks, same_labels=same,
         torch=measured["monai"][0]["torch"])


if __name__ == "__main__":
    main()

"""Times training steps of runner and of PyTorch alternately: forward, backward and Adam on the same networks.

usage, from the root of the repository:
    python3 benches/pytorch/compare.py --python torch/bin/python [--devices flex,libtorch:cpu] [--features libtorch]
    python3 benches/pytorch/compare.py --python torch/bin/python --devices libtorch:cuda:0 --features libtorch --gpu

`--python` is a Python with torch, pyyaml and dynamic-network-architectures. Prints a table of ratios and writes them, with the hardware, as JSON into
benches/results/.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent))
from measure import built_bench, keep, last_json, output  # noqa: E402

CPU_FILES = ["hippocampus", "narrow", "recipe_64", "nnunet", "resenc"]
GPU_FILES = ["recipe_96", "recipe_128"]
# Targets for narrow and wide networks, as a fraction of PyTorch's time.
AIMS = {"libtorch:cpu": (0.6, 0.8), "flex": (2.0, 1.5)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--devices", default="flex")
    parser.add_argument("--features", default="")
    parser.add_argument("--bench", help="a built executable of the step bench")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--networks", help="names of files beside this one, such as nnunet,resenc")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="steps per round")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bench = arguments.bench or built_bench(arguments.features, "step")
    devices = arguments.devices.split(",")
    rows = []
    names = arguments.networks.split(",") if arguments.networks else GPU_FILES if arguments.gpu else CPU_FILES
    for name in names:
        file, steps = str(HERE / f"{name}.yaml"), str(arguments.steps)
        theirs = [arguments.python, str(HERE / "theirs.py"), file, "cuda" if arguments.gpu else "cpu", steps]
        sides = {"pytorch": theirs}
        if arguments.gpu:
            sides["pytorch compiled"] = theirs + ["--compile"]
            sides["pytorch bfloat16"] = theirs + ["--bfloat16"]
            sides["pytorch compiled bfloat16"] = theirs + ["--compile", "--bfloat16"]
        sides |= {device: [bench, file, device, steps] for device in devices}
        seconds, peaks = {side: [] for side in sides}, {side: 0 for side in sides}
        # Alternately, so that other load on the machine affects all of them.
        for _ in range(arguments.rounds):
            for side, command in sides.items():
                measured = last_json(output(command))
                seconds[side] += measured["seconds"]
                peaks[side] = max(peaks[side], measured["peak_bytes"])
        reference = median(seconds["pytorch"])
        for side in sides:
            ratio = median(seconds[side]) / reference
            wide = name.startswith("recipe")
            aim = AIMS.get(side, (None, None))[wide] if not arguments.gpu else None
            rows.append(dict(network=name, side=side, seconds=median(seconds[side]), fastest=min(seconds[side]),
                             slowest=max(seconds[side]), ratio=ratio, aim=aim, peak_bytes=peaks[side]))
            line = f"{name:<12} {side:<26} {median(seconds[side]):8.3f} s  {ratio:5.2f} of PyTorch's"
            print(line + (f", target {aim}" if aim else "") + f", {peaks[side] / 1e9:.2f} GB", flush=True)
    versions = json.loads(output([arguments.python, "-c", "import json, torch; print(json.dumps({'torch': torch.__version__, 'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else None}))"]))
    path = arguments.json or ROOT / "benches" / "results" / f"pytorch_{'gpu' if arguments.gpu else 'cpu'}.json"
    keep(path, **versions, rounds=arguments.rounds, steps=arguments.steps, rows=rows)


if __name__ == "__main__":
    main()

"""Compares wall time and peak memory of `runner predict` and nnU-Net's prediction of the same images with the same model.

usage, from the root of the repository:
    python3 benches/nnunet/predict_speed.py --bin nnunet/bin --runner target/release/runner --model FOLDER --images FOLDER
        [--rounds 2] [--threads 2]

`--bin` is the folder of a Python environment's programs with nnunetv2, FOLDER a trained model as models.py makes them, and
`--images` files as nnUNetv2_predict takes them. Both programs run on the CPU with the same number of threads, alternately, with
all folds and with the mirroring of the checkpoint. nnU-Net has one process for preprocessing and one for export beside the one
that predicts. Memory is the peak of all processes of a program together, as benches/torchio/memory.py measures it. The import
is done before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
# benches/memory.py is another module.
sys.path[:0] = [str(HERE.parent / "torchio"), str(HERE.parent)]
from measure import keep  # noqa: E402
from memory import Watch  # noqa: E402


def timed(command, environment):
    """Runs a program; returns its seconds and its peak memory in bytes."""
    start = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Watch(process.pid) as memory:
        code = process.wait()
    if code != 0:
        sys.exit(f"{command[0]} failed with exit code {code}")
    return time.monotonic() - start, memory.peak["pss"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["--bin", "--runner", "--model", "--images"]:
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the results")
    arguments = parser.parse_args()
    folds = sorted(path.name[len("fold_"):] for path in arguments.model.glob("fold_*"))
    threads = str(arguments.threads)
    folders = {name: tempfile.gettempdir() for name in ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]}
    theirs = os.environ | folders | {"OMP_NUM_THREADS": threads, "nnUNet_def_n_proc": threads}
    ours = os.environ | {"RAYON_NUM_THREADS": threads}
    results = {"runner": [], "nnU-Net": []}
    with tempfile.TemporaryDirectory() as folder:
        runner = str(arguments.runner.resolve())
        command = [runner, "import", "nnunet", str(arguments.model), "--runs-dir", f"{folder}/runs"]
        roots = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        runs = [argument for root in roots for argument in ["--run", root]]
        for round in range(arguments.rounds):
            out = f"{folder}/{round}"
            command = [runner, "predict", *runs, str(arguments.images), "--out", f"{out}-ours", "--device", "flex", "--quiet"]
            results["runner"].append(timed(command, ours))
            command = [str(arguments.bin / "nnUNetv2_predict_from_modelfolder"), "-i", str(arguments.images), "-o", f"{out}-theirs",
                       "-m", str(arguments.model), "-f", *folds, "-device", "cpu", "-npp", "1", "-nps", "1"]
            results["nnU-Net"].append(timed(command, theirs))
    summary = {}
    for name, measured in results.items():
        seconds, memory = median(seconds for seconds, _ in measured), max(memory for _, memory in measured)
        summary[name] = dict(seconds=seconds, peak_bytes=memory)
        print(f"{name:<8} {seconds:8.1f} s, {memory / 1e9:.2f} GB")
    own, peer = summary["runner"], summary["nnU-Net"]
    print(f"runner takes {own['seconds'] / peer['seconds']:.2f} of the time and {own['peak_bytes'] / peer['peak_bytes']:.2f} of the memory")
    if arguments.json:
        keep(arguments.json, threads=arguments.threads, model=arguments.model.name, **summary)


if __name__ == "__main__":
    main()

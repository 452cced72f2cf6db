"""Compares the memory estimate of `runner check` with the peak memory of a training step, for many networks.

usage, from the root of the repository:
    cargo bench --no-run --bench step
    python3 benches/memory.py target/release/deps/step-HASH [DEVICE]
"""

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTHS = [[8, 16], [16, 32], [8, 16, 32], [32, 64, 128]]
PATCHES_AND_BATCHES = [(48, 1), (48, 3), (64, 2)]
EXPERIMENT = """
data: {{ source: {{ phantom: {{ subjects: 4, shape: [128, 128, 128], spacing_mm: [3, 3, 3] }} }}, split: {{ first: 2 }} }}
sampler: {{ uniform: {{ patch: [{patch}, {patch}, {patch}] }} }}
queue: {{ max_length: 1 }}
model: {{ unet: {{ widths: {widths}, norm: {norm} }} }}
loss: {{ dice_cross_entropy: {{}} }}
optimizer: {{ adam: {{ learning_rate: 1e-3 }} }}
train: {{ epochs: 1, batch_size: {batch} }}
"""


def main():
    bench, device = sys.argv[1], (sys.argv[2:] or ["flex"])[0]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "experiment.yaml"
        for norm, widths, (patch, batch) in itertools.product(["none", "instance"], WIDTHS, PATCHES_AND_BATCHES):
            file.write_text(EXPERIMENT.format(norm=norm, widths=widths, patch=patch, batch=batch))
            printed = subprocess.run([bench, str(file), device, "1"], check=True, capture_output=True, text=True).stdout
            measured = json.loads(printed)
            ratios.append(measured["estimate_bytes"] / measured["peak_bytes"])
            print(f"{norm:<9} {str(widths):<14} {batch} of {patch}^3: {measured['peak_bytes'] / 1e6:7.0f} MB, "
                  f"estimate / measured {ratios[-1]:.3f}", flush=True)
    print(f"{min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()

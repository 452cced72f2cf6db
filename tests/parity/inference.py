"""Writes the expected values of tests/inference.rs with MONAI's sliding_window_inference and TorchIO's GridAggregator.

    python tests/parity/inference.py tests/parity/inference

needs monai==1.6.1, torch==2.9.0 and torchio==1.2.1.
"""

import json
import sys
from pathlib import Path

import monai
import torch
import torchio
from monai.inferers import sliding_window_inference

SHAPES = [(19, 14, 23), (6, 30, 9), (8, 8, 8), (5, 4, 40)]
WINDOW = (8, 12, 16)


def image(shape):
    """Returns sin(0.37 (i + 1)) at each voxel; the last axis varies fastest."""
    count = shape[0] * shape[1] * shape[2]
    return torch.sin(0.37 * torch.arange(1, count + 1, dtype=torch.float64)).float().reshape(1, 1, *shape)


def network(windows):
    """Returns logits of two classes that depend on the position in the window, so that blending changes the result."""
    x, y, z = (torch.arange(size, dtype=torch.float32) for size in windows.shape[2:])
    index = x[:, None, None] * 0.05 + y[None, :, None] * 0.03 - z[None, None, :] * 0.02
    return torch.cat([windows + index, windows * 0.5 - index], dim=1)


def monai_case(shape, overlap, mode):
    out = sliding_window_inference(image(shape), WINDOW, 3, network, overlap=overlap, mode=mode)
    return {"reference": "monai", "shape": shape, "overlap": overlap, "blend": mode, "values": rounded(out[0])}


def torchio_case(shape, overlap, mode):
    subject = torchio.Subject(image=torchio.ScalarImage(tensor=image(shape)[0]))
    sampler = torchio.GridSampler(subject, WINDOW, overlap)
    aggregator = torchio.GridAggregator(sampler, overlap_mode="average" if mode == "constant" else mode)
    for patch in sampler:
        location = patch[torchio.LOCATION][None]
        aggregator.add_batch(network(patch["image"][torchio.DATA][None].float()), location)
    values = rounded(aggregator.get_output_tensor())
    return {"reference": "torchio", "shape": shape, "overlap": 0.5, "blend": mode, "values": values}


def rounded(tensor):
    return [round(float(value), 7) for value in tensor.flatten()]


def main(folder):
    cases = [
        monai_case(shape, overlap, mode)
        for shape in SHAPES
        for overlap, mode in [(0.25, "constant"), (0.5, "gaussian"), (0.8, "gaussian")]
    ]
    # TorchIO does not accept volumes smaller than the window.
    half = tuple(size // 2 for size in WINDOW)
    large = [(19, 14, 23), (8, 30, 16), (30, 12, 17)]
    cases += [torchio_case(shape, half, mode) for shape in large for mode in ["constant", "crop", "hann"]]
    versions = {"monai": monai.__version__, "torch": torch.__version__, "torchio": torchio.__version__}
    Path(folder).mkdir(parents=True, exist_ok=True)
    text = json.dumps({"script": "tests/parity/inference.py", "versions": versions, "data": cases})
    (Path(folder) / "windows.json").write_text(text + "\n")


main(sys.argv[1])

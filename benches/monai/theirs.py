"""Times MONAI's sliding-window inference of the network and volume of benches/sliding.rs.

usage: python theirs.py FILE DEVICE X,Y,Z REPEATS WEIGHTS LABELS

Prints JSON: the seconds of each repeat, the peak resident memory, and the fraction of voxels whose label is the same as in
LABELS.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from monai.inferers import sliding_window_inference
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).resolve().parent.parent / "pytorch"))
from unet import Unet  # noqa: E402


def main():
    file, device, shape, repeats, weights, labels = sys.argv[1:]
    spec = yaml.safe_load(Path(file).read_text())
    shape = [int(size) for size in shape.split(",")]
    network = Unet(1, 3, spec["model"]["unet"]).to(device).eval()
    network.load_state_dict(load_file(weights))
    count = int(np.prod(shape))
    image = torch.from_numpy(np.sin(0.37 * np.arange(1, count + 1)).astype(np.float32).reshape(1, 1, *shape)).to(device)
    inference = spec["inference"]
    seconds = []
    with torch.inference_mode():
        for _ in range(int(repeats)):
            start = time.perf_counter()
            logits = sliding_window_inference(
                image, inference["window"], inference["batch_size"], network, overlap=inference["overlap"],
                mode="gaussian", sigma_scale=0.125,
            )
            predicted = logits.softmax(1).argmax(1)[0].cpu().numpy()
            seconds.append(time.perf_counter() - start)
    expected = np.fromfile(labels, dtype="<u2").reshape(shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    same = float((expected == predicted).mean())
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "same_labels": same, "torch": torch.__version__}))


if __name__ == "__main__":
    main()

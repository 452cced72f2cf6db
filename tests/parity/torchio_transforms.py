"""Makes the reference numbers of tests/torchio.rs with TorchIO 1.2.1.

usage: python tests/parity/torchio_transforms.py tests/parity/torchio

Volumes are made by a formula that the Rust test repeats, so only results are stored.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchio as tio

VOLUMES = {
    "anisotropic": dict(shape=[11, 8, 6], affine=[[0.8, 0, 0, -4], [0, 1.25, 0, 7], [0, 0, 2.5, 30], [0, 0, 0, 1]]),
    "lps": dict(shape=[6, 9, 7], affine=[[-1.0, 0, 0, 40], [0, -1.0, 0, 12], [0, 0, 3.0, -5], [0, 0, 0, 1]]),
    "permuted": dict(shape=[5, 7, 8], affine=[[0, 0, 1.5, 1], [-2.0, 0, 0, 2], [0, 1.0, 0, 3], [0, 0, 0, 1]]),
    # A rotation about x by 20 degrees, with spacing 1, 1.2 and 2.
    "oblique": dict(shape=[7, 8, 9], affine=[[1.0, 0, 0, -3], [0, 1.2 * np.cos(0.35), -2 * np.sin(0.35), 1],
                                            [0, 1.2 * np.sin(0.35), 2 * np.cos(0.35), 2], [0, 0, 0, 1]]),
    "two_channels": dict(shape=[6, 5, 7], affine=np.eye(4).tolist(), channels=2),
}

CASES = [
    ("lps", "to_canonical: {}", tio.ToCanonical()),
    ("permuted", "to_canonical: {}", tio.ToCanonical()),
    ("oblique", "to_canonical: {}", tio.ToCanonical()),
    ("anisotropic", "resample: {spacing_mm: [1, 1, 1]}", tio.Resample(1)),
    ("oblique", "resample: {spacing_mm: [1.3, 0.7, 3]}", tio.Resample((1.3, 0.7, 3))),
    ("lps", "resample: {spacing_mm: [2, 1.5, 1]}", tio.Resample((2, 1.5, 1))),
    ("anisotropic", "resize: {shape: [8, 12, 3]}", tio.Resize((8, 12, 3))),
    ("anisotropic", "resize: {shape: [16, null, 9]}", tio.Resize((16, -1, 9))),
    ("anisotropic", "crop_or_pad: {shape: [6, 11, 6]}", tio.CropOrPad((6, 11, 6))),
    ("oblique", "crop_or_pad: {shape: [4, 9, null]}", tio.CropOrPad((4, 9, None))),
    ("lps", "crop_or_pad: {shape: [9, 6, 8], fill: -3}", tio.CropOrPad((9, 6, 8), padding_mode=-3)),
    ("anisotropic", "clamp: {min: -20, max: 35}", tio.Clamp(-20, 35)),
    ("anisotropic", "rescale_intensity: {to: [-1, 1]}", tio.RescaleIntensity((-1, 1))),
    ("anisotropic", "rescale_intensity: {to: [0, 1], percentiles: [0.5, 99.5]}", tio.RescaleIntensity((0, 1), percentiles=(0.5, 99.5))),
    ("anisotropic", "rescale_intensity: {to: [0, 2], from: [-40, 60]}", tio.RescaleIntensity((0, 2), in_min_max=(-40, 60))),
    ("two_channels", "rescale_intensity: {to: [0, 1], percentiles: [3, 90]}", tio.RescaleIntensity((0, 1), percentiles=(3, 90))),
    ("anisotropic", "z_normalize: {}", tio.ZNormalization()),
    ("two_channels", "z_normalize: {}", tio.ZNormalization()),
    ("anisotropic", "flip: {probabilities: [1, 0, 1]}", tio.Flip((0, 2))),
    ("oblique", "flip: {probabilities: [0, 1, 0]}", tio.Flip(1)),
    ("anisotropic", "gamma: {log_gamma: 0.2}", tio.Gamma(float(np.exp(0.2)))),
    ("permuted", "to_orientation: {axes: LPS}", tio.ToOrientation("LPS")),
    ("oblique", "to_orientation: {axes: SAR}", tio.ToOrientation("SAR")),
    ("lps", "to_orientation: {axes: IPL}", tio.ToOrientation("IPL")),
    ("anisotropic", "crop: {start: [1, 0, 2], end: [3, 2, 1]}", tio.Crop((1, 3, 0, 2, 2, 1))),
    ("oblique", "crop: {start: [2, 3, 0]}", tio.Crop((2, 0, 3, 0, 0, 0))),
    ("lps", "pad: {start: [1, 0, 2], end: [3, 2, 1]}", tio.Pad((1, 3, 0, 2, 2, 1))),
    ("oblique", "pad: {start: [2, 0, 0], fill: null}", tio.Pad((2, 0, 0, 0, 0, 0), padding_mode="minimum")),
    ("anisotropic", "ensure_shape_multiple: {multiple: [4, 4, 4]}", tio.EnsureShapeMultiple(4)),
    ("oblique", "ensure_shape_multiple: {multiple: [4, 3, 2], method: crop}", tio.EnsureShapeMultiple((4, 3, 2), method="crop")),
    ("anisotropic", "blur: {std_mm: [[1, 1], [0, 0], [3, 3]]}", tio.Blur((1, 0, 3))),
    ("oblique", "blur: {std_mm: [[0.3, 0.3], [2.5, 2.5], [6, 6]]}", tio.Blur((0.3, 2.5, 6))),
    ("two_channels", "blur: {std_mm: 1.2}", tio.Blur((1.2, 1.2, 1.2))),
    ("anisotropic", "bias_field: {coefficients: 0.2}", tio.BiasField(order=3, coefficients=[0.2] * 20)),
    ("oblique", "bias_field: {coefficients: -0.4, order: 2}", tio.BiasField(order=2, coefficients=[-0.4] * 10)),
    ("two_channels", "bias_field: {coefficients: 0.3, order: 1}", tio.BiasField(order=1, coefficients=[0.3] * 4)),
]

for volume, scales, degrees, translation in [
    ("anisotropic", (1.1, 0.9, 1.05), (0, 0, 0), (0, 0, 0)),
    ("anisotropic", (1, 1, 1), (10, 0, 0), (0, 0, 0)),
    ("anisotropic", (1, 1, 1), (0, 25, 0), (0, 0, 0)),
    ("anisotropic", (1, 1, 1), (0, 0, -33), (0, 0, 0)),
    ("anisotropic", (1, 1, 1), (0, 0, 0), (1.3, -2.2, 3.1)),
    ("oblique", (1.2, 0.8, 0.95), (12, -7, 21), (1.5, 0.4, -2.0)),
    ("lps", (0.85, 1.15, 1.1), (-9, 14, 5), (-1.0, 2.5, 0.7)),
    ("permuted", (1.1, 1.1, 1.1), (5, 6, 7), (0.2, 0.3, 0.4)),
    ("two_channels", (1.3, 0.7, 1.0), (20, 10, -15), (0, 1, 0)),
]:
    yaml = "affine: " + json.dumps(dict(
        scales=[[s, s] for s in scales], degrees=[[d, d] for d in degrees], translation_mm=[[t, t] for t in translation]))
    CASES.append((volume, yaml, tio.Affine(scales=scales, degrees=degrees, translation=translation,
                                           center="image", default_pad_value="minimum")))


def subject(volume):
    """Intensities are waves of the voxel's place in [channel, x, y, z]; labels are their thresholds."""
    shape, channels = volume["shape"], volume.get("channels", 1)
    index = np.arange(channels * np.prod(shape), dtype=np.float64)
    image = (np.sin(0.05 * index) * 50 + np.cos(0.31 * index) * 10).astype(np.float32).reshape([channels, *shape])
    label = (image[:1] > 0).astype(np.uint8) + (image[:1] > 35)
    affine = np.array(volume["affine"], dtype=np.float64)
    return tio.Subject(image=tio.ScalarImage(tensor=torch.from_numpy(image), affine=affine),
                       label=tio.LabelMap(tensor=torch.from_numpy(label), affine=affine))


if __name__ == "__main__":
    found = []
    for name, yaml, transform in CASES:
        result = transform(subject(VOLUMES[name]))
        found.append(dict(
            volume=name, yaml=yaml, shape=list(result.spatial_shape), affine=result.image.affine[:3].tolist(),
            image=[round(float(v), 5) for v in result.image.data.flatten()],
            # TorchIO pads label maps with the image's value; here they are padded with 0.
            label=[] if "fill" in yaml else [int(v) for v in result.label.data.flatten()]))
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    volumes = {name: {"channels": 1, **volume, "affine": volume["affine"][:3]} for name, volume in VOLUMES.items()}
    value = {"torchio": tio.__version__, "volumes": volumes, "cases": found}
    (folder / "transforms.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")

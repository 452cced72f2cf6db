"""Writes the expected values of tests/torchio.rs with TorchIO 1.2.1.

usage: python tests/parity/torchio_transforms.py tests/parity/torchio

Volumes are formulas that the Rust test repeats, so only results are stored.
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
    "flat": dict(shape=[11, 8, 1], affine=[[0.8, 0, 0, -4], [0, 1.25, 0, 7], [0, 0, 2.5, 30], [0, 0, 0, 1]]),
    "two_channels": dict(shape=[6, 5, 7], affine=np.eye(4).tolist(), channels=2),
}


def rotated(degrees, spacing, origin):
    """Returns an affine with rotations about x, then y, then z."""
    affine = np.diag([*spacing, 1.0])
    for axis, angle in enumerate(np.radians(degrees)):
        rotation = np.eye(4)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        rotation[a, a] = rotation[b, b] = np.cos(angle)
        rotation[a, b], rotation[b, a] = -np.sin(angle), np.sin(angle)
        affine = rotation @ affine
    affine[:3, 3] = origin
    return affine.tolist()


# Rotated so far that ITK orders control points along other axes than the nearest ones.
VOLUMES["rotated"] = dict(shape=[9, 8, 6], affine=rotated((25, -15, 40), (0.7, 1.3, 2.9), (3, -7, 11)))
VOLUMES["rotated_back"] = dict(shape=[6, 7, 9], affine=rotated((-50, 35, 170), (1.4, 1.1, 0.9), (-20, 5, 2)))
VOLUMES["rotated_cube"] = dict(shape=[8, 8, 8], affine=rotated((30, 0, 30), (1, 1, 1), (0, 0, 0)))

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
    ("two_channels", "pad: {start: [1, 0, 2], end: [0, 1, 0], fill: null}", tio.Pad((1, 0, 0, 1, 2, 0), padding_mode="minimum")),
    ("anisotropic", "ensure_shape_multiple: {multiple: [4, 4, 4]}", tio.EnsureShapeMultiple(4)),
    ("oblique", "ensure_shape_multiple: {multiple: [4, 3, 2], method: crop}", tio.EnsureShapeMultiple((4, 3, 2), method="crop")),
    ("anisotropic", "blur: {std_mm: [[1, 1], [0, 0], [3, 3]]}", tio.Blur((1, 0, 3))),
    ("oblique", "blur: {std_mm: [[0.3, 0.3], [2.5, 2.5], [6, 6]]}", tio.Blur((0.3, 2.5, 6))),
    ("two_channels", "blur: {std_mm: 1.2}", tio.Blur((1.2, 1.2, 1.2))),
    ("anisotropic", "bias_field: {coefficients: 0.2}", tio.BiasField(order=3, coefficients=[0.2] * 20)),
    ("oblique", "bias_field: {coefficients: -0.4, order: 2}", tio.BiasField(order=2, coefficients=[-0.4] * 10)),
    ("two_channels", "bias_field: {coefficients: 0.3, order: 1}", tio.BiasField(order=1, coefficients=[0.3] * 4)),
]


# Masks.
CASES += [
    ("anisotropic", "rescale_intensity: {to: [0, 1], percentiles: [5, 95], mask: {labels: []}}", tio.RescaleIntensity((0, 1), percentiles=(5, 95), masking_method="label")),
    ("oblique", "rescale_intensity: {to: [-1, 1], mask: {above_mean: {}}}", tio.RescaleIntensity((-1, 1), masking_method=tio.ZNormalization.mean)),
    ("lps", "z_normalize: {mask: {labels: []}}", tio.ZNormalization(masking_method="label")),
    ("oblique", "z_normalize: {mask: {above_mean: {}}}", tio.ZNormalization(masking_method=tio.ZNormalization.mean)),
    ("anisotropic", "z_normalize: {mask: {half: left}}", tio.ZNormalization(masking_method="Left")),
    ("oblique", "z_normalize: {mask: {half: anterior}}", tio.ZNormalization(masking_method="Anterior")),
    ("anisotropic", "z_normalize: {mask: {half: superior}}", tio.ZNormalization(masking_method="Superior")),
    ("anisotropic", "mask: {keep: {labels: []}, outside: -7}", tio.Mask("label", outside_value=-7)),
    ("lps", "mask: {keep: {labels: [2]}}", tio.Mask("label", labels=[2])),
    ("two_channels", "mask: {keep: {labels: [1]}, outside: 3}", tio.Mask("label", outside_value=3, labels=[1])),
    ("anisotropic", "mask: {keep: {above: 12.5}, outside: -50}", tio.Mask(lambda values: values > 12.5, outside_value=-50)),
    ("anisotropic", "crop_or_pad: {shape: [4, 5, 4], mask: {labels: [2]}}", tio.CropOrPad((4, 5, 4), mask_name="label", labels=[2])),
    ("oblique", "crop_or_pad: {shape: [5, 12, 4], mask: {labels: []}}", tio.CropOrPad((5, 12, 4), mask_name="label")),
    ("permuted", "crop_or_pad: {shape: [3, 4, null], mask: {labels: [2]}}", tio.CropOrPad((3, 4, None), mask_name="label", labels=[2])),
]

# Interpolations, references and antialiasing.
REFERENCE = (6, 7, 5), np.array([[1.1, 0.2, 0, -3], [-0.1, 1.3, 0.3, 8], [0, 0.1, 2.0, 31], [0, 0, 0, 1]])
REFERENCE_YAML = json.dumps(dict(grid=dict(shape=REFERENCE[0], affine=REFERENCE[1][:3].tolist())))
CASES += [
    ("anisotropic", "resample: {spacing_mm: [1.1, 0.9, 1.7], interpolation: nearest}", tio.Resample((1.1, 0.9, 1.7), image_interpolation="nearest")),
    ("anisotropic", "resample: {spacing_mm: [1.1, 0.9, 1.7], interpolation: cubic}", tio.Resample((1.1, 0.9, 1.7), image_interpolation="bspline")),
    ("oblique", "resample: {spacing_mm: [0.6, 1.7, 1.3], interpolation: cubic}", tio.Resample((0.6, 1.7, 1.3), image_interpolation="bspline")),
    ("lps", "resize: {shape: [9, 5, 10], interpolation: cubic}", tio.Resize((9, 5, 10), image_interpolation="bspline")),
    ("anisotropic", "resample: {reference: %s}" % REFERENCE_YAML, tio.Resample(REFERENCE)),
    ("anisotropic", "resample: {reference: %s, interpolation: cubic}" % REFERENCE_YAML, tio.Resample(REFERENCE, image_interpolation="bspline")),
    ("oblique", "resample: {reference: %s}" % json.dumps(dict(grid=dict(shape=[9, 6, 8], affine=[[0.8, 0, 0.1, -2.93], [0, 1, -0.5, 1.07], [0.1, 0.3, 1.8, 2.11]]))),
     tio.Resample(((9, 6, 8), np.array([[0.8, 0, 0.1, -2.93], [0, 1, -0.5, 1.07], [0.1, 0.3, 1.8, 2.11], [0, 0, 0, 1]])))),
    ("anisotropic", "resample: {spacing_mm: [1.9, 1.25, 4], antialias: true}", tio.Resample((1.9, 1.25, 4), antialias=True)),
    ("oblique", "resample: {spacing_mm: [2.3, 3, 1.5], antialias: true}", tio.Resample((2.3, 3, 1.5), antialias=True)),
]

# Labels.
CASES += [
    ("anisotropic", "remap_labels: {map: {1: 2, 2: 5}}", tio.RemapLabels({1: 2, 2: 5})),
    ("lps", "remap_labels: {map: {1: 0}}", tio.RemoveLabels([1])),
    ("lps", "sequential_labels: {}", tio.SequentialLabels()),
    ("oblique", "one_hot: {}", tio.OneHot()),
    ("anisotropic", "one_hot: {num_classes: 4}", tio.OneHot(4)),
]


def with_binary_labels(transform):
    """TorchIO keeps the largest component of binary label maps only."""
    def run(subject):
        subject.label.set_data((subject.label.data > 0).to(torch.uint8))
        return transform(subject)
    return run


for volume in ("anisotropic", "oblique", "permuted"):
    CASES.append((volume, "- remap_labels: {map: {2: 1}}\n- keep_largest: {}", with_binary_labels(tio.KeepLargestComponent())))


def landmarks(volume):
    """Returns TorchIO's landmarks of a volume, which TorchIO reads from a file."""
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii"
        subject(VOLUMES[volume]).image.save(path)
        return tio.HistogramStandardization.train([path], progress=False)


# Artefacts with given parameters. Displacements and movements are in LPS, as in TorchIO.
RANDOM = np.random.default_rng(7)


def control_points(shape, displacement):
    return (RANDOM.uniform(-1, 1, [*shape, 3]) * displacement).round(3)


for volume, points, displacement, yaml, name in [
    ("anisotropic", (7, 7, 7), 1.5, "", "linear"),
    ("oblique", (5, 6, 4), 1.0, "", "linear"),
    ("lps", (4, 5, 7), 2.0, "", "linear"),
    ("two_channels", (5, 5, 5), 0.7, "", "linear"),
    ("permuted", (6, 4, 5), 1.0, ", interpolation: nearest", "nearest"),
    ("oblique", (5, 5, 5), 1.2, ", interpolation: cubic", "bspline"),
]:
    field = control_points(points, displacement)
    CASES.append((volume, f"elastic_deformation: {{num_control_points: {list(points)}{yaml}}}",
                  tio.ElasticDeformation(field, (displacement,) * 3, image_interpolation=name),
                  {"elastic_deformation": field.reshape(-1, 3).tolist()}))

rotated_rng = np.random.default_rng(8)
for volume in ("rotated", "rotated_back", "rotated_cube"):
    field = (rotated_rng.uniform(-1, 1, [5, 6, 4, 3]) * 0.8).round(3)
    CASES.append((volume, "elastic_deformation: {num_control_points: [5, 6, 4]}", tio.ElasticDeformation(field, (0.8,) * 3),
                  {"elastic_deformation": field.reshape(-1, 3).tolist()}))

for volume, axis, factor in [("anisotropic", 0, 2.0), ("anisotropic", 1, 1.7), ("oblique", 2, 3.1), ("lps", 1, 4.0)]:
    CASES.append((volume, "anisotropy: {}", tio.RandomAnisotropy(axes=axis, downsampling=(factor, factor)),
                  {"anisotropy": {"axis": axis, "downsampling": factor}}))

for volume, patch, locations in [
    ("anisotropic", (3, 2, 4), [[(0, 0, 0), (7, 5, 2)], [(1, 1, 1), (5, 3, 0)], [(4, 4, 1), (1, 0, 0)]]),
    ("two_channels", (2, 3, 2), [[(4, 2, 5), (0, 1, 0)], [(3, 0, 4), (1, 1, 1)]]),
]:
    CASES.append((volume, f"swap: {{patch: {list(patch)}}}", tio.Swap(patch, locations), {"swap": locations}))

for volume, ghosts, axis, intensity, restore in [
    ("anisotropic", 2, 0, 0.8, None), ("oblique", 3, 1, 1.0, 0.3), ("lps", 4, 2, 0.6, None), ("two_channels", 2, 2, 0.9, 0.5),
]:
    CASES.append((volume, "ghosting: {}", tio.Ghosting(ghosts, axis, intensity, restore),
                  {"ghosting": {"num_ghosts": ghosts, "axis": axis, "intensity": intensity, "restore": restore}}))

for volume, positions, intensity in [
    ("anisotropic", [(0.3, 0.7, 0.55)], 1.4), ("oblique", [(0.1, 0.52, 0.9), (0.6, 0.4, 0.45)], 0.6), ("two_channels", [(0.8, 0.2, 0.3)], 2.0),
]:
    CASES.append((volume, "spike: {}", tio.Spike(np.array(positions), intensity),
                  {"spike": {"positions": positions, "intensity": intensity}}))

for volume, times, degrees, translation in [
    ("anisotropic", (0.35, 0.7), [(4, -3, 6), (-5, 2, 1)], [(0.5, -0.3, 1.0), (-1.0, 0.2, 0.4)]),
    ("oblique", (0.2, 0.4), [(8, 0, -4), (2, 5, 1)], [(0.5, 0.5, -1.0), (1.0, 0.0, 0.3)]),
    ("lps", (0.6,), [(3, 2, -6)], [(1.0, -2.0, 0.5)]),
]:
    motion = tio.Motion(degrees=np.array(degrees, float), translation=np.array(translation, float),
                        times=np.array(times), image_interpolation="linear")
    CASES.append((volume, "motion: {}", motion,
                  {"motion": {"times": times, "degrees": degrees, "translation_mm": translation}}))

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
    ("flat", (1.1, 0.9, 1.3), (12, -17, 19), (1.0, 0.5, 0)),
]:
    yaml = "affine: " + json.dumps(dict(
        scales=[[s, s] for s in scales], degrees=[[d, d] for d in degrees], translation_mm=[[t, t] for t in translation]))
    CASES.append((volume, yaml, tio.Affine(scales=scales, degrees=degrees, translation=translation,
                                           center="image", default_pad_value="minimum")))
CASES.append(("oblique", "affine: {scales: 1.1, degrees: [[12, 12], [-7, -7], [21, 21]], interpolation: cubic}",
              tio.Affine(scales=(1.1,) * 3, degrees=(12, -7, 21), translation=(0, 0, 0), center="image",
                         default_pad_value="minimum", image_interpolation="bspline")))


# Padding modes; these pad labels in the same way as intensities.
EXTENSIONS = ("edge", "reflect", "symmetric", "wrap")
for mode in ("maximum", "mean", "median", "edge", "reflect", "symmetric", "wrap", "linear_ramp"):
    CASES.append(("two_channels", "pad: {start: [2, 0, 3], end: [1, 6, 0], fill: %s}" % mode, tio.Pad((2, 1, 0, 6, 3, 0), padding_mode=mode)))
CASES += [
    # Padded by more than one reflection.
    ("permuted", "pad: {start: [11, 0, 1], end: [0, 13, 0], fill: reflect}", tio.Pad((11, 0, 0, 13, 1, 0), padding_mode="reflect")),
    ("permuted", "pad: {start: [11, 0, 1], end: [0, 13, 0], fill: symmetric}", tio.Pad((11, 0, 0, 13, 1, 0), padding_mode="symmetric")),
    ("flat", "pad: {start: [0, 2, 3], end: [1, 0, 2], fill: reflect}", tio.Pad((0, 1, 2, 0, 3, 2), padding_mode="reflect")),
    ("anisotropic", "crop_or_pad: {shape: [6, 11, 9], fill: reflect}", tio.CropOrPad((6, 11, 9), padding_mode="reflect")),
    ("oblique", "crop_or_pad: {shape: [10, 5, 14], fill: wrap}", tio.CropOrPad((10, 5, 14), padding_mode="wrap")),
    ("two_channels", "crop_or_pad: {shape: [4, 9, 8], fill: mean}", tio.CropOrPad((4, 9, 8), padding_mode="mean")),
    ("anisotropic", "crop_or_pad: {shape: [5, 12, 7], fill: linear_ramp}", tio.CropOrPad((5, 12, 7), padding_mode="linear_ramp")),
    ("oblique", "[{flip: {probabilities: [1, 0, 0]}}, {pad: {start: [3, 1, 0], fill: reflect}}, {crop: {start: [1, 0, 2]}}]",
     tio.Compose([tio.Flip(0), tio.Pad((3, 0, 1, 0, 0, 0), padding_mode="reflect"), tio.Crop((1, 0, 0, 0, 2, 0))])),
]

# Affine transforms with each border value, and about the origin.
def affine_case(scales, degrees, translation):
    keys = dict(scales=scales, degrees=degrees, translation_mm=translation)
    yaml = ", ".join(f"{key}: {[[value, value] for value in values]}" for key, values in keys.items())
    return dict(scales=scales, degrees=degrees, translation=translation), yaml


for volume in ("anisotropic", "oblique", "two_channels", "rotated"):
    numbers, yaml = affine_case((1.2, 0.8, 0.9), (12, -7, 21), (3, -2, 1))
    for fill, value in (("mean", "mean"), ("otsu", "otsu"), ("-7.5", -7.5)):
        CASES.append((volume, "affine: {%s, fill: %s}" % (yaml, fill), tio.Affine(**numbers, default_pad_value=value)))
    # A small transform, because the origin is outside some volumes.
    numbers, yaml = affine_case((1.05, 0.95, 0.98), (3, -2, 4), (1, 2, -1))
    CASES.append((volume, "affine: {%s, center: origin}" % yaml, tio.Affine(**numbers, center="origin")))


def subject(volume):
    """Returns a subject; intensities are waves of the voxel's index in [channel, x, y, z], labels their thresholds."""
    shape, channels = volume["shape"], volume.get("channels", 1)
    index = np.arange(channels * np.prod(shape), dtype=np.float64)
    image = (np.sin(0.05 * index) * 50 + np.cos(0.31 * index) * 10).astype(np.float32).reshape([channels, *shape])
    label = (image[:1] > 0).astype(np.uint8) + (image[:1] > 35)
    affine = np.array(volume["affine"], dtype=np.float64)
    return tio.Subject(image=tio.ScalarImage(tensor=torch.from_numpy(image), affine=affine),
                       label=tio.LabelMap(tensor=torch.from_numpy(label), affine=affine))


def nnunet_normalize(values, labels):
    """nnU-Net 2's CTNormalization with the fingerprint of one subject."""
    # nnU-Net samples voxels with replacement; here each voxel has the same number of samples.
    inside = np.repeat(values[labels > 0], 1000)
    low, high = np.percentile(inside, [0.5, 99.5])
    return (np.clip(values, low, high) - inside.mean()) / max(inside.std(), 1e-8), (low, high, inside.mean(), inside.std())


if __name__ == "__main__":
    for name in ("anisotropic", "oblique"):
        fitted = landmarks(name)
        CASES.append((name, "histogram_standardization: {}", tio.HistogramStandardization({"image": fitted}),
                      {"histogram_standardization": [fitted.tolist()]}))
    mask = "histogram_standardization: {mask: {above_mean: {}}}"
    CASES.append(("lps", mask, tio.HistogramStandardization({"image": fitted}, masking_method=tio.ZNormalization.mean),
                  {"histogram_standardization": [fitted.tolist()]}))
    cases = []
    for name, yaml, transform, *draws in CASES:
        result = transform(subject(VOLUMES[name]))
        cases.append(dict(
            volume=name, yaml=yaml, shape=list(result.spatial_shape), affine=result.image.affine[:3].tolist(),
            image=[round(float(v), 5) for v in result.image.data.flatten()],
            # TorchIO pads label maps with the image's value; here they are padded with 0.
            label=[] if "pad" in yaml and "fill" in yaml and not any(mode in yaml for mode in EXTENSIONS) else [int(v) for v in result.label.data.flatten()]))
        if draws:
            cases[-1]["draws"] = draws[0]
    fitted = []
    for name in ("anisotropic", "oblique", "lps"):
        fitted.append(dict(volume=name, landmarks=landmarks(name).tolist()))
    for name in ("anisotropic", "two_channels"):
        source = subject(VOLUMES[name])
        for channel in source.image.data.numpy():
            _, numbers = nnunet_normalize(channel.astype(np.float64), source.label.data.numpy()[0])
            fitted.append(dict(volume=name, foreground=[float(number) for number in numbers]))
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    volumes = {name: {"channels": 1, **volume, "affine": volume["affine"][:3]} for name, volume in VOLUMES.items()}
    value = {"torchio": tio.__version__, "volumes": volumes, "cases": cases, "fitted": fitted}
    (folder / "transforms.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")

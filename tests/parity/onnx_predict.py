"""Predicts label maps with an exported run, without runner: an example of docs/export.md, and a check of it.

usage: python tests/parity/onnx_predict.py FOLDER OUT IMAGE... [--compare DIR]

FOLDER has model.onnx and manifest.json, as `runner export onnx` writes them; a case has one image file with all channels.
With `--compare`, the label maps of `runner predict --out DIR` must be the same, apart from voxels whose two best classes
differ by less than 1e-4. Needs numpy, scipy, nibabel and onnxruntime. Steps that this example does not know are refused.
"""

import json
import sys
from itertools import product
from pathlib import Path

import nibabel
import numpy
import onnxruntime
from scipy import ndimage

TIE = 1e-4


def clamp(image, settings, _):
    low, high = settings["min"], settings["max"]
    return numpy.clip(image, -numpy.inf if low is None else low, numpy.inf if high is None else high)


def rescale_intensity(image, settings, _):
    assert settings["mask"] is None and settings["from"] is None, settings
    low, high = settings["to"]
    for channel in image:
        channel[:] = numpy.clip(channel, *numpy.percentile(channel, settings["percentiles"]))
        channel[:] = (channel - channel.min()) / (channel.max() - channel.min()) * (high - low) + low
    return image


def foreground_normalize(image, settings, fitted):
    for channel, numbers in zip(image, settings["statistics"] or fitted):
        clipped = numpy.clip(channel, numbers["low"], numbers["high"])
        channel[:] = (clipped - numbers["mean"]) / max(numbers["std"], 1e-8)
    return image


def crop_or_pad(image, affine, settings):
    """Crops and pads around the centre; returns the image and its new affine."""
    assert settings["mask"] is None and settings["fill"] in (0, 0.0), settings
    padding, crop, offset = [(0, 0)], [slice(None)], []
    for size, new in zip(image.shape[1:], settings["shape"]):
        new = size if new is None else new
        start = -(-(new - size) // 2) if new > size else 0
        padding.append((start, max(new - size - start, 0)))
        first = -(-(size - new) // 2) if new < size else 0
        crop.append(slice(first, first + new))
        offset.append(first - start)
    shift = numpy.eye(4)
    shift[:3, 3] = offset
    return numpy.pad(image, padding)[tuple(crop)], affine @ shift


INTENSITY = {"clamp": clamp, "rescale_intensity": rescale_intensity, "foreground_normalize": foreground_normalize}


def preprocessed(path, steps):
    """Returns an image [channel, x, y, z] after the steps, with its affine."""
    file = nibabel.load(path)
    for step in steps:
        if step["step"] == "to_canonical":
            file = nibabel.as_closest_canonical(file)
    image = numpy.asarray(file.dataobj, numpy.float32)
    image, affine = image[None] if image.ndim == 3 else numpy.moveaxis(image, -1, 0).copy(), file.affine
    for step in steps:
        if step["step"] == "crop_or_pad":
            image, affine = crop_or_pad(image, affine, step["settings"])
        elif step["step"] in INTENSITY:
            image = INTENSITY[step["step"]](image, step["settings"], step.get("fitted")).astype(numpy.float32)
        elif step["step"] != "to_canonical":
            sys.exit(f"this example does not know the step {step['step']}")
    return image, affine


def starts(size, window, overlap):
    """Returns where windows start along an axis: MONAI's positions."""
    interval = window if size == window else max(int(window * (1 - overlap)), 1)
    return sorted({min(step * interval, size - window) for step in range(-(-(size - window) // interval) + 1)})


def importance(window, blend):
    """Returns the weight of each voxel of a window: constant, or MONAI's Gaussian."""
    if blend == "constant":
        return numpy.ones(window, numpy.float32)
    assert blend == "gaussian", blend
    axes = [numpy.exp(-(numpy.arange(n) - (n - 1) / 2) ** 2 / (2 * (n / 8) ** 2)) for n in window]
    return numpy.maximum(axes[0][:, None, None] * axes[1][:, None] * axes[2], 1e-3).astype(numpy.float32)


def probabilities(session, manifest, image):
    """Returns the probabilities [class, x, y, z] of a preprocessed image, by blended windows."""
    inference = manifest["inference"]
    assert inference.get("convention", "monai") == "monai", "this example knows MONAI's windows only"
    window, shape = inference["window"], image.shape[1:]
    before = [(max(size, w) - size) // 2 for size, w in zip(shape, window)]
    after = [max(size, w) - size - first for size, w, first in zip(shape, window, before)]
    padded = numpy.pad(image, [(0, 0), *zip(before, after)])
    total = numpy.zeros((len(manifest["model"]["classes"]), *padded.shape[1:]), numpy.float32)
    weight, weights = numpy.zeros(padded.shape[1:], numpy.float32), importance(window, inference["blend"])
    axes = ["xyz".index(axis) + 2 for axis in inference["mirror"]]
    flips = [[axis for axis, used in zip(axes, bits) if used] for bits in product([0, 1], repeat=len(axes))]
    for start in product(*(starts(size, w, inference["overlap"]) for size, w in zip(padded.shape[1:], window))):
        place = tuple(slice(first, first + w) for first, w in zip(start, window))
        batch = padded[(slice(None), *place)][None]
        logits = [numpy.flip(session.run(None, {"image": numpy.flip(batch, flip)})[0], flip) for flip in flips]
        total[(slice(None), *place)] += (sum(logits) / len(flips))[0] * weights
        weight[place] += weights
    inside = tuple(slice(first, first + size) for first, size in zip(before, shape))
    logits = (total / weight)[(slice(None), *inside)]
    if manifest["activation"] == "sigmoid":
        return 1 / (1 + numpy.exp(-logits))
    exponents = numpy.exp(logits - logits.max(0))
    return exponents / exponents.sum(0)


def on_file_grid(values, affine, file):
    """Interpolates probabilities linearly on the grid of the file; outside, the first class is certain."""
    voxels = numpy.indices(file.shape[:3]).reshape(3, -1)
    to_preprocessed = numpy.linalg.inv(affine) @ file.affine
    points = to_preprocessed[:3, :3] @ voxels + to_preprocessed[:3, 3:]
    last = numpy.array(values.shape[1:])[:, None] - 1
    is_outside = ((points < -0.5 - 1e-6) | (points > last + 0.5 + 1e-6)).any(0)
    points = numpy.clip(numpy.where(numpy.abs(points - points.round()) < 1e-6, points.round(), points), 0, last)
    result = numpy.stack([ndimage.map_coordinates(one, points, order=1) for one in values])
    result[:, is_outside] = 0
    result[0, is_outside] = 1
    return result.reshape(-1, *file.shape[:3])


def decide(values, decision):
    labels = numpy.array(decision["labels"])
    assert decision["rule"] == "argmax", "this example knows argmax only"
    return labels[values.argmax(0)].astype(numpy.uint16)


def main():
    arguments = sys.argv[1:]
    reference = None
    if "--compare" in arguments:
        index = arguments.index("--compare")
        reference = Path(arguments[index + 1])
        del arguments[index:index + 2]
    folder, out, *images = map(Path, arguments)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 1 and not manifest["postprocessing"], "this example has no post-processing"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / manifest["model"]["file"], options, providers=["CPUExecutionProvider"])
    out.mkdir(parents=True, exist_ok=True)
    for path in images:
        image, affine = preprocessed(path, manifest["preprocessing"])
        file = nibabel.load(path)
        values = on_file_grid(probabilities(session, manifest, image), affine, file)
        label = decide(values, manifest["decision"])
        nibabel.save(nibabel.Nifti1Image(label, file.affine), out / path.name)
        if reference is not None:
            ours = numpy.asarray(nibabel.load(reference / path.name).dataobj)
            differs = ours != label
            best = numpy.sort(values, axis=0)
            lead = (best[-1] - best[-2])[differs]
            print(f"{path.name}: {label.size} voxels, {(label > 0).sum()} of them foreground, {differs.sum()} differ")
            assert (lead < TIE).all(), f"{path.name}: a voxel differs whose best class leads by {lead.max()}"


main()

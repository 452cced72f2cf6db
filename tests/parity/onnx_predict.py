"""Predicts label maps with an exported run, without runner: an example of docs/export.md, and a check of it.

usage: python tests/parity/onnx_predict.py FOLDER OUT IMAGE... [--compare DIR]

FOLDER has model.onnx and manifest.json, as `runner export onnx` writes them; a case has one image file with all channels, or its
files joined by commas. With `--compare`, the label maps of `runner predict --out DIR` must be the same, apart from voxels
whose two best classes differ by less than 1e-4, or 1e-3 where sums are in half precision (`convention: nnunet`). Needs numpy,
scipy, nibabel and onnxruntime. Steps that this example does not know are refused.
"""

import json
import sys
from itertools import product
from pathlib import Path

import nibabel
import numpy
import onnxruntime
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

TIE = {"monai": 1e-4, "nnunet": 1e-3}


def chosen(image, settings):
    """Returns the channels that a step changes."""
    return settings["channels"] if settings.get("channels") is not None else list(range(len(image)))


def clamp(image, settings, _):
    low, high = settings["min"], settings["max"]
    return numpy.clip(image, -numpy.inf if low is None else low, numpy.inf if high is None else high)


def rescale_intensity(image, settings, _):
    assert settings["mask"] is None, settings
    channels, (low, high) = chosen(image, settings), settings["to"]
    values = numpy.clip(image[channels], *numpy.percentile(image[channels], settings["percentiles"]))
    start, end = settings["from"] or (values.min(), values.max())
    image[channels] = (values - start) / (end - start) * (high - low) + low
    return image


def foreground_normalize(image, settings, fitted):
    for channel, numbers in zip(chosen(image, settings), settings["statistics"] or fitted):
        clipped = numpy.clip(image[channel], numbers["low"], numbers["high"])
        image[channel] = (clipped - numbers["mean"]) / max(numbers["std"], 1e-8)
    return image


def z_normalize(image, settings, _):
    assert settings["mask"] in (None, {"nonzero": {}}), settings
    inside = numpy.ones(image.shape[1:], bool)
    if settings["mask"] is not None:
        inside = ndimage.binary_fill_holes((image != 0).any(0))
    changed = inside if settings.get("outside") == "unchanged" else numpy.ones_like(inside)
    channels = chosen(image, settings)
    for group in [[channel] for channel in channels] if settings.get("per_channel") else [channels]:
        values = image[group][:, inside].astype(numpy.float64)
        deviation = max(values.std(ddof=settings.get("ddof", 1)), settings.get("min_std", 0))
        for channel in group:
            image[channel][changed] = (image[channel][changed] - numpy.float32(values.mean())) / numpy.float32(deviation)
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


def nonzero_box(image):
    """Returns the bounding box of the voxels that are not 0 in some channel."""
    places = numpy.argwhere((image != 0).any(0))
    if not len(places):
        return tuple(slice(0, size) for size in image.shape[1:])
    return tuple(slice(first, last + 1) for first, last in zip(places.min(0), places.max(0)))


def separate_axis(settings, spacing, target):
    """Returns the axis across which slices are resampled one by one, if there is one: nnU-Net's rule."""
    choice = settings.get("separate_axis", "auto")
    for candidate in [spacing] if choice == "always" else [spacing, target] if choice == "auto" else []:
        if choice == "always" or max(candidate) / min(candidate) > 3:
            coarsest = [axis for axis in range(3) if max(candidate) / candidate[axis] == 1]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


def zoomed(values, shape, axis, order):
    """Resizes each channel as skimage's `resize` with mode edge; slices across `axis` by themselves, taking the nearest ones."""
    if values.shape[1:] == tuple(shape):
        return values

    def resize(array, new):
        if array.shape == tuple(new):
            return array
        factors = [to / size for size, to in zip(array.shape, new)]
        resized = ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)
        return numpy.clip(resized, array.min(), array.max())

    values = values.astype(numpy.float64)
    if axis is None:
        return numpy.stack([resize(channel, shape) for channel in values])
    in_slice = [size for index, size in enumerate(shape) if index != axis]
    slices = [numpy.stack([resize(one, in_slice) for one in numpy.moveaxis(channel, axis, 0)]) for channel in values]
    nearest = (numpy.arange(shape[axis]) + 0.5) * values.shape[1 + axis] / shape[axis] - 0.5
    nearest = numpy.floor(numpy.clip(nearest, 0, values.shape[1 + axis] - 1) + 0.5).astype(int)
    return numpy.stack([numpy.moveaxis(channel[nearest], 0, axis) for channel in slices])


INTENSITY = {
    "clamp": clamp,
    "rescale_intensity": rescale_intensity,
    "foreground_normalize": foreground_normalize,
    "z_normalize": z_normalize,
}


class Case:
    """The image of a case while it is preprocessed, and the way back to its file."""

    def __init__(self, paths, steps):
        self.file = nibabel.load(paths[0])
        files = [nibabel.load(path) for path in paths]
        self.is_canonical = any(step["step"] == "to_canonical" for step in steps)
        if self.is_canonical:
            files = [nibabel.as_closest_canonical(file) for file in files]
        arrays = [numpy.asarray(file.dataobj, numpy.float32) for file in files]
        self.image = numpy.stack(arrays) if arrays[0].ndim == 3 else numpy.moveaxis(arrays[0], -1, 0).copy()
        self.affine, self.shape = files[0].affine, self.image.shape[1:]
        self.box, self.resized, self.is_padded = tuple(slice(0, size) for size in self.shape), None, False
        for step in steps:
            self.apply(step["step"], step["settings"], step.get("fitted"))

    def apply(self, name, settings, fitted):
        if name == "crop_or_pad":
            self.image, self.affine = crop_or_pad(self.image, self.affine, settings)
            self.is_padded = True
        elif name == "crop_to_nonzero":
            self.box = nonzero_box(self.image)
            self.image = self.image[(slice(None), *self.box)]
        elif name == "resample":
            assert settings.get("convention") == "nnunet" and settings["interpolation"] == "cubic", settings
            spacing = [float(size) for size in numpy.linalg.norm(self.affine[:3, :3], axis=0)]
            target = settings["spacing_mm"]["median"] if isinstance(settings["spacing_mm"], dict) else settings["spacing_mm"]
            target = [size if mm is None else mm for size, mm in zip(spacing, target)]
            before = self.image.shape[1:]
            shape = [round(size / mm * voxels) for size, mm, voxels in zip(spacing, target, before)]
            self.image = zoomed(self.image, shape, separate_axis(settings, spacing, target), 3)
            self.resized = before, separate_axis(settings, target, spacing)
        elif name in INTENSITY:
            self.image = INTENSITY[name](self.image, settings, fitted)
        elif name != "to_canonical":
            sys.exit(f"this example does not know the step {name}")
        self.image = self.image.astype(numpy.float32)

    def on_file(self, values):
        """Places values of the box, which may have been resized, into an array on the grid of the file; 0 elsewhere."""
        placed = numpy.zeros(self.shape, values.dtype)
        placed[self.box] = values
        if not self.is_canonical:
            return placed
        return apply_orientation(placed, ornt_transform(axcodes2ornt("RAS"), io_orientation(self.file.affine)))


def starts(size, window, inference):
    """Returns where windows start along an axis."""
    if inference["convention"] == "nnunet":
        steps = -(-(size - window) // (window * (1 - inference["overlap"])))
        return [round((size - window) / max(steps, 1) * step) for step in range(int(steps) + 1)] if window > 1 else list(range(size))
    interval = window if size == window else max(int(window * (1 - inference["overlap"])), 1)
    return sorted({min(step * interval, size - window) for step in range(-(-(size - window) // interval) + 1)})


def importance(window, inference):
    """Returns the weight of each voxel of a window: constant, or a Gaussian."""
    if inference["blend"] == "constant":
        return numpy.ones(window, numpy.float32)
    assert inference["blend"] == "gaussian", inference
    is_nnunet = inference["convention"] == "nnunet"
    centres = [n // 2 if is_nnunet else (n - 1) / 2 for n in window]
    axes = [numpy.exp(-(numpy.arange(n) - centre) ** 2 / (2 * (n / 8) ** 2)) for n, centre in zip(window, centres)]
    weights = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    if not is_nnunet:
        return numpy.maximum(weights, 1e-3).astype(numpy.float32)
    weights = (10 * weights / weights.max()).astype(numpy.float16)
    return numpy.where(weights == 0, weights[weights > 0].min(), weights)


def blended_logits(session, manifest, image):
    """Returns the logits [class, x, y, z] of a preprocessed image."""
    inference = manifest["inference"]
    window, shape = inference["window"], image.shape[1:]
    before = [(max(size, w) - size) // 2 for size, w in zip(shape, window)]
    after = [max(size, w) - size - first for size, w, first in zip(shape, window, before)]
    padded = numpy.pad(image, [(0, 0), *zip(before, after)])
    precision = numpy.float16 if inference["convention"] == "nnunet" else numpy.float32
    total = numpy.zeros((len(manifest["model"]["classes"]), *padded.shape[1:]), precision)
    weight, weights = numpy.zeros(padded.shape[1:], precision), importance(window, inference)
    axes = ["xyz".index(axis) + 2 for axis in inference["mirror"]]
    flips = [[axis for axis, used in zip(axes, bits) if used] for bits in product([0, 1], repeat=len(axes))]
    along = [starts(size, w, inference) for size, w in zip(padded.shape[1:], window)]
    # x changes fastest, as in nnU-Net.
    for start in (reversed_start[::-1] for reversed_start in product(*along[::-1])):
        place = tuple(slice(first, first + w) for first, w in zip(start, window))
        batch = padded[(slice(None), *place)][None]
        logits = [numpy.flip(session.run(None, {"image": numpy.flip(batch, flip)})[0], flip) for flip in flips]
        mean = (sum(logits) / len(flips))[0]
        total[(slice(None), *place)] = (total[(slice(None), *place)].astype(numpy.float32) + mean * weights.astype(numpy.float32)).astype(precision)
        weight[place] += weights
    inside = tuple(slice(first, first + size) for first, size in zip(before, shape))
    return (total / weight)[(slice(None), *inside)].astype(numpy.float32)


def activate(logits, activation):
    if activation == "sigmoid":
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
    """Returns the label of each voxel, and how far it is from another one: the lead of the best class, or of a region over 0.5."""
    labels = numpy.array(decision["labels"], numpy.uint16)
    if decision["rule"] == "regions":
        result = numpy.zeros(values.shape[1:], numpy.uint16)
        for label, probability in zip(labels, values):
            result[probability > decision["above"]] = label
        return result, numpy.abs(values - 0.5).min(0)
    assert decision["rule"] == "argmax", "this example knows argmax and regions"
    best = numpy.sort(values, axis=0)
    return labels[values.argmax(0)], best[-1] - best[-2]


def predicted(session, manifest, paths):
    """Returns the label map of a case on the grid of its file, the distance of each voxel from another label, and the file."""
    case = Case(paths, manifest["preprocessing"])
    values, inference = blended_logits(session, manifest, case.image), manifest["inference"]
    is_lattice = case.resized is not None or inference["average"] == "logits"
    if not is_lattice:
        assert case.box == tuple(slice(0, size) for size in case.shape), "this example crops to the box with average: logits only"
        values = on_file_grid(activate(values, manifest["activation"]), case.affine, case.file)
        return *decide(values, manifest["decision"]), case.file
    assert inference["average"] == "logits" and not case.is_padded, "this example resamples logits, without crop_or_pad"
    if case.resized is not None:
        values = zoomed(values, *case.resized, 1)
    label, lead = decide(activate(values, manifest["activation"]), manifest["decision"])
    return case.on_file(label), case.on_file(lead), case.file


def main():
    arguments = sys.argv[1:]
    reference = None
    if "--compare" in arguments:
        index = arguments.index("--compare")
        reference = Path(arguments[index + 1])
        del arguments[index:index + 2]
    folder, out, *images = arguments
    folder, out = Path(folder), Path(out)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 1 and not manifest["postprocessing"], "this example has no post-processing"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / manifest["model"]["file"], options, providers=["CPUExecutionProvider"])
    out.mkdir(parents=True, exist_ok=True)
    for paths in images:
        label, lead, file = predicted(session, manifest, paths.split(","))
        name = Path(paths.split(",")[0]).name
        nibabel.save(nibabel.Nifti1Image(label, file.affine), out / name)
        if reference is not None:
            known = [reference / name, reference / name.replace("_0000.nii", ".nii")]
            ours = numpy.asarray(nibabel.load(next(path for path in known if path.exists())).dataobj)
            lead = lead[ours != label]
            print(f"{name}: {label.size} voxels, {(label > 0).sum()} of them foreground, {len(lead)} differ")
            tie = TIE[manifest["inference"]["convention"]]
            assert (lead < tie).all(), f"{name}: a voxel differs that is {lead.max()} from another label"


main()

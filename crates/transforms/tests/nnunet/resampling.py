"""Writes the numbers that `crates/transforms/tests/nnunet_resampling.rs` compares with: images, label maps and logits that
nnU-Net resamples, its cropping and normalization with a mask, and the label -1 of what is outside.

usage: python resampling.py  (nnunetv2 2.8.1, scikit-image 0.26, scipy 1.17; writes resampling.json beside it)

Arrays here are [channel, z, y, x], and spacings z, y, x; those of runner, and of the JSON file, are x, y, z. Volumes are
formulas that the test repeats.
"""

import json
from pathlib import Path

import numpy as np
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape

HERE = Path(__file__).resolve().parent


def reverse(array):
    """Exchanges x, y, z and z, y, x."""
    return np.ascontiguousarray(np.transpose(array, (0, 3, 2, 1)))


def image(shape, channels):
    i = np.arange(channels * np.prod(shape), dtype=np.float64)
    values = (np.sin(0.05 * i) * 50 + np.cos(0.31 * i) * 10).astype(np.float32)
    return reverse(values.reshape(channels, *shape))


def island(shape, channels):
    """Returns the image with zeros around it, an enclosed hole of zeros, and a notch that is open to the outside."""
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    size_x, size_y, size_z = shape
    outside = (x < 2) | (y >= size_y - 3) | (z < 1)
    hole = (x >= 4) & (x < 6) & (y >= 3) & (y < 5) & (z >= 3) & (z < 5)
    notch = (x >= size_x - 3) & (y < 2) & (z >= size_z - 2)
    values = reverse(image(shape, channels)) + 100
    values[:, outside | hole | notch] = 0
    # Zeros in one channel only are inside.
    values[0, (x == 3) & (y == 1)] = 0
    return reverse(values)


def ball(shape):
    """Returns the image within an ellipsoid, and zeros around it."""
    axes = [(2 * np.arange(size) - size + 1) / size for size in shape]
    radius = sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij"))
    values = reverse(image(shape, 1)) + 100
    values[:, radius > 0.7] = 0
    return reverse(values)


def labels(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return reverse(((x // 3 + 2 * (y // 3) + z // 2) % 4)[None]).astype(np.int8)


def numbers(array):
    return [float(f"{v:.7g}") for v in reverse(array).ravel()]


def resampled(shape, spacing, target, channels, order, separate):
    """Returns a case of images and labels; all lists are x, y, z."""
    old = list(spacing[::-1])
    new = [o if t is None else t for o, t in zip(old, target[::-1])]
    data, seg = image(shape, channels), labels(shape)
    to = compute_new_shape(data.shape[1:], old, new)
    kwargs = dict(order_z=0, force_separate_z=dict(auto=None, never=False, always=True)[separate])
    data = resample_data_or_seg_to_shape(data, to, old, new, is_seg=False, order=order, **kwargs)
    seg = resample_data_or_seg_to_shape(seg, to, old, new, is_seg=True, order=1, **kwargs)
    interpolation = {0: "nearest", 1: "linear", 3: "cubic"}[order]
    spacing_mm = json.dumps(target)
    step = f"resample: {{ spacing_mm: {spacing_mm}, interpolation: {interpolation}, convention: nnunet, separate_axis: {separate} }}"
    # Logits on the new grid are resampled to the old shape.
    logits = image([int(v) for v in to[::-1]], 2)
    back = resample_data_or_seg_to_shape(logits, shape[::-1], new, old, is_seg=False, order=1, **kwargs)
    return dict(step=step, shape=shape, spacing=spacing, channels=channels, to=[int(v) for v in to[::-1]],
                image=numbers(data), label=[int(v) for v in reverse(seg).ravel()], logits=numbers(back))


def resampling_cases():
    for shape, spacing, target, channels in [
        # Isotropic, finer and coarser.
        ([6, 5, 7], [1, 1, 1], [0.7, 0.7, 0.7], 1),
        ([9, 8, 10], [1, 1, 1], [1.7, 1.7, 1.7], 1),
        ([6, 8, 6], [1, 1, 1], [2, 2, 2], 2),
        ([5, 6, 4], [0.8, 1.2, 1], [1, 1, 1], 2),
        # Of an axis and not of others; ties of the shape are rounded to even numbers.
        ([6, 5, 4], [1.5, 1, 1], [2, 1, 1], 1),
        ([5, 7, 4], [1.5, 1.5, 1], [1, 1, 1], 1),
        # Thick slices along each axis, finer and coarser, and only in plane.
        ([8, 7, 5], [1, 1, 5], [0.8, 0.8, 2.5], 1),
        ([8, 5, 7], [1, 5, 1], [0.8, 3, 0.8], 1),
        ([5, 8, 7], [5, 1, 1], [2, 0.8, 0.8], 2),
        ([8, 9, 8], [1, 1, 4], [1.5, 1.5, 8], 2),
        ([8, 8, 9], [1, 4, 1], [1.5, 7, 1.5], 1),
        ([8, 9, 8], [4, 1, 1], [8, 1.5, 1.3], 1),
        ([8, 7, 4], [1, 1, 5], [1.3, 1.3, 5], 1),
        ([8, 7, 4], [1, 1, 5], [1, 1, 2.2], 1),
        # Thick slices after resampling only.
        ([6, 5, 9], [1, 1, 1], [0.8, 0.8, 4], 1),
        # Two axes with long voxels.
        ([9, 5, 4], [0.25, 1.25, 1.25], [0.5, 1, 1], 1),
        # One voxel along an axis.
        ([6, 7, 1], [1, 1, 1], [0.7, 0.7, 1], 2),
        ([6, 1, 7], [1, 5, 1], [0.8, 5, 1.3], 1),
        ([1, 7, 6], [2, 1, 1], [0.5, 0.7, 1.2], 1),
        # Kept axes, as in two-dimensional configurations.
        ([8, 7, 3], [1, 1, 5], [0.8, 0.7, None], 1),
        ([3, 7, 8], [1.1, 1, 1], [None, 0.8, 1.4], 1),
        # No change.
        ([4, 5, 3], [1, 1, 5], [1, 1, 5], 1),
    ]:
        yield resampled(shape, spacing, target, channels, 3, "auto")
    yield resampled([6, 5, 7], [1, 1, 5], [0.7, 0.8, 3.3], 1, 3, "never")
    yield resampled([6, 5, 7], [1, 1, 2], [0.7, 0.8, 1.3], 1, 3, "always")
    yield resampled([6, 5, 7], [1, 2, 2], [0.7, 1.8, 1.3], 1, 3, "always")
    for order in (0, 1):
        yield resampled([6, 5, 7], [1, 1, 1], [0.7, 1.3, 0.9], 1, order, "auto")
        yield resampled([6, 5, 7], [1, 1, 5], [0.7, 1.3, 3], 1, order, "auto")


def masked_cases():
    for shape, channels in [([10, 11, 9], 2), ([9, 10, 8], 1)]:
        data, seg, bbox = crop_to_nonzero(island(shape, channels))
        box = [[int(side[0]) for side in bbox[::-1]], [int(side[1]) for side in bbox[::-1]]]
        for masked in (True, False):
            normalize = ZScoreNormalization(masked, {})
            out = np.stack([normalize.run(channel.copy(), seg[0]) for channel in data])
            mask = "mask: { nonzero: {} }, outside: unchanged, " if masked else ""
            chain = f"[{{ crop_to_nonzero: {{}} }}, {{ z_normalize: {{ {mask}ddof: 0, per_channel: true }} }}]"
            yield dict(chain=chain, shape=shape, channels=channels, box=box, image=numbers(out))


def background_cases():
    """Yields label maps in which nnU-Net has labelled the background -1 and then resampled."""
    for shape, spacing, target in [
        ([10, 11, 9], [1, 1, 1], [0.7, 0.8, 0.6]),
        ([10, 11, 9], [1, 1, 1], [1.7, 1.3, 1.4]),
        ([10, 11, 9], [1, 1, 1], [2, 2, 2]),
        ([12, 11, 7], [1, 1, 5], [0.8, 1.3, 2.5]),
        ([10, 11, 9], [1, 1, 1], [1, 1, 1]),
    ]:
        # Also labelled voxels are outside the mask; they are not background.
        seg = labels(shape)
        seg[seg == 3] = 0
        data, seg, _ = crop_to_nonzero(ball(shape), seg)
        to = compute_new_shape(data.shape[1:], spacing[::-1], target[::-1])
        seg = resample_data_or_seg_to_shape(seg, to, spacing[::-1], target[::-1], is_seg=True, order=1, order_z=0,
                                            force_separate_z=None)
        chain = f"[{{ crop_to_nonzero: {{}} }}, {{ resample: {{ spacing_mm: {target}, convention: nnunet }} }}]"
        yield dict(chain=chain, shape=shape, spacing=spacing, label=[int(v) for v in reverse(seg).ravel()])


def main():
    content = dict(resampling=list(resampling_cases()), masked=list(masked_cases()), background=list(background_cases()))
    path = HERE / "resampling.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

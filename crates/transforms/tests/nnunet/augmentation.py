"""Writes the numbers that `crates/transforms/tests/nnunet.rs` compares with: what batchgeneratorsv2 computes for given
parameters, the distribution of the parameters that it samples, and the sizes of the patches that nnU-Net cuts.

usage: python augmentation.py  (batchgeneratorsv2 0.3.6, nnunetv2 2.8.1, torch 2.12.1; writes augmentation.json beside it)

Arrays here are [channel, z, y, x]; those of runner, and of the JSON file, are [channel, x, y, z]. Volumes are formulas that
the test repeats.
"""

import json
from pathlib import Path

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size

HERE = Path(__file__).resolve().parent
ISOTROPIC, ANISOTROPIC = [7, 6, 8], [9, 8, 4]
DRAWS = 20_000


def reverse(array):
    """Exchanges x, y, z and z, y, x."""
    return np.ascontiguousarray(np.transpose(array, (0, 3, 2, 1)))


def image(shape, channels):
    i = np.arange(channels * np.prod(shape), dtype=np.float64)
    values = (np.sin(0.05 * i) * 50 + np.cos(0.31 * i) * 10).astype(np.float32)
    return torch.from_numpy(reverse(values.reshape(channels, *shape)))


def labels(shape):
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return torch.from_numpy(reverse(((x // 3 + 2 * (y // 3) + z // 2) % 4)[None]).astype(np.int16))


def listed(tensor):
    return [float(f"{v:.6g}") for v in reverse(tensor.numpy()).ravel()]


def case(step, shape, channels, draws, result, **more):
    return dict(step=step, shape=shape, channels=channels, draws=draws, image=listed(result), **more)


def chosen(values):
    """Returns the indices and the values of the channels that are changed."""
    indices = [i for i, value in enumerate(values) if value is not None]
    return indices, [values[i] for i in indices]


def intensity_cases():
    for shape, channels in [(ISOTROPIC, 1), (ISOTROPIC, 3), (ANISOTROPIC, 2)]:
        def with_channels(values):
            return (values * 3)[:channels]

        for sigmas in with_channels([[0.5, 0.62, 0.95]]), with_channels([None, [1.0, 0.55, 0.7]]):
            apply = torch.tensor([s is not None for s in sigmas])
            params = dict(apply_to_channel=apply, sigmas=[s[::-1] for s in sigmas if s is not None])
            transform = GaussianBlurTransform((0.5, 1.0), False, False, p_per_channel=0.5)
            result = transform._apply_to_image(image(shape, channels), **params)
            yield case("blur: { std_voxels: [0.5, 1], channel_probability: 0.5 }", shape, channels, dict(blur=sigmas), result)
        for factors in with_channels([1.2]), with_channels([0.8, None]):
            indices, values = chosen(factors)
            params = dict(apply_to_channel=torch.tensor(indices), multipliers=torch.tensor(values))
            for name, transform in [
                ("brightness", MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), False, 1)),
                ("contrast", ContrastTransform(BGContrast((0.75, 1.25)), True, False, 1)),
            ]:
                result = transform._apply_to_image(image(shape, channels), **params)
                step = f"{name}: {{ factor: [0.75, 1.25], channel_probability: 0.5 }}"
                yield case(step, shape, channels, {name: factors}, result)
        for scales in with_channels([0.5]), with_channels([0.81, None]), with_channels([0.66]), with_channels([0.97]):
            for axes, ignored in ([0, 1, 2], None), ([0, 1], (0,)):
                indices, values = chosen(scales)
                scale = torch.tensor(values)[:, None].repeat(1, 3)
                if ignored is not None:
                    scale[:, ignored] = 1
                params = dict(apply_to_channel=torch.tensor(indices), scales=scale)
                transform = SimulateLowResolutionTransform((0.5, 1), False, True, ignored, None, 0.5)
                result = transform._apply_to_image(image(shape, channels), **params)
                step = f"low_resolution: {{ scale: [0.5, 1], axes: {axes}, channel_probability: 0.5 }}"
                yield case(step, shape, channels, dict(low_resolution=scales), result)
        for invert, keep in (True, True), (False, True), (False, False), (True, False):
            for exponents in with_channels([0.7]), with_channels([1.45, None]):
                indices, values = chosen(exponents)
                count = len(indices)
                params = dict(apply_to_channel=torch.tensor(indices), gamma=torch.tensor(values),
                              retain_stats=torch.full((count,), keep), invert_image=torch.full((count,), invert))
                transform = GammaTransform(BGContrast((0.7, 1.5)), invert, False, 1, keep)
                result = transform._apply_to_image(image(shape, channels), **params)
                step = f"gamma: {{ exponent: [0.7, 1.5], channel_probability: 0.5, invert: {str(invert).lower()}, keep_mean_and_std: {str(keep).lower()} }}"
                yield case(step, shape, channels, dict(gamma=exponents), result)


def spatial(patch, degrees, scales):
    """Returns nnU-Net's transform with fixed parameters, all in the order z, y, x."""
    return SpatialTransform(
        patch, patch_center_dist_from_border=0, random_crop=False, p_elastic_deform=0,
        p_rotation=float(degrees is not None), rotation=lambda image, dim: np.deg2rad(degrees[dim]),
        p_scaling=float(scales is not None), scaling=lambda image, dim: scales[dim],
        p_synchronize_scaling_across_axes=-1, bg_style_seg_sampling=False, border_mode_seg="constant",
        padding_value_seg=-1)


def exact_scores(seg, matrix, patch):
    """Returns the interpolated one-hot labels in double precision, -1 first."""
    from scipy.ndimage import map_coordinates
    shape = np.array(seg.shape)
    out = np.stack(np.meshgrid(*[np.arange(s) - (s - 1) / 2 for s in patch], indexing="ij"))
    points = np.einsum("ij,jzyx->izyx", matrix, out) + ((shape - 1) / 2)[:, None, None, None]
    padded = np.pad(seg, 1, constant_values=-1)
    inside = points + 1
    return np.stack([map_coordinates((padded == u).astype(float), inside, order=1, mode="constant", cval=float(u == -1))
                     for u in (-1, 0, 1, 2, 3)])


def ties(seg, degrees, scales, patch):
    """Returns the voxels, in the order of runner, in which two labels have nearly the same score."""
    from batchgeneratorsv2.transforms.spatial.spatial import create_affine_matrix_3d
    matrix = create_affine_matrix_3d(np.deg2rad(degrees or [0] * 3), scales or [1] * 3)
    scores = np.sort(exact_scores(seg, matrix, patch), axis=0)
    return [int(i) for i in np.flatnonzero(reverse((scores[-1] - scores[-2] < 2e-3)[None]))]


def spatial_cases():
    for shape, patch, degrees, scales in [
        ([14, 13, 15], [8, 9, 7], [20, -13, 28], None),
        ([14, 13, 15], [8, 9, 7], [-30, 30, 11], [1.3] * 3),
        ([13, 14, 12], [9, 8, 8], None, [0.72] * 3),
        ([13, 14, 12], [9, 8, 8], None, [1.4, 0.8, 1.1]),
        ([9, 8, 10], [9, 8, 10], [29, -25, 17], [1.25] * 3),
        ([14, 13, 15], [8, 9, 7], None, None),
        ([13, 10, 12], [8, 9, 7], None, None),
    ]:
        for channels in (1, 2) if degrees else (1,):
            flip = lambda values: values and values[::-1]
            data = dict(image=image(shape, channels), segmentation=labels(shape))
            out = RemoveLabelTansform(-1, 0)(**spatial(patch[::-1], flip(degrees), flip(scales))(**data))
            # Ours are angles of the content about x, y and z; for a sampling grid in the order z, y, x they are the same.
            draws = dict(rotate_and_scale=dict(degrees=degrees, scales=scales))
            tied = ties(labels(shape)[0].numpy(), flip(degrees), flip(scales), patch[::-1]) if degrees or scales else []
            yield case(f"rotate_and_scale: {{ patch: {patch}, degrees: [-30, 30], scales: [0.7, 1.4], isotropic: false }}", shape, channels,
                       draws, out["image"], label=[int(v) for v in reverse(out["segmentation"].numpy()).ravel()],
                       ties=tied)


def dummy_2d_cases():
    for shape, patch, angle, scales in [
        ([15, 17, 4], [10, 12, 4], 37.0, None),
        ([15, 17, 4], [10, 12, 4], -151.0, [1.2] * 2),
        ([15, 16, 3], [12, 12, 3], None, [1.35] * 2),
        ([15, 16, 3], [12, 12, 3], None, None),
    ]:
        data = dict(image=image(shape, 2), segmentation=labels(shape))
        degrees = None if angle is None else [angle] * 2
        transform = spatial(patch[1::-1], degrees, scales)
        out = Convert2DTo3DTransform()(**transform(**Convert3DTo2DTransform()(**data)))
        out = RemoveLabelTansform(-1, 0)(**out)
        draws = dict(rotate_and_scale=dict(
            degrees=None if angle is None else [0, 0, angle], scales=None if scales is None else [*scales, 1]))
        matrix = [0 if angle is None else angle, 0, 0], [1, *(scales or [1, 1])]
        tied = ties(labels(shape)[0].numpy(), *matrix, patch[::-1]) if angle or scales else []
        yield case(f"rotate_and_scale: {{ patch: {patch}, degrees: [-180, 180], scales: [0.7, 1.4], in_plane: z }}", shape,
                   2, draws, out["image"], label=[int(v) for v in reverse(out["segmentation"].numpy()).ravel()], ties=tied)


def masked_cases():
    """Yields patches that are rotated, scaled and mirrored, then masked where the label is -1."""
    for shape, patch, degrees, scales, axes, channels in [
        ([14, 13, 15], [8, 9, 7], [20, -13, 28], None, [0, 2], [0, 1]),
        ([13, 14, 12], [9, 8, 8], [-30, 30, 11], [1.3] * 3, [], [0]),
        ([9, 8, 10], [9, 8, 10], None, [1.25] * 3, [1], [1]),
        ([14, 13, 15], [8, 9, 7], None, None, [0, 1, 2], [0, 1]),
    ]:
        flip = lambda values: values and values[::-1]
        seg = background(labels(shape))
        data = dict(image=image(shape, 2), segmentation=seg.clone())
        data = spatial(patch[::-1], flip(degrees), flip(scales))(**data)
        for axis in axes:
            data = {key: torch.flip(value, (3 - axis,)) for key, value in data.items()}
        out = RemoveLabelTansform(-1, 0)(**MaskImageTransform(channels, 0, 0)(**data))
        tied = ties(seg[0].numpy(), flip(degrees), flip(scales), patch[::-1]) if degrees or scales else []
        size, mirrored = patch, [int(axis in axes) for axis in range(3)]
        tied = [int(np.ravel_multi_index([size[a] - 1 - i if mirrored[a] else i for a, i in enumerate(index)], size))
                for index in zip(*np.unravel_index(tied, size))] if tied else []
        step = (f"[{{ rotate_and_scale: {{ patch: {patch}, degrees: [-30, 30], scales: [0.7, 1.4] }} }}, "
                f"{{ flip: {{ probabilities: {mirrored} }} }}, {{ mask_background: {{ channels: {channels} }} }}]")
        yield dict(chain=step, shape=shape, draws=[dict(rotate_and_scale=dict(degrees=degrees, scales=scales)),
                                                   dict(flip=[bool(m) for m in mirrored]), "nothing"],
                   image=listed(out["image"]), label=[int(v) for v in reverse(out["segmentation"].numpy()).ravel()], ties=tied)


def background(seg):
    """Returns labels that are -1 instead of 0 at one end of each axis."""
    z, y, x = np.meshgrid(*map(np.arange, seg.shape[1:]), indexing="ij")
    outside = torch.from_numpy((x < 4) | (y >= seg.shape[2] - 4) | (z < 3))[None]
    return torch.where(outside & (seg == 0), torch.full_like(seg, -1), seg)


def normalization_cases():
    for shape in ISOTROPIC, ANISOTROPIC:
        properties = dict(mean=0, std=0)
        whole = ZScoreNormalization(False, properties).run(image(shape, 1)[0].numpy(), None)
        yield case("z_normalize: { ddof: 0 }", shape, 1, "nothing", torch.from_numpy(whole[None]))
        seg = labels(shape)[0].numpy() - 1
        masked = ZScoreNormalization(True, properties).run(image(shape, 1)[0].numpy(), seg)
        yield case("z_normalize: { mask: { labels: [] }, ddof: 0, outside: unchanged }", shape, 1, "nothing",
                   torch.from_numpy(masked[None]))
        data = dict(image=image(shape, 2), segmentation=labels(shape) - 1)
        out = MaskImageTransform([0, 1], 0, 0)(**data)
        yield case("mask: { keep: { labels: [] }, outside: 0 }", shape, 2, "nothing", out["image"])


def quantiles(values):
    return [float(f"{v:.6g}") for v in np.quantile(np.array(values, dtype=np.float64), np.arange(0.05, 1, 0.1))]


def distributions():
    """Returns the probability that a channel is changed, and quantiles of the parameter, of each transform."""
    data = dict(image=torch.zeros((2, 4, 4, 4)))
    repeat = range(DRAWS)

    noise = [GaussianNoiseTransform((0, 0.1), 1, True).get_parameters(**data) for _ in repeat]
    yield "noise: { std: [0, 0.1] }", 1, quantiles([p["sigmas"] for p in noise])
    blur = [GaussianBlurTransform((0.5, 1.0), False, False, p_per_channel=0.5).get_parameters(**data) for _ in repeat]
    yield ("blur: { std_voxels: [0.5, 1], channel_probability: 0.5 }",
           np.mean([p["apply_to_channel"].numpy() for p in blur]), quantiles([s for p in blur for c in p["sigmas"] for s in c]))
    bright = [MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), False, 1).get_parameters(**data) for _ in repeat]
    yield "brightness: { factor: [0.75, 1.25] }", 1, quantiles([m for p in bright for m in p["multipliers"]])
    contrast = [ContrastTransform(BGContrast((0.75, 1.25)), True, False, 1).get_parameters(**data) for _ in repeat]
    yield "contrast: { factor: [0.75, 1.25] }", 1, quantiles([m for p in contrast for m in p["multipliers"]])
    low = [SimulateLowResolutionTransform((0.5, 1), False, True, None, None, 0.5).get_parameters(**data) for _ in repeat]
    yield ("low_resolution: { scale: [0.5, 1], channel_probability: 0.5 }",
           np.mean([len(p["apply_to_channel"]) / 2 for p in low]), quantiles([s[0] for p in low for s in p["scales"]]))
    gamma = [GammaTransform(BGContrast((0.7, 1.5)), 1, False, 1, 1).get_parameters(**data) for _ in repeat]
    yield "gamma: { exponent: [0.7, 1.5], invert: true }", 1, quantiles([g for p in gamma for g in p["gamma"]])


def spatial_distribution():
    """Returns the probabilities of rotations and scalings, and quantiles of angles (degrees) and scales."""
    angles, scales, rotated, scaled = [], [], 0, 0
    transform = SpatialTransform(
        (2, 2, 2), patch_center_dist_from_border=0, random_crop=False, p_elastic_deform=0, p_rotation=0.2,
        rotation=(-np.pi / 6, np.pi / 6), p_scaling=0.2, scaling=(0.7, 1.4), p_synchronize_scaling_across_axes=1)
    data = dict(image=torch.zeros((1, 4, 4, 4)))
    for _ in range(DRAWS):
        matrix = transform.get_parameters(**data)["affine"]
        if matrix is None:
            continue
        lengths = np.linalg.norm(matrix, axis=0)
        assert np.allclose(lengths, lengths[0]), "one scale for all axes"
        rotation = matrix / lengths[0]
        if abs(lengths[0] - 1) > 1e-9:
            scaled += 1
            scales.append(lengths[0])
        if np.abs(rotation - np.eye(3)).max() > 1e-9:
            rotated += 1
            # Rz Ry Rx.
            angles += [np.arctan2(rotation[2, 1], rotation[2, 2]), -np.arcsin(rotation[2, 0]),
                       np.arctan2(rotation[1, 0], rotation[0, 0])]
    return dict(rotated=rotated / DRAWS, scaled=scaled / DRAWS, degrees=quantiles(np.rad2deg(angles)), scales=quantiles(scales))


def patch_sizes():
    """Returns patches and the larger ones that nnU-Net cuts, both along x, y and z."""
    for patch in [128, 128, 128], [40, 56, 40], [160, 96, 112], [64, 192, 160], [96, 160, 160], [48, 224, 224]:
        rotation = (-np.pi / 6, np.pi / 6)
        larger = get_patch_size(patch[::-1], rotation, rotation, rotation, (0.85, 1.25))
        yield dict(patch=patch, degrees=30, in_plane=False, input=[int(v) for v in larger[::-1]])
    for patch in [320, 320, 16], [256, 224, 14], [20, 64, 6], [224, 320, 28]:
        rotation = (-np.pi, np.pi)
        larger = get_patch_size(patch[::-1], rotation, rotation, rotation, (0.85, 1.25))
        larger[0] = patch[::-1][0]
        yield dict(patch=patch, degrees=180, in_plane=True, input=[int(v) for v in larger[::-1]])


def main():
    torch.set_num_threads(1)
    np.random.seed(0)
    torch.manual_seed(0)
    numbers = dict(
        cases=[*intensity_cases(), *spatial_cases(), *dummy_2d_cases(), *normalization_cases()],
        distributions=[dict(step=step, changed=float(changed), quantiles=values) for step, changed, values in distributions()],
        spatial=spatial_distribution(),
        patches=list(patch_sizes()),
        masked=list(masked_cases()),
    )
    path = HERE / "augmentation.json"
    path.write_text(json.dumps(numbers, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

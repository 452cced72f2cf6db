"""Writes the numbers that `crates/engine/tests/nnunet.rs` compares with: where nnU-Net places windows, its Gaussians, and what
it predicts with a toy network, from the scan to the label map.

usage: python inference.py  (nnunetv2 2.8.1, torch 2.12.1; writes inference.json beside it)

Arrays here are [channel, z, y, x], and shapes and spacings z, y, x; those of runner, and of the JSON file, are x, y, z. Scans
and the network are formulas that the test repeats.
"""

import json
from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

HERE = Path(__file__).resolve().parent
CT = dict(mean=40.0, std=55.0, percentile_00_5=-60.0, percentile_99_5=150.0)


def reverse(array):
    """Exchanges x, y, z and z, y, x."""
    return np.ascontiguousarray(np.transpose(array, (0, 3, 2, 1)))


def numbers(array):
    return [float(f"{v:.7g}") for v in reverse(array).ravel()]


def integers(array):
    return [int(v) for v in reverse(array).ravel()]


def scan(shape):
    """Returns two channels with zeros around them and a hole of zeros, and labels; shape is x, y, z."""
    x, y, z = np.meshgrid(*[np.arange(size, dtype=np.float64) for size in shape], indexing="ij")
    first = np.sin(0.5 * x + 0.2 * y) * 60 + np.cos(0.9 * z - 0.3 * x) * 30 + 80
    second = np.cos(0.45 * y - 0.15 * x) * 90 + np.sin(0.8 * z) * 40 + 30
    size_x, size_y, size_z = shape
    outside = (x < 1) | (x >= size_x - 2) | (y < 2) | (z >= size_z - 1)
    hole = (abs(x - 5) < 1.5) & (abs(y - 7) < 1.5) & (z == 2)
    image = np.stack([first, second]).astype(np.float32)
    image[:, outside | hole] = 0
    label = (x // 4 + y // 5 + z // 2) % 3
    return reverse(image), reverse(label[None]).astype(np.int8)


class Network(torch.nn.Module):
    """Logits of a voxel from its intensities and its position in the window."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, windows):
        sizes = windows.shape[2:]
        index = torch.meshgrid(*[torch.arange(size, dtype=torch.float32) for size in sizes], indexing="ij")
        position = sum(factor * along for factor, along in zip([0.05, 0.03, -0.02], index[::-1]))
        first, second = windows[:, 0], windows[:, 1]
        return torch.stack([
            self.scale * (0.6 * first + position),
            self.scale * (0.9 * second - position) + 0.1,
            self.scale * (0.3 * first * second) - 0.2,
        ], dim=1)


def plans(case):
    resampling = dict(is_seg=False, order=3, order_z=0, force_separate_z=None)
    function = "resample_data_or_seg_to_shape"
    configuration = dict(
        data_identifier="x", preprocessor_name="DefaultPreprocessor", batch_size=2, batch_dice=False, architecture={},
        patch_size=[size for size in case["window"][::-1] if not (case["is_2d"] and size == 1)],
        median_image_size_in_voxels=[1, 1, 1], spacing=[mm for mm in case["target"][::-1] if mm is not None],
        normalization_schemes=["ZScoreNormalization", "CTNormalization"], use_mask_for_norm=[case["masked"], False],
        resampling_fn_data=function, resampling_fn_data_kwargs=resampling,
        resampling_fn_seg=function, resampling_fn_seg_kwargs=dict(resampling, is_seg=True, order=1),
        resampling_fn_probabilities=function, resampling_fn_probabilities_kwargs=dict(resampling, order=1),
    )
    return PlansManager(dict(
        dataset_name="Dataset000", plans_name="nnUNetPlans", image_reader_writer="SimpleITKIO",
        transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2], label_manager="LabelManager",
        foreground_intensity_properties_per_channel={"0": CT, "1": CT}, configurations=dict(c=configuration)))


def predicted(case):
    manager = plans(case)
    configuration = manager.get_configuration("c")
    dataset = dict(channel_names={"0": "MR", "1": "CT"}, labels=case["labels"], file_ending=".nii.gz")
    if "order" in case:
        dataset["regions_class_order"] = case["order"]
    image, seg = scan(case["shape"])
    truth = seg.copy()
    properties = dict(spacing=case["spacing"][::-1])
    data, seg, properties = DefaultPreprocessor(False).run_case_npy(
        image, seg, properties, manager, configuration, dataset)

    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=bool(case["mirror"]), perform_everything_on_device=False,
        device=torch.device("cpu"), verbose=False, allow_tqdm=False)
    axes = tuple(sorted("zyx"[case["is_2d"]:].index(axis) for axis in case["mirror"])) or None
    folds = [dict(scale=torch.tensor(scale)) for scale in case["scales"]]
    predictor.manual_initialization(Network(), manager, configuration, folds, dataset, "nnUNetTrainer", axes)
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    export = dict(plans_manager=manager, configuration_manager=configuration, properties_dict=properties,
                  label_manager=manager.get_label_manager(dataset))
    labels = convert_predicted_logits_to_segmentation_with_correct_shape(logits.clone(), **export)
    _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits.clone(), return_probabilities=True, **export)
    bounds = properties["bbox_used_for_cropping"]
    # nnU-Net marks background outside the mask of non-zero voxels by the label -1, which it removes after resampling; here
    # that is background like the other.
    target = [old if new is None else new for old, new in zip(case["spacing"], case["target"])][::-1]
    cropped = truth[(slice(None), *[slice(*bound) for bound in bounds])]
    label = configuration.resampling_fn_seg(cropped, data.shape[1:], properties["spacing"], target)
    print(np.sum(np.maximum(seg, 0) != label), "of", label.size, "labels differ from those with -1")
    box = np.array(bounds)[::-1].T
    return dict(
        shape=case["shape"], spacing=case["spacing"], target=case["target"], window=case["window"], mirror=case["mirror"],
        scales=case["scales"], masked=case["masked"], regions=case.get("order"), box=box.tolist(),
        preprocessed=list(data.shape[:0:-1]), image=numbers(data), label=integers(label), logits=numbers(logits.float().numpy()),
        prediction=integers(labels[None]), probabilities=numbers(probabilities))


LABELS = dict(background=0, a=1, b=2)
CASES = [
    # Thick slices, finer after resampling; an ensemble, mirrored.
    dict(shape=[16, 18, 8], spacing=[1.0, 1.0, 4.0], target=[0.8, 0.9, 3.0], window=[10, 8, 4], mirror="xyz",
         scales=[1.0, 0.5], masked=True, is_2d=False, labels=LABELS),
    # Nearly isotropic, coarser after resampling; regions.
    dict(shape=[15, 14, 11], spacing=[1.0, 0.9, 1.2], target=[1.4, 1.3, 1.5], window=[6, 16, 5], mirror="y", scales=[1.3],
         masked=False, is_2d=False, labels=dict(background=0, whole=[1, 2, 3], core=[2, 3], rest=3), order=[1, 2, 3]),
    # Two-dimensional.
    dict(shape=[15, 16, 6], spacing=[0.8, 0.8, 3.0], target=[1.0, 1.1, None], window=[8, 6, 1], mirror="x", scales=[1.0],
         masked=True, is_2d=True, labels=LABELS),
]


def window_starts():
    for size, tile, step in [(110, 64, 0.5), (64, 64, 0.5), (65, 64, 0.5), (97, 32, 0.5), (200, 56, 0.5), (41, 40, 0.5),
                             (300, 128, 0.5), (117, 20, 0.5), (59, 14, 0.75), (100, 37, 0.3), (9, 2, 0.5), (88, 5, 0.9)]:
        yield dict(size=size, window=tile, overlap=1 - step, starts=compute_steps_for_sliding_window((size,), (tile,), step)[0])


def gaussians():
    for window in [5, 4, 6], [3, 9, 2], [12, 10, 1], [20, 7, 1], [1, 1, 8]:
        tile = tuple(size for size in window[::-1] if size > 1)
        weights = compute_gaussian(tile, sigma_scale=1 / 8, value_scaling_factor=10, device=torch.device("cpu")).float()
        yield dict(window=window, weights=[float(v) for v in reverse(weights.numpy().reshape(1, *window[::-1])).ravel()])


def main():
    torch.set_num_threads(1)
    content = dict(starts=list(window_starts()), gaussians=list(gaussians()), predictions=[predicted(case) for case in CASES])
    path = HERE / "inference.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes plans.json: what nnunetv2 plans for made-up fingerprints and, if the folder is given, for real datasets.

    pip install nnunetv2==2.8.1
    python3 plans.py [DATA_FOLDER]                    # writes plans.json beside this script
    python3 plans.py --random COUNT SEED FILE.json    # as many random fingerprints, for a comparison by hand

Lists have nnU-Net's order, z to x, and in plans that of transpose_forward; the test converts them. DATA_FOLDER has folders in
the layout of the Medical Segmentation Decathlon. Networks are built on the meta device, which has no memory: only the sizes of
their feature maps are computed.
"""
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import warnings
from pathlib import Path

BASE = Path(tempfile.mkdtemp())
for key in ["raw", "preprocessed", "results"]:
    (BASE / key).mkdir()
    os.environ[f"nnUNet_{key}"] = str(BASE / key)

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor  # noqa: E402
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner  # noqa: E402
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (  # noqa: E402
    nnUNetPlannerResEncL,
    nnUNetPlannerResEncM,
    nnUNetPlannerResEncXL,
)

PLANNERS = {
    "nnunet": ExperimentPlanner,
    "resenc_m": nnUNetPlannerResEncM,
    "resenc_l": nnUNetPlannerResEncL,
    "resenc_xl": nnUNetPlannerResEncXL,
}
ESTIMATE = ExperimentPlanner.static_estimate_VRAM_usage


def estimate_on_meta(*arguments):
    with torch.device("meta"):
        return ESTIMATE(*arguments)


ExperimentPlanner.static_estimate_VRAM_usage = staticmethod(estimate_on_meta)


def plan(dataset_json, fingerprint, memory_gb=None, presets=PLANNERS):
    """Plans a dataset with each planner; returns what experiments depend on."""
    name = "Dataset001_Made"
    raw, preprocessed = BASE / "raw" / name, BASE / "preprocessed" / name
    raw.mkdir(exist_ok=True)
    preprocessed.mkdir(exist_ok=True)
    image = raw / "case_0000.nii.gz"
    if not image.exists():
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), image)
    dataset_json = {**dataset_json, "file_ending": ".nii.gz", "dataset": {"case": {"images": [image.name], "label": image.name}}}
    (raw / "dataset.json").write_text(json.dumps(dataset_json))
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    result = {}
    for preset in presets:
        # Plans that exist would keep their other configurations.
        (preprocessed / f"{preset}.json").unlink(missing_ok=True)
        options = {} if memory_gb is None else {"gpu_memory_target_in_gb": memory_gb}
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                plans = PLANNERS[preset](name, plans_name=preset, **options).plan_experiment()
            except (ValueError, OverflowError, ZeroDivisionError, RuntimeError) as error:
                print(preset, error, file=sys.stderr)
                continue
        plans = json.loads(json.dumps(plans))
        result[preset] = {
            "transpose_forward": plans["transpose_forward"],
            "configurations": {key: reduced(value) for key, value in plans["configurations"].items()},
        }
    return result


def reduced(configuration):
    """Returns what an experiment depends on."""
    if "inherits_from" in configuration:
        return configuration
    keys = ["spacing", "patch_size", "median_image_size_in_voxels", "batch_size", "batch_dice", "normalization_schemes", "use_mask_for_norm"]
    network = configuration["architecture"]["arch_kwargs"]
    kept = {key: configuration[key] for key in keys}
    for key in ["features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage_decoder"]:
        kept[key] = network[key]
    kept["blocks"] = network.get("n_conv_per_stage", network.get("n_blocks_per_stage"))
    kept["network"] = configuration["architecture"]["network_class_name"].rsplit(".")[-1]
    return kept


def dataset(channels=("CT",), labels=2, subjects=20):
    """Returns a dataset.json with as many entries of labels."""
    names = {"background": 0, **{f"label_{index}": index for index in range(1, labels)}}
    return {"channel_names": {str(index): name for index, name in enumerate(channels)}, "labels": names, "numTraining": subjects}


def fingerprint(spacings, shapes, relative_size=1.0):
    """Returns a dataset_fingerprint.json; spacings and shapes run from z to x."""
    statistics = {"mean": 0.0, "median": 0.0, "std": 1.0, "min": 0.0, "max": 1.0, "percentile_99_5": 1.0, "percentile_00_5": 0.0}
    return {
        "spacings": [list(map(float, spacing)) for spacing in spacings],
        "shapes_after_crop": [list(map(int, shape)) for shape in shapes],
        "foreground_intensity_properties_per_channel": {"0": statistics},
        "median_relative_size_after_cropping": relative_size,
    }


BRAIN = ("T1", "T1ce", "T2", "FLAIR")
# Name, dataset.json, fingerprint, memory in GB (None: the planner's own).
MADE_UP = [
    ("cubic volumes of 1 mm", dataset(), fingerprint([[1, 1, 1]] * 3, [[300, 300, 300], [280, 310, 300], [320, 290, 310]]), None),
    ("abdominal CT", dataset(labels=3, subjects=131), fingerprint([[1, 0.77, 0.77], [0.7, 0.7, 0.7], [5, 0.8, 0.8], [1.25, 0.9, 0.9]], [[432, 512, 512], [600, 512, 512], [75, 512, 512], [400, 512, 512]]), None),
    ("thin slices", dataset(), fingerprint([[0.3, 0.8, 0.8]] * 3, [[900, 512, 512]] * 3), None),
    ("thick slices", dataset(("T2",), 4, 100), fingerprint([[10, 1.56, 1.56], [5, 1.4, 1.4], [10, 1.7, 1.7], [8, 1.5, 1.5], [10, 1.6, 1.6]], [[9, 256, 216], [18, 240, 240], [10, 232, 256], [11, 256, 256], [8, 208, 224]]), None),
    ("thick slices, some thinner than the pixels", dataset(("T2",)), fingerprint([[6, 1, 1]] * 7 + [[0.5, 1, 1]] * 3, [[20, 256, 256]] * 10), None),
    ("a few slices", dataset(("T1",), 3, 12), fingerprint([[8, 0.6, 0.6]] * 4, [[3, 320, 320], [4, 320, 300], [5, 288, 320], [3, 320, 320]]), None),
    ("one slice", dataset(("OCT",), 2, 40), fingerprint([[999, 1, 1]] * 3, [[1, 512, 512], [1, 500, 600], [1, 480, 512]]), None),
    ("one slice that is not the coarsest axis", dataset(("XR",), 2, 40), fingerprint([[1, 1, 2]] * 3, [[1, 512, 256]] * 3), None),
    ("tiny volumes", dataset(("MR",), 3, 200), fingerprint([[1, 1, 1]] * 4, [[36, 50, 35], [35, 51, 34], [37, 50, 35], [40, 49, 33]]), None),
    ("tinier volumes", dataset(("MR",), 2, 30), fingerprint([[1, 1, 1]] * 2, [[12, 9, 10], [13, 9, 10]]), None),
    ("huge volumes", dataset(("CT",), 105, 1000), fingerprint([[0.4, 0.3, 0.3]] * 2, [[1400, 1536, 1536], [1500, 1024, 1024]]), None),
    ("whole-body PET-CT", dataset(("CT", "PET"), 2, 900), fingerprint([[3, 2.04, 2.04]] * 3, [[326, 400, 400], [330, 400, 400], [480, 400, 400]]), None),
    ("four channels with masks", dataset(BRAIN, 4, 484), fingerprint([[1, 1, 1]] * 3, [[138, 172, 138], [140, 170, 139], [139, 168, 136]], 0.3), None),
    ("masks for two of four channels", dataset(("T1", "CT", "noNorm", "rescale_to_0_1"), 4, 50), fingerprint([[1, 1, 1]] * 2, [[138, 172, 138]] * 2, 0.7499), None),
    ("no masks at exactly three quarters", dataset(BRAIN, 4, 50), fingerprint([[1, 1, 1]], [[138, 172, 138]], 0.75), None),
    ("long and thin", dataset(), fingerprint([[1, 1, 1]] * 2, [[1200, 40, 60], [1000, 44, 64]]), None),
    ("microscopy below a millimetre", dataset(("noNorm",), 2, 16), fingerprint([[0.02, 0.006, 0.006]] * 3, [[100, 1024, 1024], [160, 1024, 1024], [120, 2048, 2048]]), None),
    ("sagittal slices", dataset(("T2",), 3, 60), fingerprint([[0.5, 0.5, 4]] * 3, [[512, 384, 20], [448, 384, 18], [512, 400, 22]]), None),
    ("coronal slices", dataset(("T2",), 3, 60), fingerprint([[0.9, 3.5, 0.9], [0.8, 3.3, 0.8]], [[256, 40, 256], [320, 44, 320]]), None),
    ("x and z equally coarse", dataset(("T2",), 3, 60), fingerprint([[2, 1, 2]] * 2, [[120, 300, 120]] * 2), None),
    ("half a voxel in the median", dataset(("MR",), 2, 10), fingerprint([[1, 1, 1]] * 2, [[41, 51, 8], [42, 52, 9]]), None),
    ("a low resolution that is dropped", dataset(("CT",), 2, 40), fingerprint([[1, 1, 1]] * 3, [[210, 210, 210]] * 3), None),
    ("slices twice as thick", dataset(("MR",), 2, 40), fingerprint([[2, 1, 1]] * 3, [[80, 192, 160]] * 3), None),
    ("four GB", dataset(), fingerprint([[1, 1, 1]] * 3, [[300, 300, 300]] * 3), 4.0),
    ("eighty GB", dataset(("T1",), 3, 30), fingerprint([[3, 1, 1]] * 3, [[120, 300, 280]] * 3), 80.0),
    ("eleven and a half GB for thick slices", dataset(("T2",), 4, 100), fingerprint([[10, 1.56, 1.56]] * 3, [[9, 256, 216]] * 3), 11.5),
]


def made_up():
    """Returns the cases that are kept."""
    for name, dataset_json, made, memory_gb in MADE_UP:
        yield case(name, dataset_json, made, memory_gb)


def case(name, dataset_json, made, memory_gb):
    return {
        "name": name,
        "channels": list(dataset_json["channel_names"].values()),
        "labels": len(dataset_json["labels"]),
        "num_training": dataset_json["numTraining"],
        "spacings": made["spacings"],
        "shapes": made["shapes_after_crop"],
        "relative_size": made["median_relative_size_after_cropping"],
        "memory_gb": memory_gb,
        "plans": plan(dataset_json, made, memory_gb),
    }


def random_cases(count, seed):
    """Returns cases of every kind of shape and spacing, some with equal axes, which test the order of comparisons."""
    generator = random.Random(seed)
    for index in range(count):
        subjects = generator.choice([1, 2, 3, 4, 5, 9, 20])
        edge = [generator.choice([1, 4, 12, 30, 60, 128, 250, 512, 900]) for _ in range(3)]
        mm = [generator.choice([0.05, 0.3, 0.5, 0.77, 1, 1, 1, 1.5, 2, 3, 5, 8]) for _ in range(3)]
        if generator.random() < 0.5:
            edge[2] = edge[1]
            mm[2] = mm[1]
        varied = generator.random() < 0.7
        vary = lambda value: value * generator.uniform(0.6, 1.6) if varied else value
        spacings = [[vary(value) for value in mm] for _ in range(subjects)]
        if generator.random() < 0.5:
            spacings = [[spacing[0], spacing[1], spacing[1]] for spacing in spacings]
        shapes = [[max(1, round(vary(value))) for value in edge] for _ in range(subjects)]
        channels = [generator.choice(["CT", "T1", "noNorm", "FLAIR", "rgb_to_0_1"]) for _ in range(generator.choice([1, 1, 2, 4]))]
        dataset_json = dataset(channels, generator.choice([2, 3, 5, 20, 105]), generator.choice([subjects, 10, 60, 300, 2000]))
        memory_gb = generator.choice([None, None, None, 6.0, 11.0, 48.0])
        made = fingerprint(spacings, shapes, generator.choice([1.0, 0.9, 0.6]))
        yield case(f"random {seed}.{index}", dataset_json, made, memory_gb)


def real(folder):
    """Extracts the fingerprint of a dataset in the layout of the Decathlon, and plans it."""
    original = json.loads((folder / "dataset.json").read_text())
    channels = original.get("channel_names", original.get("modality"))
    labels = {name: int(number) for number, name in original["labels"].items()}
    pairs = {Path(pair["image"]).name.split(".")[0]: pair for pair in original["training"]}
    files = lambda pair: {"images": [str((folder / pair["image"]).resolve())], "label": str((folder / pair["label"]).resolve())}
    dataset_json = {
        "channel_names": channels,
        "labels": labels,
        "numTraining": original["numTraining"],
        "file_ending": ".nii.gz",
        "dataset": {name: files(pairs[name]) for name in sorted(pairs)},
    }
    name = "Dataset002_Real"
    (BASE / "raw" / name).mkdir(exist_ok=True)
    (BASE / "raw" / name / "dataset.json").write_text(json.dumps(dataset_json))
    with contextlib.redirect_stdout(io.StringIO()):
        extractor = DatasetFingerprintExtractor(name, 2)
        extractor.show_progress_bar = False
        made = json.loads(json.dumps(extractor.run(overwrite_existing=True), default=float))
    statistics = made["foreground_intensity_properties_per_channel"]
    result = case(folder.name, dataset_json, made, None)
    return {**result, "intensities": [statistics[str(channel)] for channel in range(len(channels))]}


def main():
    if sys.argv[1:2] == ["--random"]:
        count, seed, path = int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
        path.write_text(json.dumps({"made_up": list(random_cases(count, seed)), "real": []}))
        return
    path = Path(__file__).with_suffix(".json")
    if sys.argv[1:]:
        folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/dataset.json"))
        datasets = [real(folder) for folder in folders]
    else:
        datasets = json.loads(path.read_text())["real"]
    lines = lambda cases: ",\n".join(json.dumps(one) for one in cases)
    path.write_text('{"made_up": [\n%s\n],\n"real": [\n%s\n]}\n' % (lines(made_up()), lines(datasets)))


if __name__ == "__main__":
    main()

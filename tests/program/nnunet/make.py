"""Writes the models and label maps of tests/program/import.rs with nnU-Net itself: the files in this folder.

usage: python tests/program/nnunet/make.py

Needs nnunetv2 and nibabel. Each model is a network class of nnU-Net that is trained for a few steps on made-up volumes and
saved by nnUNetTrainer.save_checkpoint; `plain` is a ZIP archive, as nnUNetv2_export_model_to_zip writes it, the others are
folders. `MODEL_expected.nii.gz` is the label map of nnUNetPredictor for `MODEL_0000.nii.gz`, with 255 where its probabilities
are closer than 1e-3 to a tie.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp())
for name in ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]:
    (FOLDER / name).mkdir()
    os.environ[name] = str(FOLDER / name)

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from nnunetv2.model_sharing.model_export import export_pretrained_model  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[3] / "benches" / "nnunet"))
from models import train, volumes  # noqa: E402

OUT = Path(__file__).resolve().parent
TIE = 1e-3
torch.set_num_threads(1)

# Axes of shapes and spacings x, y, z of the files; those of plans as nnU-Net has them.
MODELS = {
    # Isotropic, mirrored, two folds.
    "plain": dict(
        id=1, configuration="3d_fullres", shape=[22, 26, 19], spacing=[1, 1, 1], network="PlainConvUNet", patch=[16, 16, 16],
        target=[1.0, 1.0, 1.0], features=[4, 8, 8], kernels=[[3, 3, 3]] * 3, strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        convolutions=[2, 2, 2], decoder=[2, 2], channels=["MRI"], schemes=["ZScoreNormalization"], masks=[False], folds=[0, 1],
        labels={"background": 0, "left ball": 1, "right ball": 2}, order=[0, 1, 2], mirror=(0, 1, 2), steps=480),
    # Thick slices that are resampled with a separate axis; a border of zeros; regions and an ignored label.
    "residual": dict(
        id=2, configuration="3d_fullres", shape=[34, 30, 13], spacing=[1, 1, 3.5], network="ResidualEncoderUNet",
        patch=[8, 16, 16], target=[2.5, 1.3, 1.2], features=[4, 8, 8], kernels=[[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]], convolutions=[1, 1, 2], decoder=[1, 1], channels=["CT"],
        schemes=["CTNormalization"], masks=[False], folds=[0], border=True,
        labels={"background": 0, "both": [1, 2], "right ball": 2, "ignore": 3}, order=[0, 1, 2], mirror=(1, 2)),
    # Two-dimensional, with slices along the first axis of the file; two channels, one normalized inside the non-zero region;
    # plans as nnU-Net 2.0 to 2.3 wrote them.
    "planar": dict(
        id=3, configuration="2d", shape=[9, 30, 34], spacing=[4, 1, 1.2], network="PlainConvUNet", patch=[24, 16],
        target=[1.1, 1.3], features=[4, 8, 8], kernels=[[3, 3]] * 3, strides=[[1, 1], [2, 2], [2, 2]], convolutions=[2, 2, 2],
        decoder=[2, 2], channels=["MRI", "CT"], schemes=["ZScoreNormalization", "CTNormalization"], masks=[True, False], folds=[0],
        border=True, labels={"background": 0, "left ball": 1, "right ball": 2}, order=[2, 0, 1], mirror=(0, 1), old=True),
}


def subject(spec, seed):
    """Returns channels and labels of two balls with noise, on the axes of files."""
    random = np.random.default_rng(seed)
    shape = spec["shape"]
    grid = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    labels = np.zeros(shape, np.uint8)
    for label, side in [(1, -0.42), (2, 0.42)]:
        centre = random.uniform(-0.12, 0.12, 3)
        longest = int(np.argmax(shape))
        centre[longest] += side
        radius = random.uniform(0.32, 0.42)
        labels[sum((axis - at) ** 2 for axis, at in zip(grid, centre)) < radius**2] = label
    image = np.array([100, 260, 420])[labels] + random.normal(0, 12, shape)
    channels = [image + 20 * grid[0]]
    if len(spec["channels"]) > 1:
        channels.append(700 - image + random.normal(0, 12, shape))
    if spec.get("border"):
        outside = np.zeros(shape, bool)
        for axis, width in enumerate([2, 3, 1] if shape[2] < shape[0] else [1, 2, 3]):
            for ends in [slice(0, width), slice(shape[axis] - width, None)]:
                outside[(slice(None),) * axis + (ends,)] = True
        channels = [np.where(outside, 0, channel) for channel in channels]
        labels[outside] = 0
    return [channel.round().astype(np.int16) for channel in channels], labels


def plans_of(name, spec, images):
    values = [np.concatenate([channels[index][labels > 0] for channels, labels in images]) for index in range(len(spec["channels"]))]
    properties = {
        str(index): {
            "mean": float(value.mean()), "std": float(value.std()), "median": float(np.median(value)),
            "percentile_00_5": float(np.percentile(value, 0.5)), "percentile_99_5": float(np.percentile(value, 99.5)),
            "min": float(value.min()), "max": float(value.max()),
        }
        for index, value in enumerate(values)
    }
    dimensions = len(spec["patch"])
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    blocks = "n_blocks_per_stage" if spec["network"] == "ResidualEncoderUNet" else "n_conv_per_stage"
    arguments = {
        "n_stages": 3, "features_per_stage": spec["features"], "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": spec["kernels"], "strides": spec["strides"], blocks: spec["convolutions"],
        "n_conv_per_stage_decoder": spec["decoder"], "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d", "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "data_identifier": f"nnUNetPlans_{spec['configuration']}", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": spec["patch"], "median_image_size_in_voxels": spec["shape"], "spacing": spec["target"],
        "normalization_schemes": spec["schemes"], "use_mask_for_norm": spec["masks"],
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1}, "batch_dice": False,
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{spec['network']}", "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return {
        "dataset_name": f"Dataset{spec['id']:03}_{name.capitalize()}", "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": spec["target"], "original_median_shape_after_transp": spec["shape"],
        "image_reader_writer": "SimpleITKIO", "transpose_forward": spec["order"],
        "transpose_backward": [spec["order"].index(axis) for axis in range(3)],
        "configurations": {spec["configuration"]: configuration}, "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager", "foreground_intensity_properties_per_channel": properties,
    }


def in_old_format(plans):
    """Returns plans as nnU-Net 2.0 to 2.3 wrote them."""
    plans = json.loads(json.dumps(plans))
    plans["foreground_intensity_properties_by_modality"] = plans.pop("foreground_intensity_properties_per_channel")
    for configuration in plans["configurations"].values():
        architecture = configuration.pop("architecture")
        arguments = architecture["arch_kwargs"]
        configuration.update(
            UNet_class_name=architecture["network_class_name"].split(".")[-1],
            UNet_base_num_features=arguments["features_per_stage"][0],
            unet_max_num_features=arguments["features_per_stage"][-1],
            n_conv_per_stage_encoder=arguments["n_conv_per_stage"],
            n_conv_per_stage_decoder=arguments["n_conv_per_stage_decoder"],
            num_pool_per_axis=[2] * len(configuration["patch_size"]),
            pool_op_kernel_sizes=arguments["strides"],
            conv_kernel_sizes=arguments["kernel_sizes"],
        )
    return plans


def save(path, values, spec):
    affine = np.diag([*spec["spacing"], 1.0])
    affine[:3, 3] = [-10, 5, 20]
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def make(name, spec):
    subjects = [subject(spec, seed) for seed in range(9)]
    plans = plans_of(name, spec, subjects[:8])
    raw = FOLDER / "nnUNet_raw" / plans["dataset_name"]
    description = {
        "channel_names": {str(index): channel for index, channel in enumerate(spec["channels"])}, "labels": spec["labels"],
        "numTraining": 8, "file_ending": ".nii.gz",
    }
    if "ignore" in spec["labels"]:
        description["regions_class_order"] = [1, 2]
        for _, labels in subjects[:8]:
            labels[: labels.shape[0] // 5] = 3
    for part in ["imagesTr", "labelsTr"]:
        (raw / part).mkdir(parents=True)
    for index, (channels, labels) in enumerate(subjects[:8]):
        for channel, values in enumerate(channels):
            save(raw / "imagesTr" / f"case{index}_{channel:04}.nii.gz", values, spec)
        save(raw / "labelsTr" / f"case{index}.nii.gz", labels, spec)
    (raw / "dataset.json").write_text(json.dumps(description, indent=1))
    prepared = list(volumes(plans, {**spec, "configuration": spec["configuration"]}, plans["dataset_name"], FOLDER / "nnUNet_raw"))
    for fold in spec["folds"]:
        torch.manual_seed(fold)
        trainer = nnUNetTrainer(
            json.loads(json.dumps({**plans, "continue_training": False})), spec["configuration"], fold, description, torch.device("cpu"))
        trainer.network = trainer.build_network_architecture(
            trainer.plans_manager, trainer.configuration_manager, len(spec["channels"]),
            trainer.label_manager.num_segmentation_heads, enable_deep_supervision=False)
        trainer.inference_allowed_mirroring_axes = spec["mirror"]
        train(trainer, prepared, spec["patch"], spec.get("steps", 240), fold)
        trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
        trainer.current_epoch = 6
        trainer._best_ema = np.float64(0.5)
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    model = Path(trainer.output_folder).parent
    written = in_old_format(plans) if spec.get("old") else plans
    (model / "plans.json").write_text(json.dumps(written, indent=1))
    (model / "dataset.json").write_text(json.dumps(description, indent=1))
    if len(spec["folds"]) > 1:
        (model / "dataset_fingerprint.json").write_text("{}")
        for fold in spec["folds"]:
            (model / f"fold_{fold}" / "progress.png").write_bytes(b"")
            (model / f"fold_{fold}" / "validation").mkdir()
            (model / f"fold_{fold}" / "validation" / "summary.json").write_text("{}")
        export_pretrained_model(spec["id"], str(OUT / f"{name}.zip"), (spec["configuration"],), folds=tuple(spec["folds"]))
    else:
        for file in ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"]:
            (OUT / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(model / file, OUT / name / file)
    images = []
    for channel, values in enumerate(subjects[8][0]):
        save(OUT / f"{name}_{channel:04}.nii.gz", values, spec)
        images.append(str(OUT / f"{name}_{channel:04}.nii.gz"))
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), None)
    data, properties = predictor.plans_manager.image_reader_writer_class().read_images(images)
    labels, probabilities = predictor.predict_single_npy_array(data, properties, None, None, True)
    if predictor.label_manager.has_regions:
        margin = np.abs(probabilities - 0.5).min(0)
    else:
        ordered = np.sort(probabilities, 0)
        margin = ordered[-1] - ordered[-2]
    expected = np.where(margin < TIE, 255, labels).transpose(2, 1, 0).astype(np.uint8)
    save(OUT / f"{name}_expected.nii.gz", expected, spec)
    truth = subjects[8][1]
    dice = 2 * ((expected == 2) & (truth == 2)).sum() / ((expected == 2).sum() + (truth == 2).sum())
    print(f"{name}: {np.bincount(expected.ravel())[:4]} voxels, {(expected == 255).sum()} close to a tie, Dice of label 2 {dice:.2f}")


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name, MODELS[name])
    shutil.rmtree(FOLDER)

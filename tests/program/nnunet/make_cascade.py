"""Writes the models and label maps of the cascades of tests/program/import.rs with nnU-Net itself: the files `cascade*` in
this folder, or with FOLDER larger models and more images below that folder, for comparison by hand.

usage: python tests/program/nnunet/make_cascade.py [FOLDER]

Needs nnunetv2 and nibabel, and make.py beside it. Both stages are network classes of nnU-Net that are trained for a few steps,
the second with perturbed true labels as previous label maps, and saved by nnUNetTrainer.save_checkpoint.
`cascade_expected.nii.gz` is the label map of nnUNetPredictor for `cascade_0000.nii.gz`: of the second stage with
`folder_with_segs_from_prev_stage`, where both folds of the first stage have written their mean. It has 255 where probabilities
are closer than 1e-3 to a tie.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import make
import numpy as np
import torch
from models import train, volumes
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

LOW, HIGH = "3d_lowres", "3d_cascade_fullres"
# Thick slices, which the second stage resamples with a separate axis; a border of zeros; the axes of files are permuted.
COMMON = dict(id=7, network="PlainConvUNet", channels=["CT"], schemes=["CTNormalization"], masks=[False], border=True,
              labels={"background": 0, "left ball": 1, "right ball": 2}, order=[0, 1, 2], mirror=(0, 1, 2),
              convolutions=[2, 2, 2], decoder=[2, 2])
SIZES = {
    False: dict(shape=[34, 30, 13], spacing=[1, 1, 3.5], features=[4, 8, 8], test=1, low=([5.0, 2.1, 2.0], [8, 12, 12], 480),
                high=([2.9, 1.2, 1.1], [8, 16, 16], 420)),
    True: dict(shape=[110, 96, 44], spacing=[1, 1, 3.5], features=[8, 16, 24], test=4, low=([6.0, 3.1, 3.0], [12, 24, 24], 300),
               high=([2.9, 1.2, 1.1], [16, 40, 40], 200)),
}


def configurations(size):
    common = {**COMMON, **{key: size[key] for key in ["shape", "spacing", "features"]}}
    low = {**common, "configuration": LOW, "target": size["low"][0], "patch": size["low"][1], "kernels": [[3, 3, 3]] * 3,
           "strides": [[1, 1, 1], [2, 2, 2], [1, 2, 2]], "steps": size["low"][2], "folds": [0, 1]}
    high = {**common, "configuration": "3d_fullres", "target": size["high"][0], "patch": size["high"][1],
            "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "steps": size["high"][2], "folds": [0, 1]}
    return low, high


def with_previous(image, seg, random):
    """Appends masks as an imperfect first stage might predict them."""
    moved = np.roll(seg[0], random.integers(-1, 2, 3), (0, 1, 2))
    moved[random.random(moved.shape) < 0.1] = 0
    return np.vstack([image, np.stack([moved == label for label in (1, 2)]).astype(image.dtype)])


def train_stage(plans, spec, name, description, subjects, channels):
    for fold in spec["folds"]:
        torch.manual_seed(fold)
        trainer = nnUNetTrainer(
            json.loads(json.dumps({**plans, "continue_training": False})), name, fold, description, torch.device("cpu"))
        trainer.network = trainer.build_network_architecture(
            trainer.plans_manager, trainer.configuration_manager, channels, trainer.label_manager.num_segmentation_heads,
            enable_deep_supervision=False)
        trainer.inference_allowed_mirroring_axes = spec["mirror"]
        train(trainer, subjects, spec["patch"], spec["steps"], fold)
        trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
        trainer.current_epoch = 6
        trainer._best_ema = np.float64(0.5)
        trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    model = Path(trainer.output_folder).parent
    (model / "plans.json").write_text(json.dumps(plans, indent=1))
    (model / "dataset.json").write_text(json.dumps(description, indent=1))
    return model


def predictor(model, folds=None):
    opened = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    opened.initialize_from_trained_model_folder(str(model), folds)
    return opened


def predict(models, image, case, spec, folds):
    """Returns the label map and the probabilities of the second stage, on the axes of files."""
    with tempfile.TemporaryDirectory() as previous:
        (first, _), = predictor(models[0]).predict_from_files_sequential([[str(image)]], None, True)
        make.save(Path(previous) / f"{case}.nii.gz", first.transpose(2, 1, 0).astype(np.uint8), spec)
        (labels, probabilities), = predictor(models[1], folds).predict_from_files_sequential(
            [[str(image)]], None, True, folder_with_segs_from_prev_stage=previous)
    return labels.transpose(2, 1, 0), probabilities.transpose(0, 3, 2, 1), first.transpose(2, 1, 0)


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    size = SIZES[out is not None]
    low, high = configurations(size)
    subjects = [make.subject(low, seed) for seed in range(8 + size["test"])]
    plans, full = (make.plans_of("cascade", spec, subjects[:8]) for spec in (low, high))
    plans["configurations"].update(
        full["configurations"], **{HIGH: {"inherits_from": "3d_fullres", "previous_stage": LOW}})
    raw = make.FOLDER / "nnUNet_raw" / plans["dataset_name"]
    description = {"channel_names": {"0": "CT"}, "labels": low["labels"], "numTraining": 8, "file_ending": ".nii.gz"}
    for part in ["imagesTr", "labelsTr"]:
        (raw / part).mkdir(parents=True)
    for index, (channels, labels) in enumerate(subjects[:8]):
        make.save(raw / "imagesTr" / f"case{index}_0000.nii.gz", channels[0], low)
        make.save(raw / "labelsTr" / f"case{index}.nii.gz", labels, low)
    (raw / "dataset.json").write_text(json.dumps(description, indent=1))
    prepared = {spec["configuration"]: list(volumes(plans, spec, plans["dataset_name"], make.FOLDER / "nnUNet_raw"))
                for spec in (low, high)}
    random = np.random.default_rng(0)
    second = [(with_previous(image, seg, random), seg) for image, seg in prepared["3d_fullres"]]
    models = [train_stage(plans, low, LOW, description, prepared[LOW], 1),
              train_stage(plans, high, HIGH, description, second, 3)]
    target = out or make.OUT
    folder = target / "cascade"
    shutil.rmtree(folder, ignore_errors=True)
    for model in models:
        for file in ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth"]:
            # One fold of the second stage is enough for the test.
            if out is None and model is models[1] and file.startswith("fold_1"):
                continue
            (folder / model.name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(model / file, folder / model.name / file)
    for index, (channels, truth) in enumerate(subjects[8:]):
        case = "cascade" if out is None else f"case{index}"
        image = target / f"{case}_0000.nii.gz"
        make.save(image, channels[0], low)
        labels, probabilities, first = predict(models, image, case, low, (0,) if out is None else None)
        ordered = np.sort(probabilities, 0)
        margin = ordered[-1] - ordered[-2]
        if out is not None:
            np.savez_compressed(target / f"{case}_theirs.npz", labels=labels, probabilities=probabilities)
        expected = np.where(margin < make.TIE, 255, labels).astype(np.uint8)
        make.save(target / f"{case}_expected.nii.gz", expected, low)
        dice = [2 * ((map_ == 2) & (truth == 2)).sum() / ((map_ == 2).sum() + (truth == 2).sum()) for map_ in (first, labels)]
        print(f"{case}: {np.bincount(labels.ravel())} voxels, {(expected == 255).sum()} close to a tie, Dice of label 2 "
              f"{dice[0]:.2f} after the first stage, {dice[1]:.2f} after the second; they differ in {(first != labels).sum()}")
    shutil.rmtree(make.FOLDER)


if __name__ == "__main__":
    main()

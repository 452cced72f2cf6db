"""Makes small trained models of nnU-Net, as reference models for predict_equal.py.

usage, from the root of the repository:
    nnunet/bin/python benches/nnunet/models.py --data data --out FOLDER [MODEL ...]

`--data` has the folders Task04_Hippocampus and STS_CT in the layout of the Medical Segmentation Decathlon. Each dataset is cut
down to a few subjects, fingerprinted and planned by nnunetv2, and its network, which is nnU-Net's class with fewer features,
is trained for a few steps on nnU-Net's own preprocessed volumes. Checkpoints are saved by nnUNetTrainer.save_checkpoint.
`FOLDER` gets nnUNet_raw, nnUNet_preprocessed and nnUNet_results; each nnUNet_raw/DATASET/imagesTs has held-out scans.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

MODELS = {
    # Plain network with mirroring, z-score; two folds.
    "plain": dict(id=4, source="Task04_Hippocampus", train=12, test=8, features=[8, 16, 32, 64], folds=[0, 1], steps=150),
    # Residual encoder, anisotropic CT that is resampled with a separate axis.
    "residual": dict(id=10, source="STS_CT", train=6, test=3, planner="nnUNetPlannerResEncM", spacing=[4.0, 1.6, 1.6],
                     features=[6, 8, 12, 16, 16, 16, 16], patch=[16, 64, 64], folds=[0], steps=60),
    # Plain network with nnU-Net's widths, for predict_speed.py.
    "wide": dict(id=13, source="STS_CT", train=6, test=3, spacing=[4.0, 1.6, 1.6], features=[32, 64, 128, 256, 320],
                 patch=[32, 96, 96], folds=[0], steps=10),
    # Two-dimensional, of volumes whose thick slices are along the first axis of the files; transpose_forward is not [0, 1, 2].
    "planar": dict(id=11, source="STS_CT", permutation=[2, 0, 1], train=6, test=2, configuration="2d",
                   features=[6, 8, 12, 16, 16, 16, 16, 16], patch=[96, 80], spacing=[3.27, 1.3, 1.1], folds=[0], steps=80),
    # The same volumes in three dimensions.
    "transposed": dict(id=11, source="STS_CT", permutation=[2, 0, 1], train=6, test=2, features=[6, 8, 12, 16, 16, 16, 16],
                       patch=[16, 64, 48], spacing=[3.27, 1.3, 1.1], folds=[0], steps=60),
    # Regions and an ignored label, two channels with different normalizations, one of them inside the non-zero region.
    "regions": dict(id=12, source="Task04_Hippocampus", regions=True, train=8, test=4, features=[6, 12, 18], folds=[0],
                    steps=120),
}


def copy_dataset(model, spec, data, raw):
    """Writes the raw dataset of a model, unless it exists."""
    import nibabel
    import numpy as np

    name = f"Dataset{spec['id']:03}_{model.capitalize()}" if spec["id"] != 11 else "Dataset011_Permuted"
    folder = raw / name
    if folder.exists():
        return name
    source = data / spec["source"]
    declared = json.loads((source / "dataset.json").read_text())
    for part in ["imagesTr", "labelsTr", "imagesTs", "labelsTs"]:
        (folder / part).mkdir(parents=True)
    pairs = declared["training"][: spec["train"] + spec["test"]]
    for index, pair in enumerate(pairs):
        case = Path(pair["image"]).name.split(".")[0]
        part = "Tr" if index < spec["train"] else "Ts"
        image, label = (nibabel.load(source / pair[key]) for key in ["image", "label"])
        values, labels = image.get_fdata(dtype=np.float32), np.asarray(label.dataobj).astype(np.uint8)
        channels = [values]
        if spec.get("regions"):
            # A body around the hippocampus, so that a part of the volume is 0 in both channels.
            grid = np.meshgrid(*[np.linspace(-1, 1, size) for size in values.shape], indexing="ij")
            outside = sum(np.square(axis / 0.75) for axis in grid) > 1
            second = (values / max(values.max(), 1) * 300 - 100 + 20 * np.sin(np.arange(values.size).reshape(values.shape))).astype(np.float32)
            channels = [np.where(outside, 0, channel) for channel in [values, second]]
            labels = np.where(outside, 0, labels)
            labels[:, :, : labels.shape[2] // 3] = 3
        affine = image.affine
        if order := spec.get("permutation"):
            channels = [np.ascontiguousarray(channel.transpose(order)) for channel in channels]
            labels, affine = np.ascontiguousarray(labels.transpose(order)), affine[:, [*order, 3]]
        for channel, voxels in enumerate(channels):
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"images{part}" / f"{case}_{channel:04}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), folder / f"labels{part}" / f"{case}.nii.gz")
    ct = spec["source"] == "STS_CT"
    description = {
        "channel_names": {"0": "CT" if ct else "MRI"},
        "labels": {"background": 0, "tumour": 1} if ct else {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": spec["train"],
        "file_ending": ".nii.gz",
    }
    if spec.get("regions"):
        description["channel_names"]["1"] = "CT"
        description["labels"] = {"background": 0, "whole": [1, 2], "posterior": 2, "ignore": 3}
        description["regions_class_order"] = [1, 2]
    (folder / "dataset.json").write_text(json.dumps(description, indent=1))
    return name


def plan(spec, dataset):
    """Fingerprints and plans a dataset; returns the plans with fewer features and a smaller patch."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprint_dataset(spec["id"], num_processes=1, clean=False, verbose=False, show_progress_bar=False)
    planner = api.recursive_find_python_class(
        os.path.join(os.path.dirname(api.nnunetv2.__file__), "experiment_planning"), spec.get("planner", "ExperimentPlanner"),
        "nnunetv2.experiment_planning")
    plans, _ = api.plan_experiment_dataset(spec["id"], planner, overwrite_target_spacing=spec.get("spacing"))
    configuration = plans["configurations"][spec.get("configuration", "3d_fullres")]
    if spacing := spec.get("spacing"):
        configuration["spacing"] = spacing[-len(configuration["spacing"]):]
    if patch := spec.get("patch"):
        configuration["patch_size"] = patch
    arguments = configuration["architecture"]["arch_kwargs"]
    levels = min(len(spec["features"]), arguments["n_stages"], 5 if spec.get("patch") else 16)
    arguments.update(n_stages=levels, features_per_stage=spec["features"][:levels])
    for key in ["kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage"]:
        if key in arguments:
            arguments[key] = arguments[key][:levels]
    arguments["n_conv_per_stage_decoder"] = arguments["n_conv_per_stage_decoder"][: levels - 1]
    if "n_blocks_per_stage" in arguments:
        arguments["n_blocks_per_stage"] = [min(blocks, 2) for blocks in arguments["n_blocks_per_stage"]]
    return plans


def volumes(plans, spec, dataset, raw):
    """Returns the training subjects as nnU-Net preprocesses them: image and label map."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    configuration = manager.get_configuration(spec.get("configuration", "3d_fullres"))
    preprocessor = configuration.preprocessor_class(verbose=False)
    description = json.loads((raw / dataset / "dataset.json").read_text())
    for label in sorted((raw / dataset / "labelsTr").glob("*.nii.gz")):
        case = label.name.split(".")[0]
        images = sorted(map(str, (raw / dataset / "imagesTr").glob(f"{case}_*.nii.gz")))
        image, seg, _ = preprocessor.run_case(images, str(label), manager, configuration, description)
        yield image, seg


def train(trainer, subjects, patch, steps, seed):
    """Trains a network for a few steps on patches that contain foreground."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    random = np.random.default_rng(seed)
    network, optimizer = trainer.network, torch.optim.Adam(trainer.network.parameters(), 3e-3)
    has_regions, ignore = trainer.label_manager.has_regions, trainer.label_manager.ignore_label
    planar = len(patch) == 2
    size = [1, *patch] if planar else list(patch)
    for step in range(steps):
        batch, target = [], []
        for _ in range(2):
            image, seg = subjects[random.integers(len(subjects))]
            inside = np.argwhere((seg[0] > 0) & (seg[0] != (ignore or -1)))
            centre = inside[random.integers(len(inside))] + random.integers(-4, 5, 3) * ([0, 1, 1] if planar else [1, 1, 1])
            starts = [int(np.clip(c - s // 2, 0, max(n - s, 0))) for c, s, n in zip(centre, size, image.shape[1:])]
            cut = tuple(slice(start, start + s) for start, s in zip(starts, size))
            pad = [(0, s - n) for s, n in zip(size, image[(0, *cut)].shape)]
            batch.append(np.pad(image[(slice(None), *cut)], [(0, 0), *pad]))
            target.append(np.pad(seg[(0, *cut)], pad))
        images, labels = torch.from_numpy(np.stack(batch)).float(), torch.from_numpy(np.stack(target)).long()
        if planar:
            images, labels = images[:, :, 0], labels[:, 0]
        known = (labels != ignore) if ignore is not None else torch.ones_like(labels, dtype=torch.bool)
        labels = labels.clamp(min=0)
        logits = network(images)
        if has_regions:
            truth = torch.stack([torch.isin(labels, torch.tensor(region)) for region in trainer.label_manager.foreground_regions], 1).float()
            probabilities = torch.sigmoid(logits)
            loss = (F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * known[:, None]).mean()
        else:
            truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()
            probabilities = torch.softmax(logits, 1)
            loss = F.cross_entropy(logits, labels)
        axes = tuple(range(2, logits.ndim))
        overlap, total = (probabilities * truth * known[:, None]).sum(axes), ((probabilities + truth) * known[:, None]).sum(axes)
        loss = loss + 1 - ((2 * overlap + 1e-5) / (total + 1e-5)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0 or step + 1 == steps:
            print(f"  step {step}: loss {loss.item():.3f}", flush=True)


def make(model, data, out):
    raw, results = out / "nnUNet_raw", out / "nnUNet_results"
    spec = MODELS[model]
    dataset = copy_dataset(model, spec, data, raw)
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    plans = plan(spec, dataset)
    subjects = list(volumes(plans, spec, dataset, raw))
    description = json.loads((raw / dataset / "dataset.json").read_text())
    configuration = spec.get("configuration", "3d_fullres")
    for fold in spec["folds"]:
        torch.manual_seed(fold)
        print(f"{model}, fold {fold}", flush=True)
        trainer = nnUNetTrainer(json.loads(json.dumps({**plans, "continue_training": False})), configuration, fold, description, torch.device("cpu"))
        trainer.network = trainer.build_network_architecture(
            trainer.plans_manager, trainer.configuration_manager, len(description["channel_names"]),
            trainer.label_manager.num_segmentation_heads, enable_deep_supervision=False)
        _, _, _, trainer.inference_allowed_mirroring_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        train(trainer, subjects, trainer.configuration_manager.patch_size, spec["steps"], fold)
        trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
        trainer._best_ema = torch.tensor(0.5).numpy().mean()
        trainer.current_epoch = 9
        folder = Path(trainer.output_folder)
        trainer.save_checkpoint(str(folder / "checkpoint_final.pth"))
        shutil.copy(raw / dataset / "dataset.json", folder.parent / "dataset.json")
        (folder.parent / "plans.json").write_text(json.dumps(plans, indent=1))
    print(results / dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    arguments = parser.parse_args()
    if unknown := set(arguments.models) - set(MODELS):
        sys.exit(f"unknown models {sorted(unknown)}; there are {', '.join(MODELS)}")
    for name in ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]:
        folder = arguments.out.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)
    for model in arguments.models:
        make(model, arguments.data.resolve(), arguments.out.resolve())


if __name__ == "__main__":
    main()

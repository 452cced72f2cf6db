"""Compares label maps of nnU-Net for exported runs with those of runner, voxel by voxel.

usage, from the root of the repository:
    nnunet/bin/python benches/nnunet/export_equal.py --runner target/release/runner --data data --out FOLDER [MODEL ...]

`--data` is as for models.py. For each model a dataset is cut down to a few subjects, planned by `runner plan`, and trained by
`runner run` for a few steps with fewer features; its folds are exported by `runner export nnunet` into
FOLDER/nnUNet_results. The held-out scans are predicted by `runner predict` and by the command nnUNetv2_predict, which finds the
model by the number of its dataset. Prints for each case the fraction of equal voxels, and how far the differing ones are from a
tie in nnU-Net's probabilities; exits with 1 if fewer than 99.99 % are equal or a voxel is farther than 1e-3. Then nnUNetTrainer
loads the checkpoint, as `nnUNetv2_train --val` does, and nnU-Net's load_pretrained_weights.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "2")

MODELS = {
    # Plain network, z-score, mirroring along all axes; two folds.
    "plain": dict(id=4, source="Task04_Hippocampus", train=12, test=8, folds=[0, 1], steps=100),
    # Residual encoder, CT that is resampled with a separate axis; the files are LPS, and the network sees RAS.
    "residual": dict(id=10, source="STS_CT", train=6, test=3, preset="resenc_m", spacing=[1.6, 1.6, 4.0], patch=[64, 64, 16],
                     levels=4, folds=[0], steps=40),
    # Slices across the first axis of files that are used as they are stored.
    "planar": dict(id=11, source="STS_CT", permutation=[2, 0, 1], train=6, test=2, experiment="2d", patch=[1, 96, 80], levels=5,
                   spacing=["null", 1.3, 1.1], folds=[0], steps=60, stored=True),
    # The same volumes in three dimensions, read into RAS, without deep supervision.
    "transposed": dict(id=11, source="STS_CT", permutation=[2, 0, 1], train=6, test=2, patch=[64, 64, 16], levels=4,
                       spacing=[1.6, 1.6, 4.0], folds=[0], steps=40, set=["model.unet.deep_supervision=false"]),
    # Batch normalization and ReLU, without mirroring.
    "batch": dict(id=5, source="Task04_Hippocampus", train=8, test=3, folds=[0], steps=100,
                  set=["model.unet.norm=batch", "model.unet.activation=relu", "inference.mirror=[]"]),
    # Regions and an ignored label, two channels with different normalizations, one of them inside the non-zero region.
    "regions": dict(id=12, source="Task04_Hippocampus", regions=True, train=8, test=4, folds=[0], steps=100),
}
MAX_WIDTH = 32
MIN_EQUAL, MAX_DISTANCE = 0.9999, 1e-3


def smaller(text, spec):
    """Returns a planned experiment with fewer features, and with the patch, the levels and the spacing of a model."""
    levels = spec.get("levels", 16)
    if spec.get("stored"):
        # Slices across z of RAS are slices across x of these files.
        text = text.replace("orientation: reorient", "orientation: stored").replace("mirror: [x, y]", "mirror: [y, z]")
        text = re.sub(r"\[(\d+), (\d+), (\d+)\]", r"[\3, \1, \2]", text)
    lists = lambda match: match[0][: match.start(2) - match.start()] + ", ".join(re.findall(r"\[[^\]]*\]|\d+", match[2])[:levels]) + "]"
    text = re.sub(r"( (?:kernel_sizes|strides|convs_per_level): \[)(.*)\]", lists, text)
    count = len(re.search(r"widths: \[(.*)\]", text)[1].split(",")[:levels])
    text = re.sub(r"widths: \[.*\]", f"widths: {[min(4 * 2**level, MAX_WIDTH) for level in range(count)]}", text)
    decoder = re.search(r"decoder_convs_per_level: \[(.*)\]", text)
    if decoder:
        text = text.replace(decoder[0], f"decoder_convs_per_level: [{', '.join(decoder[1].split(', ')[: count - 1])}]")
    if patch := spec.get("patch"):
        text = re.sub(r"patch: \[.*\]", f"patch: {patch}", text)
    if spacing := spec.get("spacing"):
        text = re.sub(r"spacing_mm: \[.*?\]", f"spacing_mm: [{', '.join(map(str, spacing))}]", text)
    return text


def train(name, spec, raw, arguments):
    """Plans and trains the folds of a model; returns their run folders."""
    folder = arguments.out / "experiments" / name
    command = [arguments.runner, "plan", str(raw), "--out", str(folder), "--overwrite", "--quiet", "--preset", spec.get("preset", "nnunet")]
    subprocess.run(command, check=True)
    experiment = folder / f"{spec.get('experiment', '3d_fullres')}.yaml"
    experiment.write_text(smaller(experiment.read_text(), spec))
    runs = []
    for fold in spec["folds"]:
        runs.append(arguments.out / "runs" / name / f"fold_{fold}")
        if (runs[-1] / "checkpoints/best.safetensors").exists():
            continue
        settings = [f"data.split={{nnunet: {{index: {fold}}}}}", "train.epochs=2", f"train.iterations_per_epoch={spec['steps'] // 2}",
                    "optimizer={adam: {learning_rate: 3.0e-3}}", "schedule={constant: {}}", "patch_augment=[]",
                    "validate.pseudo_dice.batches=2", "validate.volumes.every_epochs=2", f"name={name}", *spec.get("set", [])]
        command = [arguments.runner, "run", str(experiment), "--device", "flex", "--quiet", "--runs-dir", str(arguments.out / "made")]
        subprocess.run(command + [part for setting in settings for part in ["--set", setting]], check=True)
        runs[-1].parent.mkdir(parents=True, exist_ok=True)
        os.rename((arguments.out / "made" / name / "latest").resolve(), runs[-1])
    return runs


def predict(name, spec, model, runs, images, arguments):
    """Predicts the held-out scans with both programs; returns the two folders."""
    ours, theirs = (arguments.out / "predictions" / name / who for who in ["runner", "nnunet"])
    channels = len(json.loads((model / "dataset.json").read_text())["channel_names"])
    command = [arguments.runner, "predict", "--out", str(ours), "--device", "flex", "--quiet", "--overwrite"]
    command += [part for run in runs for part in ["--run", str(run)]]
    command += [part for channel in range(channels) for part in ["--channel", str(images / f"*_{channel:04}.nii.gz")]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    configuration = model.name.split("__")[-1]
    command = [str(Path(sys.executable).parent / "nnUNetv2_predict"), "-i", str(images), "-o", str(theirs), "-d", str(spec["id"]), "-c", configuration,
               "-f", *map(str, spec["folds"]), "-device", "cpu", "--save_probabilities", "-npp", "1", "-nps", "1", "--disable_progress_bar"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ours, theirs


def compare(name, model, ours, theirs):
    """Prints how the label maps of two folders differ; returns whether they are equal enough."""
    import nibabel
    import numpy as np
    from predict_equal import distances

    plans, dataset = (json.loads((model / file).read_text()) for file in ["plans.json", "dataset.json"])
    manager = SimpleNamespace(has_regions="regions_class_order" in dataset)
    fine, foreground = True, 0
    for path in sorted(theirs.glob("*.nii.gz")):
        images = [nibabel.load(folder / path.name) for folder in [ours, theirs]]
        assert np.allclose(images[0].affine, images[1].affine, atol=1e-4), path
        if plans["image_reader_writer"].endswith("WithReorient"):
            images = [nibabel.as_closest_canonical(image) for image in images]
        own, labels = (np.asarray(image.dataobj).astype(int).transpose(2, 1, 0) for image in images)
        probabilities = np.load(str(path).replace(".nii.gz", ".npz"))["probabilities"].astype(np.float32)
        far = distances(own, labels, probabilities, manager)
        equal, farthest = 1 - len(far) / own.size, max(far, default=0.0)
        good = equal >= MIN_EQUAL and farthest <= MAX_DISTANCE
        fine &= good
        foreground += (labels > 0).sum()
        print(f"{name} {path.name}: {100 * equal:.4f} % of {own.size} equal, {len(far)} differ, at most {farthest:.1e} from a tie, "
              f"{(labels > 0).sum()} in the foreground{'' if good else '  <-- TOO DIFFERENT'}", flush=True)
    assert foreground, f"{name}: the network has learnt nothing, so equal label maps mean nothing"
    return fine


def load(model, fold):
    """Loads a checkpoint with nnU-Net's trainer, and as pretrained weights of another network of the same plans."""
    import torch
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans, dataset = (json.loads((model / file).read_text()) for file in ["plans.json", "dataset.json"])
    configuration = model.name.split("__")[-1]
    checkpoint = model / f"fold_{fold}" / "checkpoint_final.pth"
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    trainer = nnUNetTrainer({**plans, "continue_training": False}, configuration, fold, dataset, torch.device("cpu"))
    # What initialize() does, apart from preprocessed data.
    trainer.network = trainer.build_network_architecture(
        trainer.plans_manager, trainer.configuration_manager, len(dataset["channel_names"]),
        trainer.label_manager.num_segmentation_heads, enable_deep_supervision=True)
    trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
    trainer.was_initialized = True
    load_pretrained_weights(trainer.network, str(checkpoint))
    trainer.load_checkpoint(str(checkpoint))
    weights = trainer.network.state_dict()
    assert list(weights) == list(saved["network_weights"]), "the names of the state dict, in order"
    assert all(torch.equal(weights[name], saved["network_weights"][name]) for name in weights)
    assert trainer.current_epoch == saved["current_epoch"] == len(saved["logging"]["train_losses"])
    trainer.logger.plot_progress_png(str(model / f"fold_{fold}"))
    print(f"{model.parent.name} fold {fold}: nnUNetTrainer loads it: epoch {trainer.current_epoch}, moving average of Dice {trainer._best_ema}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runner", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    for name in ["nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"]:
        (arguments.out / name).mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(arguments.out / name)
    from models import copy_dataset

    fine = True
    for name in arguments.models:
        spec = MODELS[name]
        dataset = copy_dataset(name, spec, arguments.data.resolve(), arguments.out / "nnUNet_raw")
        raw = arguments.out / "nnUNet_raw" / dataset
        runs = train(name, spec, raw, arguments)
        model = arguments.out / "nnUNet_results" / dataset / f"nnUNetTrainer__nnUNetPlans__{spec.get('experiment', '3d_fullres')}"
        subprocess.run(["rm", "-rf", str(model)], check=True)
        subprocess.run([arguments.runner, "export", "nnunet", *map(str, runs), "--out", str(model)], check=True, stdout=subprocess.DEVNULL)
        ours, theirs = predict(name, spec, model, runs, raw / "imagesTs", arguments)
        fine &= compare(name, model, ours, theirs)
        load(model, spec["folds"][0])
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()

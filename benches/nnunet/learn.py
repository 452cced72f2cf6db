"""Trains a small plan of nnU-Net on a dataset in the Decathlon's layout, and prints the Dice of its validation cases.

usage: python learn.py DATASET WORK [--widths 8,16,32,64] [--batch 2] [--epochs 5] [--iterations 250] [--seed 1] [--no-mirroring]

The first call plans and preprocesses the dataset below WORK; later calls reuse it. WORK/nnUNet_preprocessed/…/splits_final.json
has the folds, which an experiment can use as well (`data.split.file`). The widths and the batch size replace those of nnU-Net's
own plan. Fold 0 is trained on the CPU with the standard trainer; only its numbers of epochs and iterations are changed.

Needs nnunetv2 2.8.1 and a torch other than 2.9.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path

NAME = "Dataset004_Decathlon"


def prepare(dataset, work, widths, batch):
    raw = work / "nnUNet_raw" / NAME
    if not raw.exists():
        described = json.loads((dataset / "dataset.json").read_text())
        for folder in ("imagesTr", "labelsTr"):
            (raw / folder).mkdir(parents=True)
        for pair in described["training"]:
            case = Path(pair["label"]).name.removesuffix(".nii.gz")
            shutil.copy(dataset / pair["image"], raw / "imagesTr" / f"{case}_0000.nii.gz")
            shutil.copy(dataset / pair["label"], raw / "labelsTr" / f"{case}.nii.gz")
        labels = {name: int(label) for label, name in described["labels"].items()}
        modality = described.get("modality") or described["channel_names"]
        json_file = {"channel_names": modality, "labels": labels, "numTraining": len(described["training"]),
                     "file_ending": ".nii.gz"}
        (raw / "dataset.json").write_text(json.dumps(json_file))
    preprocessed = work / "nnUNet_preprocessed" / NAME
    plans = preprocessed / "nnUNetPlans.json"
    if not plans.exists():
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api

        api.extract_fingerprints([4], num_processes=2)
        api.plan_experiments([4])
        api.preprocess([4], configurations=["3d_fullres"], num_processes=[2])
    changed = json.loads(plans.read_text())
    configuration = changed["configurations"]["3d_fullres"]
    configuration["batch_size"] = batch
    kwargs = configuration["architecture"]["arch_kwargs"]
    assert len(widths) == kwargs["n_stages"], kwargs
    kwargs["features_per_stage"] = widths
    changed["continue_training"] = False
    return changed, json.loads((preprocessed / "dataset.json").read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--widths", default="8,16,32,64")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-mirroring", action="store_true")
    args = parser.parse_args()
    work = args.work.resolve()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (work / name).mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(work / name)
    os.environ["nnUNet_n_proc_DA"] = str(os.cpu_count())

    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans, dataset_json = prepare(args.dataset, work, [int(width) for width in args.widths.split(",")], args.batch)
    results = work / "nnUNet_results" / f"{args.epochs}x{args.iterations}_{args.seed}{'_still' * args.no_mirroring}"
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)

    class Trainer(nnUNetTrainer):
        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
            *others, axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            if args.no_mirroring:
                self.inference_allowed_mirroring_axes = axes = None
            return *others, axes

    trainer = Trainer(plans, "3d_fullres", 0, dataset_json, device=torch.device("cpu"))
    trainer.output_folder_base = str(results)
    trainer.output_folder = str(results / "fold_0")
    trainer.num_epochs, trainer.num_iterations_per_epoch = args.epochs, args.iterations
    trainer.num_val_iterations_per_epoch = 1
    start = time.perf_counter()
    trainer.run_training()
    trained = time.perf_counter() - start
    trainer.perform_actual_validation(False)
    summary = json.loads((results / "fold_0/validation/summary.json").read_text())
    dice = {label: scores["Dice"] for label, scores in summary["mean"].items()}
    print(json.dumps({"seed": args.seed, "dice": dice, "train_seconds": round(trained, 1), "torch": torch.__version__}))


if __name__ == "__main__":
    main()

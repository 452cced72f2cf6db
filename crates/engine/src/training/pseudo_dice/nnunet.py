"""Writes the pseudo-Dice that nnU-Net's trainer computes from random logits, for the test of pseudo_dice.rs.

usage: python nnunet.py    # nnunetv2 2.8.1
"""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

CLASSES, VOXELS = 4, 24


def trainer(epoch, logger, logits):
    """Returns what the two methods need of a trainer."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        network=lambda data: logits[int(data[0, 0, 0, 0, 0])],
        loss=lambda output, target: torch.zeros(()),
        enable_deep_supervision=False,
        label_manager=SimpleNamespace(has_regions=False, has_ignore_label=False),
        is_ddp=False,
        logger=logger,
        current_epoch=epoch,
    )


def main():
    generator = torch.Generator().manual_seed(7)
    logger, epochs = MetaLogger(None, False), []
    for epoch in range(4):
        # The third label is missing in one epoch, in prediction and truth.
        missing = epoch == 2
        logits, targets = [], []
        for _ in range(2):
            target = torch.randint(0, CLASSES - missing, (2, 1, 1, 1, VOXELS), generator=generator)
            output = torch.randn((2, CLASSES, 1, 1, VOXELS), generator=generator)
            output.scatter_add_(1, target, torch.full(target.shape, 1.0))
            if missing:
                output[:, CLASSES - 1] = -10
            logits.append(output)
            targets.append(target)
        self = trainer(epoch, logger, logits)
        batches = [{"data": torch.full((1, 1, 1, 1, 1), float(i)), "target": target} for i, target in enumerate(targets)]
        outputs = [nnUNetTrainer.validation_step(self, batch) for batch in batches]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nnUNetTrainer.on_validation_epoch_end(self, outputs)
        dice = [float(value) for value in logger.get_value("dice_per_class_or_region", step=epoch)]
        epochs.append(
            {
                "batches": [
                    [output.flatten().tolist(), target.reshape(2, -1).tolist()] for output, target in zip(logits, targets)
                ],
                "dice": [None if np.isnan(value) else value for value in dice],
                "mean": float(logger.get_value("mean_fg_dice", step=epoch)),
                "ema": float(logger.get_value("ema_fg_dice", step=epoch)),
            }
        )
    (Path(__file__).parent / "nnunet.json").write_text(json.dumps(epochs) + "\n")


if __name__ == "__main__":
    main()

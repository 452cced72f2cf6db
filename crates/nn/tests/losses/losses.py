"""Writes the expected values of crates/nn/tests/losses.rs with nnU-Net's and MONAI's own losses.

usage: python crates/nn/tests/losses/losses.py

Needs torch, nnunetv2 and monai. Logits and targets are formulas that the Rust test repeats, so only results are stored. They
are computed in double precision where the reference allows it.
"""

import importlib.metadata
import json
from pathlib import Path

import torch
from monai.losses import GeneralizedDiceLoss, TverskyLoss
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss, DC_and_topk_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

torch.set_num_threads(1)

SHAPE, CLASSES = [2, 4, 3, 5], 4
DICE = dict(smooth=1e-5, ddp=False)


def wave(shape, step, scale):
    """Returns sin(step * i) * scale for i = 1, 2, ..., rounded to single precision."""
    index = torch.arange(torch.tensor(shape).prod().item(), dtype=torch.float64)
    return (torch.sin(step * (index + 1)) * scale).reshape(shape).float()


def labels():
    """Returns the class of voxel i: (i * 7 + i // 5) % 3; the last class is absent."""
    index = torch.arange(torch.tensor(SHAPE).prod().item())
    return ((index * 7 + index // 5) % 3).reshape(SHAPE)


def nnunet(loss):
    """Adapts a loss with a label map as target; Dice is negative there, and 1 - Dice here."""
    return lambda logits, target, one_hot: loss(logits, target[:, None]) + 1


def regions(loss):
    return lambda logits, target, one_hot: loss(logits, one_hot) + 1


def monai(loss):
    return lambda logits, target, one_hot: loss(logits, one_hot)


def cases():
    def soft(batch, background):
        return dict(batch_dice=batch, do_bg=background, **DICE)

    def ce(batch, background):
        return nnunet(DC_and_CE_loss(soft(batch, background), {}, dice_class=MemoryEfficientSoftDiceLoss))

    def bce(batch, background):
        return regions(DC_and_BCE_loss({}, soft(batch, background), dice_class=MemoryEfficientSoftDiceLoss))

    def tversky(**kwargs):
        return monai(TverskyLoss(softmax=True, smooth_nr=1e-5, smooth_dr=1e-5, **kwargs))

    def generalized(**kwargs):
        return monai(GeneralizedDiceLoss(softmax=True, smooth_nr=1e-5, smooth_dr=1e-5, **kwargs))

    return {
        "dice_cross_entropy: {}": ce(False, False),
        "dice_cross_entropy: { batch: true }": ce(True, False),
        "dice_cross_entropy: { background: true }": ce(False, True),
        "dice_cross_entropy: { top_k: 0.1 }":
            nnunet(DC_and_topk_loss(soft(False, False), {"k": 10})),
        "dice_cross_entropy: { top_k: 0.55, batch: true }":
            nnunet(DC_and_topk_loss(soft(True, False), {"k": 55})),
        "dice_binary_cross_entropy: { background: true }": bce(False, True),
        "dice_binary_cross_entropy: { background: true, batch: true }": bce(True, True),
        "tversky: {}": tversky(include_background=False),
        "tversky: { false_positives: 0.3, false_negatives: 0.7, background: true }":
            tversky(include_background=True, alpha=0.3, beta=0.7),
        "tversky: { false_positives: 0.2, false_negatives: 0.8, batch: true }":
            tversky(include_background=False, alpha=0.2, beta=0.8, batch=True),
        "generalized_dice: {}": generalized(include_background=False),
        "generalized_dice: { background: true }": generalized(include_background=True),
        "generalized_dice: { background: true, batch: true }": generalized(include_background=True, batch=True),
    }


def main():
    target = labels()
    one_hot = torch.nn.functional.one_hot(target, CLASSES).permute(0, 4, 1, 2, 3).float()
    results = []
    for yaml, loss in cases().items():
        logits = wave([SHAPE[0], CLASSES, *SHAPE[1:]], 0.37, 5.0).requires_grad_()
        value = loss(logits, target, one_hot)
        value.backward()
        results.append({"yaml": yaml, "loss": value.item(), "gradient": logits.grad.flatten().tolist()})
    versions = {name: importlib.metadata.version(name) for name in ("torch", "nnunetv2", "monai")}
    document = {"versions": versions, "shape": SHAPE, "classes": CLASSES, "cases": results}
    Path(__file__).with_name("losses.json").write_text(json.dumps(document) + "\n")


main()

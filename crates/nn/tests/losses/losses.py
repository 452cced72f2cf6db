"""Writes the expected values of crates/nn/tests/losses.rs with nnU-Net's and MONAI's own losses.

usage: python crates/nn/tests/losses/losses.py

Needs torch, nnunetv2 and monai. Logits and targets are formulas that the Rust test repeats, so only results are stored. They
are computed in double precision where the reference allows it.
"""

import importlib.metadata
import json
from pathlib import Path

import torch
from monai.losses import BoundaryLoss, DiceLoss, GeneralizedDiceLoss, SoftDiceclDiceLoss, TverskyLoss
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss, DC_and_topk_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

torch.set_num_threads(1)

SHAPE, CLASSES = [2, 4, 3, 5], 4
DICE = dict(smooth=1e-5, ddp=False)


def wave(shape, step, scale):
    """Returns sin(step * i) * scale for i = 1, 2, ..., rounded to single precision."""
    index = torch.arange(torch.tensor(shape).prod().item(), dtype=torch.float64)
    return (torch.sin(step * (index + 1)) * scale).reshape(shape).float()


def labels(shape=SHAPE, modulus=3):
    """Returns the class of voxel i: (i * 7 + i // 5) % modulus; of 4 classes, the last one is absent with modulus 3."""
    index = torch.arange(torch.tensor(shape).prod().item())
    return ((index * 7 + index // 5) % modulus).reshape(shape)


IGNORE = 4
REGIONS = [(1, 2, 3), (2, 3), (3,)]


def channels(target, ignore):
    """Returns the regions as channels, and the ignored voxels as the last one, as nnU-Net's ConvertSegmentationToRegions."""
    unions = REGIONS + ([(IGNORE,)] if ignore else [])
    return torch.stack([sum(target == label for label in union) > 0 for union in unions], 1).float()


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

    def boundary(weight, **kwargs):
        dice = DiceLoss(softmax=True, smooth_nr=1e-5, smooth_dr=1e-5, **kwargs)
        distance = BoundaryLoss(softmax=True, **kwargs)
        return lambda logits, target, one_hot: dice(logits, one_hot) + weight * distance(logits, one_hot)

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
        "cldice: {}": monai(SoftDiceclDiceLoss(softmax=True, include_background=False)),
        "cldice: { cldice_weight: 0.8, iterations: 1, smooth: 0.01, background: true }":
            monai(SoftDiceclDiceLoss(softmax=True, alpha=0.8, iter_=1, smooth_nr=0.01, smooth_dr=0.01)),
        "boundary: {}": boundary(0.01, include_background=False),
        "boundary: { boundary_weight: 2, background: true }": boundary(2, include_background=True),
        "tversky: {}": tversky(include_background=False),
        "tversky: { false_positives: 0.3, false_negatives: 0.7, background: true }":
            tversky(include_background=True, alpha=0.3, beta=0.7),
        "tversky: { false_positives: 0.2, false_negatives: 0.8, batch: true }":
            tversky(include_background=False, alpha=0.2, beta=0.8, batch=True),
        "generalized_dice: {}": generalized(include_background=False),
        "generalized_dice: { background: true }": generalized(include_background=True),
        "generalized_dice: { background: true, batch: true }": generalized(include_background=True, batch=True),
    }


def soft(batch, background):
    return dict(batch_dice=batch, do_bg=background, **DICE)


def with_ce(batch, ignore, **kwargs):
    return DC_and_CE_loss(
        soft(batch, False), {}, ignore_label=IGNORE if ignore else None, dice_class=MemoryEfficientSoftDiceLoss, **kwargs
    )


def with_bce(batch, ignore):
    return DC_and_BCE_loss(
        {}, soft(batch, True), use_ignore_label=ignore, dice_class=MemoryEfficientSoftDiceLoss
    )


def ignore_cases():
    def topk(batch):
        return DC_and_topk_loss(soft(batch, False), {"k": 30}, ignore_label=IGNORE)

    weights = torch.tensor([1.0, 2.0, 5.0, 0.5])
    cross_entropy = torch.nn.CrossEntropyLoss(weight=weights, ignore_index=IGNORE)
    return {
        "dice_cross_entropy: {}": lambda logits, target: with_ce(False, True)(logits, target) + 1,
        "dice_cross_entropy: { batch: true }": lambda logits, target: with_ce(True, True)(logits, target) + 1,
        "dice_cross_entropy: { top_k: 0.3 }": lambda logits, target: topk(False)(logits, target) + 1,
        "cross_entropy: { class_weights: [1, 2, 5, 0.5] }": lambda logits, target: cross_entropy(logits, target[:, 0]),
    }


def region_cases(ignore):
    nnunet = {
        "dice_binary_cross_entropy: {}": lambda logits, target: with_bce(False, ignore)(logits, target) + 1,
        "dice_binary_cross_entropy: { batch: true }": lambda logits, target: with_bce(True, ignore)(logits, target) + 1,
    }
    if ignore:
        return nnunet
    smooth = dict(sigmoid=True, smooth_nr=1e-5, smooth_dr=1e-5)
    return nnunet | {
        "binary_cross_entropy: {}": torch.nn.BCEWithLogitsLoss(),
        "dice: {}": DiceLoss(**smooth),
        "dice: { batch: true }": DiceLoss(batch=True, **smooth),
        "tversky: { false_positives: 0.3, false_negatives: 0.7 }": TverskyLoss(alpha=0.3, beta=0.7, **smooth),
        "generalized_dice: {}": GeneralizedDiceLoss(**smooth),
        "cldice: { iterations: 2 }": SoftDiceclDiceLoss(sigmoid=True, iter_=2),
        "boundary: { dice_weight: 0, boundary_weight: 1 }": BoundaryLoss(sigmoid=True),
    }


LEVELS = [[2, 8, 4, 8], [2, 4, 4, 4], [2, 2, 2, 2]]


def downsampled(target):
    """Returns the target [batch, channel, x, y, z] at each resolution, by nnU-Net's own transform."""
    scales = [[size / full for size, full in zip(level[1:], LEVELS[0][1:])] for level in LEVELS]
    transform = DownsampleSegForDSTransform(scales)
    each = [transform(segmentation=patch)["segmentation"] for patch in target]
    return [torch.stack(level) for level in zip(*each)]


def supervised(loss):
    """Weights as nnUNetTrainer._build_loss."""
    weights = [1 / 2**level for level in range(len(LEVELS))]
    weights[-1] = 0
    return DeepSupervisionWrapper(loss, [weight / sum(weights) for weight in weights])


def result(yaml, loss, logits, target):
    logits = [each.requires_grad_() for each in logits]
    value = loss(logits, target) if len(logits) > 1 else loss(logits[0], target)
    value.backward()
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in logits]
    gradient = torch.cat([each.flatten() for each in gradients])
    return {"yaml": yaml, "loss": value.item(), "gradient": gradient.tolist()}


def logits(shape, classes):
    return wave([shape[0], classes, *shape[1:]], 0.37, 5.0)


def supervised_results(name, losses, target, classes):
    results = []
    for batch in (False, True):
        yaml = f"{name}: {{ batch: true }}" if batch else f"{name}: {{}}"
        loss = supervised(losses(batch))
        # The weights of the levels sum to 1, and so does the constant that is added to each.
        levels = [logits(level, classes) for level in LEVELS]
        results.append(result(yaml, lambda *given: loss(*given) + 1, levels, downsampled(target)))
    return results


def main():
    target = labels()
    one_hot = torch.nn.functional.one_hot(target, CLASSES).permute(0, 4, 1, 2, 3).float()
    results = []
    for yaml, loss in cases().items():
        results.append(result(yaml, lambda x, y: loss(x, target, y), [logits(SHAPE, CLASSES)], one_hot))
    versions = {name: importlib.metadata.version(name) for name in ("torch", "nnunetv2", "batchgeneratorsv2", "monai")}
    document = {"versions": versions, "shape": SHAPE, "classes": CLASSES, "cases": results}
    ignored = labels(modulus=5)
    document["ignore"] = [
        result(yaml, loss, [logits(SHAPE, CLASSES)], ignored[:, None]) for yaml, loss in ignore_cases().items()
    ]
    for key, ignore in (("regions", False), ("regions_ignore", True)):
        regions = channels(labels(modulus=5 if ignore else 4), ignore)
        document[key] = [
            result(yaml, loss, [logits(SHAPE, len(REGIONS))], regions) for yaml, loss in region_cases(ignore).items()
        ]
    full = LEVELS[0]
    document["supervised"] = supervised_results(
        "dice_cross_entropy", lambda batch: with_ce(batch, False), labels(full, 4)[:, None], CLASSES
    )
    document["supervised_ignore"] = supervised_results(
        "dice_cross_entropy", lambda batch: with_ce(batch, True), labels(full, 5)[:, None], CLASSES
    )
    document["supervised_regions_ignore"] = supervised_results(
        "dice_binary_cross_entropy", lambda batch: with_bce(batch, True), channels(labels(full, 5), True), len(REGIONS)
    )
    Path(__file__).with_name("losses.json").write_text(json.dumps(document) + "\n")


main()

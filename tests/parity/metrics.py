"""Writes the expected values of tests/metrics.rs with MONAI 1.6.1, MedPy 0.5.2, surface-distance 0.1 and the LiTS scorer.

usage: python tests/parity/metrics.py tests/parity/metrics SCORER

SCORER is a checkout of PatrickChrist/lits-challenge-scoring. Its `program/evaluate.py` and `helpers/calc_metric.py` are
patched to run with current versions of NumPy, SciPy and nibabel. The committed numbers come from a reimplementation of
its rules for detection, burden and counting, because the checkout was not available. The areas of surface elements are
stored for all 256 neighbourhoods. Label maps are run-length encoded; z varies fastest.
"""

import itertools
import json
import runpy
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import nibabel
import numpy as np
import scipy.ndimage
import torch

# surface-distance and the LiTS scorer use these names, which NumPy, SciPy and nibabel have removed.
np.Inf, np.NaN, np.bool = np.inf, np.nan, bool
scipy.ndimage.filters = scipy.ndimage.morphology = scipy.ndimage
sys.modules["scipy.ndimage.measurements"] = scipy.ndimage
nibabel.Nifti1Image.get_data = lambda image: np.asanyarray(image.dataobj)

import medpy.metric.binary as medpy
import surface_distance as deepmind
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance, compute_iou
from monai.metrics import compute_surface_dice
from monai.metrics.confusion_matrix import compute_confusion_matrix_metric, get_confusion_matrix
from surface_distance.lookup_tables import create_table_neighbour_code_to_surface_area

warnings.filterwarnings("ignore")
SPACINGS = [(1.0, 1.0, 1.0), (1.0, 0.8, 2.5), (0.77, 0.77, 1.0), (3.0, 0.2, 1.0)]
TOLERANCES = [0.0, 1.0, 2.0]


def nothing(shape):
    return np.zeros(shape, bool)


def box(shape, *ranges):
    mask = nothing(shape)
    mask[tuple(slice(*ends) for ends in ranges)] = True
    return mask


def blob(rng, shape, smoothness, fraction):
    """Returns random shapes that cover about the given fraction of the volume."""
    values = scipy.ndimage.gaussian_filter(rng.standard_normal(shape), smoothness)
    return values > np.quantile(values, 1 - fraction)


def pairs():
    """Yields named pairs of masks: prediction, truth."""
    rng = np.random.default_rng(7)
    shape = (9, 8, 11)
    one, two = box(shape, (2, 3), (3, 4), (4, 5)), box(shape, (6, 7), (3, 4), (9, 10))
    thick = box(shape, (1, 6), (2, 7), (3, 9))
    yield "empty in both", nothing(shape), nothing(shape)
    yield "empty prediction", nothing(shape), thick
    yield "empty truth", thick, nothing(shape)
    yield "one voxel each", one, two
    yield "the same voxel", one, one
    yield "one voxel and a box", one, thick
    yield "the same box", thick, thick
    yield "a box moved", np.roll(thick, (1, 0, 1), (0, 1, 2)), thick
    yield "two corners of the volume", box(shape, (0, 1), (0, 1), (0, 1)), box(shape, (8, 9), (7, 8), (10, 11))
    yield "full volumes", ~nothing(shape), ~nothing(shape)
    yield "a full volume and a box", ~nothing(shape), thick
    yield "a box at the border", box(shape, (0, 4), (0, 8), (5, 11)), thick
    yield "a hole", thick & ~box(shape, (3, 4), (4, 5), (5, 7)), thick
    yield "a plane", box(shape, (4, 5), (0, 8), (0, 11)), box(shape, (5, 6), (0, 8), (0, 11))
    yield "one voxel thick volume", box((1, 6, 70), (0, 1), (1, 4), (2, 66)), box((1, 6, 70), (0, 1), (2, 6), (0, 65))
    yield "rows of two words", box((3, 4, 130), (1, 2), (1, 3), (60, 129)), box((3, 4, 130), (0, 2), (0, 2), (1, 66))
    far = (40, 45, 90)
    yield "far apart", box(far, (0, 3), (0, 4), (0, 5)), box(far, (36, 40), (40, 45), (80, 90))
    yield "one voxel astray", box(far, (0, 10), (0, 12), (0, 14)) | box(far, (39, 40), (44, 45), (89, 90)), box(far, (0, 11), (0, 12), (0, 13))
    yield "speckles", rng.random(shape) < 0.3, rng.random(shape) < 0.3
    for index, (smoothness, fraction) in enumerate(itertools.product((0.7, 1.5), (0.02, 0.2, 0.6))):
        size = (14, 17, 20)
        yield f"blobs {index}", blob(rng, size, smoothness, fraction), blob(rng, size, smoothness, fraction)
    size = (36, 40, 44)
    truth = blob(rng, size, 4, 0.2)
    yield "a good prediction", truth ^ (blob(rng, size, 1, 0.05) & scipy.ndimage.binary_dilation(truth)), truth


def attempt(function, *arguments, **options):
    """Returns the score, or None if it is undefined or an error."""
    try:
        value = float(function(*arguments, **options))
    except (RuntimeError, ZeroDivisionError):
        return None
    return None if np.isnan(value) else "inf" if np.isinf(value) else value


def one_hot(mask):
    return torch.from_numpy(np.stack([~mask, mask])[None].astype(np.float32))


def monai_scores(prediction, truth, spacing):
    pair = one_hot(prediction), one_hot(truth)
    counts = get_confusion_matrix(*pair, include_background=False)
    scores = {
        "dice one": attempt(compute_dice, *pair, include_background=False, ignore_empty=False),
        "jaccard one": attempt(compute_iou, *pair, include_background=False, ignore_empty=False),
        "precision nan": attempt(compute_confusion_matrix_metric, "precision", counts),
        "recall nan": attempt(compute_confusion_matrix_metric, "recall", counts),
        "hd monai": attempt(compute_hausdorff_distance, *pair, spacing=spacing),
        "hd95 monai": attempt(compute_hausdorff_distance, *pair, percentile=95, spacing=spacing),
        "assd monai": attempt(compute_average_surface_distance, *pair, symmetric=True, spacing=spacing),
    }
    return scores


def medpy_scores(prediction, truth, spacing):
    def zero_if_undefined(function):
        """MedPy returns 0 for 0 / 0 if NumPy's counts are plain numbers, as they were up to NumPy 2.3."""
        value = attempt(function, prediction, truth)
        return 0.0 if value is None else value

    return {
        "dice zero": zero_if_undefined(medpy.dc),
        "jaccard one": attempt(medpy.jc, prediction, truth),
        "precision zero": zero_if_undefined(medpy.precision),
        "recall zero": zero_if_undefined(medpy.recall),
        "volume_difference relative": attempt(medpy.ravd, prediction, truth),
        "hd medpy": attempt(medpy.hd, prediction, truth, voxelspacing=spacing),
        "hd95 medpy": attempt(medpy.hd95, prediction, truth, voxelspacing=spacing),
        "assd medpy": attempt(medpy.assd, prediction, truth, voxelspacing=spacing),
    }


def deepmind_scores(prediction, truth, spacing):
    distances = deepmind.compute_surface_distances(truth, prediction, spacing)
    scores = {
        "dice nan": attempt(deepmind.compute_dice_coefficient, truth, prediction),
        "hd deepmind": attempt(deepmind.compute_robust_hausdorff, distances, 100),
        "hd95 deepmind": attempt(deepmind.compute_robust_hausdorff, distances, 95),
    }
    for tolerance in TOLERANCES:
        scores[f"nsd {tolerance}"] = attempt(deepmind.compute_surface_dice_at_tolerance, distances, tolerance)
    return scores


def runs(labels):
    """Returns the run-length encoding: pairs of a value and its count."""
    flat = labels.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    counts = np.diff(np.r_[starts, flat.size])
    return [[int(flat[start]), int(count)] for start, count in zip(starts, counts)]


def comparisons():
    for (name, prediction, truth), spacing in itertools.product(pairs(), SPACINGS):
        scores = monai_scores(prediction, truth, spacing)
        scores = [*scores.items(), *medpy_scores(prediction, truth, spacing).items()]
        scores += deepmind_scores(prediction, truth, spacing).items()
        yield {
            "name": name,
            "shape": prediction.shape,
            "spacing": spacing,
            "prediction": runs(prediction),
            "truth": runs(truth),
            "scores": [list(score) for score in scores],
        }


def livers():
    """Yields named sets of cases, each a prediction and a truth with liver 1 and lesions 2."""
    rng = np.random.default_rng(11)
    shape = (12, 13, 14)
    liver = box(shape, (1, 11), (1, 12), (1, 13))

    def labels(lesions, liver=liver):
        return liver.astype(np.int16) + (lesions & liver)

    def random_lesions(fraction, smoothness=0.8):
        return labels(blob(rng, shape, smoothness, fraction))

    def rows(text):
        """Returns a volume of one row: `.` is liver, `#` lesion, and a space background."""
        return np.array([" .#".index(letter) for letter in text], np.int16).reshape(1, 1, -1)

    yield "perfect", [(random_lesions(0.1),) * 2]
    yield "random lesions", [(random_lesions(0.1), random_lesions(0.1)) for _ in range(6)]
    yield "many small lesions", [(random_lesions(0.2, 0.5), random_lesions(0.2, 0.5)) for _ in range(4)]
    for index in range(8):
        truth = blob(rng, shape, 0.9, 0.15)
        noise = blob(rng, shape, 0.6, 0.03)
        yield f"near misses {index}", [(labels(truth ^ noise), labels(truth))]
    yield "no lesions", [(labels(nothing(shape)), labels(nothing(shape))), (random_lesions(0.1), random_lesions(0.1))]
    yield "lesions in one only", [(labels(nothing(shape)), random_lesions(0.1)), (random_lesions(0.1), labels(nothing(shape)))]
    yield "no lesion at all", [(labels(nothing(shape)), labels(nothing(shape)))]
    yield "no liver predicted", [(np.zeros(shape, np.int16), random_lesions(0.1)), (random_lesions(0.1), random_lesions(0.1))]
    yield "lesions without a liver", [(2 * (random_lesions(0.1) == 2).astype(np.int16), random_lesions(0.1))]
    yield "an overlap of half", [(rows(" ..##.."), rows(" ..#..."))]
    yield "split", [(rows(".###.###."), rows(".#######."))]
    yield "merged", [(rows(".#######."), rows(".###.###."))]
    yield "merged below the threshold", [(rows("##########"), rows("#...#...#."))]
    yield "a chain", [(rows(".####.####.###.."), rows(".#.####.#####.#."))]
    yield "partly overlapping lesions", [(rows("#..####..####.."), rows("...##.##.####.#"))]
    for index in range(40):
        prediction, truth = rng.choice([0, 1, 2], (2, 1, 2, 40), p=[0.1, 0.3, 0.6]).astype(np.int16)
        yield f"random rows {index}", [(prediction, truth)]


def lits_scores(scorer, cases):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for index, (prediction, truth) in enumerate(cases):
            for part, labels in ("res", prediction), ("ref", truth):
                (folder / part).mkdir(exist_ok=True)
                nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), folder / part / f"{index}.nii")
        sys.argv = ["evaluate.py", str(folder), str(folder / "out")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluated = runpy.run_path(str(scorer / "program" / "evaluate.py"))
    names = ["lesion_segmentation_metrics", "liver_segmentation_metrics", "lesion_detection_metrics"]
    lesion, liver, detection = (evaluated[name] for name in names)
    scores = {
        "lits_liver_dice": liver["dice_per_case"],
        "lits_lesion_dice": lesion["dice_per_case"],
        "lits_lesion_precision_global": detection["precision"],
        "lits_lesion_recall_global": detection["recall"],
        "lits_liver_dice_global": liver["dice_global"],
        "lits_lesion_dice_global": lesion["dice_global"],
        "lits_tumour_burden_rmse": evaluated["tumor_burden_rmse"],
    }
    return {name: attempt(float, value) for name, value in scores.items()}


def patched(scorer, folder):
    """Copies the scorer and patches it to index as current NumPy requires, and to return NaN for 0 / 0."""
    copy = Path(shutil.copytree(scorer / "program", folder / "program"))
    helper = copy / "helpers" / "calc_metric.py"
    text = helper.read_text()
    for name in "sum_slices", "mask_slices", "replace_slices":
        text = text.replace(f"[{name}]", f"[tuple({name})]")
    helper.write_text(text.replace("find_objects(target_mask)", "find_objects(np.asarray(target_mask, int))"))
    evaluate = copy / "evaluate.py"
    evaluate.write_text(evaluate.read_text().replace("dice_global = 2.*", "dice_global = np.float64(2.)*"))
    sys.path.insert(0, str(copy))
    return folder


def lits_sets(scorer):
    with tempfile.TemporaryDirectory() as folder:
        scorer = patched(scorer, Path(folder))
        for name, cases in livers():
            maps = [{"shape": p.shape, "prediction": runs(p), "truth": runs(t)} for p, t in cases]
            yield {"name": name, "cases": maps, "scores": lits_scores(scorer, cases)}


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


def main():
    out, scorer = Path(sys.argv[1]), Path(sys.argv[2])
    areas = [{"spacing": s, "areas": create_table_neighbour_code_to_surface_area(s).tolist()} for s in SPACINGS]
    write(out / "areas.json", areas)
    write(out / "pairs.json", list(comparisons()))
    write(out / "lits.json", list(lits_sets(scorer)))


if __name__ == "__main__":
    main()

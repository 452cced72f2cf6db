"""Writes the expected values of crates/engine/tests/selection.rs with nnU-Net's own functions.

usage: python crates/engine/tests/selection/nnunet.py

Needs nnunetv2 and SimpleITK. Probabilities and label maps are made of balls by a formula in whole numbers that the Rust test
repeats, so only results are stored: the Dice of every candidate of find_best_configuration, and the steps and scores of
determine_postprocessing, for labels and for regions.
"""

import importlib.metadata
import json
import multiprocessing
import os
import tempfile
from pathlib import Path

os.environ.update(nnUNet_raw=".", nnUNet_preprocessed=".", nnUNet_results=".")

import numpy
import SimpleITK
from batchgenerators.utilities.file_and_folder_operations import save_pickle
from nnunetv2.ensembling.ensemble import ensemble_folders
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder, label_or_region_to_key
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.postprocessing.remove_connected_components import determine_postprocessing



class SerialPool:
    """Stands for nnU-Net's pools of processes, whose start takes longer than the work."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def starmap(self, function, arguments):
        return [function(*one) for one in arguments]


multiprocessing.get_context = lambda *_: type("Context", (), {"Pool": SerialPool})

SHAPE = (14, 12, 10)
SUBJECTS = 6
SETTINGS = ["a", "b", "c"]
# Stray balls of each class that all settings predict, and that a setting predicts besides; the extra weight of background
# that a setting predicts; and whether the tumour is inside the liver.
CASES = {
    "inside": dict(common=[3, 1], own={"a": [1, 0], "b": [1, 1], "c": [1, 1]}, background={"a": 0, "b": 0, "c": 0}, inside=True),
    "apart": dict(common=[2, 0], own={"a": [0, 2], "b": [1, 1], "c": [2, 2]}, background={"a": 0, "b": 0, "c": 0}, inside=False),
    "both": dict(common=[2, 2], own={"a": [0, 0], "b": [0, 0], "c": [0, 0]}, background={"a": 10, "b": 0, "c": 20}, inside=False),
    "single": dict(common=[0, 0], own={"a": [6, 5], "b": [0, 0], "c": [6, 6]}, background={"a": 90, "b": 0, "c": 160}, inside=True),
}


class Random:
    """A linear congruential generator."""

    def __init__(self, *names):
        self.state = 12345
        for name in names:
            self.state = (self.state * 31 + name) % 2147483648

    def below(self, limit):
        self.state = (self.state * 1103515245 + 12345) % 2147483648
        return self.state // 65536 % limit


def balls(random, number, smallest, largest):
    return [([random.below(size) for size in SHAPE], smallest + random.below(largest - smallest + 1)) for _ in range(number)]


def inside(ball):
    """Returns a mask [x, y, z]."""
    centre, radius = ball
    squares = sum((axis - middle) ** 2 for axis, middle in zip(numpy.indices(SHAPE), centre))
    return squares <= radius * radius


def truth(case, subject):
    """Returns label 1 in a large ball and label 2 in a small one; the third subject has no label 2."""
    random = Random(1, subject)
    label = numpy.zeros(SHAPE, numpy.uint8)
    [(liver, radius)] = balls(random, 1, 3, 4)
    [(tumour, small)] = balls(random, 1, 1, 2)
    label[inside((liver, radius))] = 1
    if subject != 2:
        label[inside((liver if CASES[case]["inside"] else tumour, small))] = 2
    return label


def weights(case, subject, setting):
    """Returns whole weights [class, x, y, z] of which probabilities are the fractions."""
    number = list(CASES).index(case)
    common, random = Random(2, subject, number), Random(3, subject, number, SETTINGS.index(setting))
    label = truth(case, subject)
    result = numpy.stack([numpy.full(SHAPE, 100 + CASES[case]["background"][setting]), *numpy.zeros((2, *SHAPE), int)])
    for class_ in (1, 2):
        result[class_][label == class_] += 150 + random.below(100)
        for ball in balls(random, 2, 0, 1):
            # Parts that the setting misses.
            result[0][inside(ball)] += 100
        for ball in balls(common, CASES[case]["common"][class_ - 1], 0, 1):
            result[class_][inside(ball)] += 150 + common.below(100)
        for ball in balls(random, CASES[case]["own"][setting][class_ - 1], 0, 1):
            result[class_][inside(ball)] += 120 + random.below(200)
    return result


def probabilities(case, subject, setting):
    values = weights(case, subject, setting).astype(numpy.float32)
    return values / values.sum(0, dtype=numpy.float32)


def save(path, label):
    # nnU-Net's arrays are z, y, x.
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(numpy.ascontiguousarray(label.T)), str(path))


def plain(value):
    """Returns a score for JSON; None if it is undefined."""
    return None if numpy.isnan(value) else float(value)


def steps(folder):
    chosen = json.loads((folder / "postprocessing.json").read_text())
    labels = [kwargs["labels_or_regions"] for kwargs in chosen["postprocessing_kwargs"]]
    return dict(steps=[one if isinstance(one, list) else [one] for one in labels],
                before=chosen["input_folder"]["foreground_mean"]["Dice"],
                after=chosen["postprocessed"]["foreground_mean"]["Dice"])


def run(case, root):
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz",
               "numTraining": SUBJECTS}
    regions = dict(dataset, labels={"background": 0, "whole": [1, 2], "tumour": [2]}, regions_class_order=[1, 2])
    plans = {"image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager", "dataset_name": "D",
             "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "configurations": {}}
    truths = root / "truth"
    truths.mkdir(parents=True)
    folders = {}
    for subject in range(SUBJECTS):
        save(truths / f"s{subject}.nii.gz", truth(case, subject))
    for setting in SETTINGS:
        folders[setting] = root / setting
        folders[setting].mkdir()
        (folders[setting] / "plans.json").write_text(json.dumps(plans))
        (folders[setting] / "dataset.json").write_text(json.dumps(dataset))
        for subject in range(SUBJECTS):
            values = probabilities(case, subject, setting)
            save(folders[setting] / f"s{subject}.nii.gz", values.argmax(0).astype(numpy.uint8))
            numpy.savez(folders[setting] / f"s{subject}.npz", probabilities=values.transpose(0, 3, 2, 1))
            _, properties = SimpleITKIO().read_seg(str(truths / f"s{subject}.nii.gz"))
            save_pickle(properties, str(folders[setting] / f"s{subject}.pkl"))
    for index, one in enumerate(SETTINGS):
        for other in SETTINGS[index + 1:]:
            folders[f"{one} + {other}"] = root / f"{one}{other}"
            ensemble_folders([str(folders[one]), str(folders[other])], str(root / f"{one}{other}"), num_processes=2)
            (root / f"{one}{other}" / "plans.json").write_text(json.dumps(plans))
    scores = {}
    for name, folder in folders.items():
        result = compute_metrics_on_folder(str(truths), str(folder), str(folder / "summary.json"), SimpleITKIO(), ".nii.gz",
                                           [1, 2], None, 2)
        scores[name] = plain(result["foreground_mean"]["Dice"])
    best = max(scores, key=lambda name: scores[name])
    determine_postprocessing(str(folders[best]), str(truths), plans, dataset, 2)
    result = dict(scores=scores, best=best, labels=steps(folders[best]))
    for name in ("summary.json", "postprocessing.json"):
        (folders["a"] / name).unlink(missing_ok=True)
    determine_postprocessing(str(folders["a"]), str(truths), plans, regions, 2)
    return dict(result, regions_of_a=steps(folders["a"]))


def main():
    with tempfile.TemporaryDirectory() as root:
        data = {case: run(case, Path(root) / case.replace(" ", "_")) for case in CASES}
    document = {"versions": {"nnunetv2": importlib.metadata.version("nnunetv2")}, "data": data}
    Path(__file__).with_name("nnunet.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

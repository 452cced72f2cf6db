"""Generates a pair of label maps of the size of a CT: a liver with lesions, and a prediction of it."""

import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

SHAPE = (512, 512, 150)
SPACING = (0.77, 0.77, 1.0)
# Centre in voxels and radius in mm of each lesion: in the truth (None: false positive) and in the prediction (None: missed).
LESIONS = [
    ((180, 230, 60), 18, ((181, 232, 61), 17)),
    ((230, 200, 90), 9, ((229, 200, 90), 10)),
    ((150, 260, 80), 6, ((150, 261, 80), 5)),
    ((260, 250, 70), 12, ((263, 250, 72), 11)),
    ((200, 290, 50), 4, None),
    ((210, 210, 45), 7, ((210, 210, 45), 7)),
    ((140, 220, 95), 5, None),
    (None, None, ((280, 220, 85), 6)),
]


def waves(seed, size):
    """Returns smooth noise with a standard deviation of 1."""
    coarse = gaussian_filter(np.random.default_rng(seed).standard_normal([max(4, side // 8) for side in SHAPE]), size / 8)
    fine = zoom(coarse, [side / small for side, small in zip(SHAPE, coarse.shape)], order=1)
    return (fine / fine.std()).astype(np.float32)


def ball(centre, radius):
    position = np.ogrid[tuple(slice(0, side) for side in SHAPE)]
    squared = sum(((axis - middle) * step) ** 2 for axis, middle, step in zip(position, centre, SPACING))
    return squared <= radius**2


def label_map(depth, balls):
    labels = (depth > 0).astype(np.uint8)
    for centre, radius in balls:
        labels[ball(centre, radius) & (labels > 0)] = 2
    return labels


def make(folder):
    """Writes prediction.nii.gz and truth.nii.gz, which are the same on every machine."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "prediction.nii.gz", folder / "truth.nii.gz"
    if all(file.exists() for file in files):
        return files
    position = np.ogrid[tuple(slice(0, side) for side in SHAPE)]
    sides = zip(position, (200, 240, 75), (105, 75, 60), SPACING)
    distance = np.sqrt(sum(((axis - middle) * step / radius) ** 2 for axis, middle, radius, step in sides))
    # Approximate depth below the surface in mm.
    depth = (75 * (1 - distance) + 6 * waves(1, 24)).astype(np.float32)
    truth = label_map(depth, [lesion[:2] for lesion in LESIONS if lesion[0]])
    prediction = label_map(depth + 2 * waves(2, 16), [lesion[2] for lesion in LESIONS if lesion[2]])
    # A piece of another organ.
    prediction[ball((380, 300, 60), 10)] = 1
    for file, labels in zip(files, (prediction, truth)):
        nibabel.save(nibabel.Nifti1Image(labels, np.diag([*SPACING, 1])), file)
    return files


if __name__ == "__main__":
    import sys
    from pathlib import Path

    make(Path(sys.argv[1]))

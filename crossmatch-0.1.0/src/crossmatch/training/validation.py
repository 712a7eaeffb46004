"""Validation while a network trains: the Dice of the validation cases, read from their files each time."""

from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.orientation import put_onto, turn_onto
from crossmatch.errors import UserError
from crossmatch.formats import Volume
from crossmatch.inference.predictor import Predictor
from crossmatch.scoring.metrics import counted, dice_per_class


def validation(predictor: Predictor, dataset: Dataset) -> dict[str, float]:
    """Mean Dice over the validation cases of each class and of all, at native size, as `evaluate` computes it."""
    predictor.network.eval()
    names = [name for name, value in dataset.labels.items() if value > 0]
    rows = []
    for case in dataset.split("val"):
        assert case.label is not None
        files = [(path, volume) for path in case.images for volume in formats.read_channels([path])]
        images = [volume for _, volume in files]
        reference = formats.read_label(case.label, images[0], dataset.drawn)
        for path, volume in (*files, (case.label, reference)):
            _check_unchanged(path, volume, images[0], None if path != case.label else len(dataset.drawn))
        labels, _ = predictor(images, case.images[0])
        drawn = put_onto(images[0], reference, case.label, "its image")
        rows.append(dice_per_class(*counted(labels, drawn.voxels, dataset.ignore), len(dataset.labels)))
    per_class = np.mean(rows, axis=0)
    return {"mean": float(per_class.mean()), **dict(zip(names, per_class.tolist(), strict=True))}


def _check_unchanged(path: Path, volume: Volume, scan: Volume, classes: int | None) -> None:
    """Raise UserError for a file that `check` would have refused; it was changed while the training ran.

    Args:
        scan: the first channel, on whose voxels all files of a case lie.
        classes: of a label; None for an image.
    """
    voxels = volume.voxels
    if turn_onto(scan, volume) is None:
        same = "has another affine than its image"
        what = same if voxels.shape == scan.shape else f"has the shape {voxels.shape}, its image {scan.shape}"
    elif classes is None and not np.isfinite(voxels).all():
        what = "has voxels that are NaN or infinite"
    elif classes is not None and not np.isin(voxels, range(classes)).all():
        what = f"holds values that are no labels (0 to {classes - 1})"
    else:
        return
    raise UserError(
        f"{path} was changed during the training: it {what}. The steps so far are kept: put the file back, and go on "
        "with --resume."
    )

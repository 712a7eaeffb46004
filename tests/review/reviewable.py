"""A run with predictions and estimates on disk, without training: for tests of the review."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.orientation import read_label
from crossmatch.inference.origin import file_state
from crossmatch.inference.present_weights import present_weights
from crossmatch.inference.quality_record import write_quality
from crossmatch.runs.run import open_run
from untrained import untrained_run

FACTS = {"checkpoint": "last", "step": 3, "flips": False}
CALIBRATION: dict[str, Any] = {
    "method": "validation",
    "told": "Fitted on 1 validation case.",
    "cases": ["case_004"],
    "weights_sha256": "ab" * 32,
    "level": 0.8,
    "error": 0.05,
    "reliability": None,
}


def predicted(run: Path, data: Path, dice: Mapping[str, float], folder: str = "unlabelled", **images: Path) -> Path:
    """Write masks of cases, as if made by the run's last weights, with estimates of their Dice; return their folder.

    Each mask is the case's label where the dataset has one, else a box; a row of voxels is taken away from it.

    Args:
        run: its folder; data: its dataset.
        dice: case -> estimated mean Dice; below 0.3 it counts as outside of the training data.
        images: of new scans, case -> file.
    """
    target = run / folder
    dataset = open_dataset(data, ("train", "val"))
    known = {case.id: case for case in dataset.cases}
    scans, cases = {}, {}
    labels = {name: value for name, value in dataset.labels.items() if value}
    for name, value in dice.items():
        case = known.get(name)
        image = images[name] if case is None else case.images[0]
        scan = formats.read_channels([image])[0]
        mask = box(scan.shape, len(labels))
        if case is not None and case.label is not None:
            mask = read_label(case.label, scan, dataset.labels).voxels.astype(np.uint8)
            mask[mask.shape[0] // 2] = 0
        path = target / f"{name}{formats.mask_ending(image, None, formats.read_grid(image))}"
        formats.write(path, mask, like=scan, labels=dataset.labels)
        stat = image.stat()
        source = {
            "path": os.path.relpath(image.resolve(), target.resolve()),
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "ctime_ns": stat.st_ctime_ns,
            "sha256": file_sha256(image),
        }
        scans[name] = [source]
        estimate = {
            "dice": value,
            "low": value - 0.1,
            "high": min(1.0, value + 0.1),
            "agreement": value,
            "soft_dice": value,
        }
        of_class = {**estimate, "border_entropy": 0.5, "voxels": 9, "volume_ml": 1.0, "surface_cm2": 2.0}
        cases[name] = {
            **estimate,
            "border_entropy": 0.5,
            "flags": ["The voxel size is far from that of the training."] if value < 0.3 else [],
            "out_of_distribution": value < 0.3,
            "grey_distance": 0.0,
            "spacing_distance": 1.0,
            "classes": {label: {**of_class, "components": 1, "edge_share": 0.0} for label in labels},
            "mask": file_state(target, path),
            "scan": [source],
        }
    now = present_weights(open_run(run), "last")
    facts = {"run": run.name, **FACTS, "weights_sha256": now.sha256 if now else "ab" * 32}
    (target / "prediction.json").write_text(json.dumps({**facts, "scans": scans}))
    write_quality(target, {**facts, "views": ["clean"]}, CALIBRATION, labels, cases)
    return target


def box(shape: tuple[int, ...], classes: int) -> np.ndarray:
    """A label map with every class, and no symmetry."""
    mask = np.zeros(shape, np.uint8)
    for value in range(1, classes + 1):
        mask[tuple(slice(n // 4 + value - 1 + k, n // 2 + value + k) for k, n in enumerate(shape))] = value
    return mask


__all__ = ["box", "predicted", "untrained_run"]

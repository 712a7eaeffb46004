"""Tiny NIfTI datasets for tests, in the product's layout."""

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])  # 1.5 x 1.5 x 8 mm, the axes turned as scanners turn them
NAMES = ("background", "RV", "MYO", "LV", "liver", "spleen", "tumour")


def write_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE, unit: str = "mm") -> Path:
    """Write one NIfTI file; `unit="unknown"` with an identity affine is a file of unknown spacing."""
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units(unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def write_dataset(
    root: Path,
    *,
    n_train: int = 3,
    n_val: int = 1,
    n_test: int = 1,
    shape: tuple[int, ...] = (16, 14, 4),
    channels: int = 1,
    classes: int = 3,
    unlabelled: int = 0,
    subsets: Sequence[int] = (1, 2),
    affine: np.ndarray = AFFINE,
    unit: str = "mm",
    ending: str = ".nii.gz",
    seed: int = 0,
) -> Path:
    """Write a dataset of random cases `case_001`, `case_002`, ... and return its root.

    Training cases come first, then validation (both in imagesTr), then test (imagesTs). Labels are nested boxes of
    values 0..classes-1, images (int16) are 100 x label + noise, so a network can learn them.

    Args:
        root: made if missing.
        n_train, n_val, n_test: numbers of cases.
        shape: (x, y) or (x, y, z).
        channels: image files per case.
        classes: with background.
        unlabelled: the last so many training cases get no label file.
        subsets: for each N in it (at most the labelled cases) a list splits/train_N_label.txt of the first N.
        affine, unit: geometry of every file.
        ending: ".nii.gz" or ".nii".
        seed: of the voxels.
    """
    rng = np.random.default_rng(seed)
    splits = {"train": n_train, "val": n_val, "test": n_test}
    (root / "splits").mkdir(parents=True, exist_ok=True)
    description = {
        "name": "tiny",
        "channel_names": {str(n): f"C{n}" for n in range(channels)},
        "labels": {NAMES[n]: n for n in range(classes)},
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(description))
    number = 0
    names: dict[str, list[str]] = {}
    for split, count in splits.items():
        names[split] = []
        kind = "Ts" if split == "test" else "Tr"
        for n in range(count):
            number += 1
            name = f"case_{number:03d}"
            names[split].append(name)
            label = _boxes(rng, shape, classes)
            for channel in range(channels):
                image = 100 * label.astype(np.int16) + rng.integers(0, 60, shape, dtype=np.int16)
                write_nifti(root / f"images{kind}" / f"{name}_{channel:04d}{ending}", image, affine, unit)
            if split != "train" or n < n_train - unlabelled:
                write_nifti(root / f"labels{kind}" / f"{name}{ending}", label, affine, unit)
        (root / "splits" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names[split]))
    for size in subsets:
        if size <= n_train - unlabelled:
            lines = "".join(f"{name}\n" for name in names["train"][:size])
            (root / "splits" / f"train_{size}_label.txt").write_text(lines)
    return root


def _boxes(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """Nested boxes, value 1 outermost; every class has voxels when the smallest axis allows it."""
    label = np.zeros(shape, np.uint8)
    start = [int(rng.integers(0, max(1, n // 8 + 1))) for n in shape]
    stop = [n - int(rng.integers(0, max(1, n // 8 + 1))) for n in shape]
    for value in range(1, classes):
        inset = [min(value - 1, (b - a - 1) // 2) if n >= 8 else 0 for a, b, n in zip(start, stop, shape, strict=True)]
        label[tuple(slice(a + i, b - i) for a, b, i in zip(start, stop, inset, strict=True))] = value
    return label

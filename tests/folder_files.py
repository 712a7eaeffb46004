"""Tiny folders of scans for tests, laid out as people have them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from crossmatch.dataset.dataset import Dataset
from crossmatch.importers.carry_out import carry_out
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.wishes import Wishes
from tiny import write_nifti

SHAPE = (12, 10, 4)
LABELS = {"background": 0, "liver": 1, "tumour": 2}  # of `nnunet`


def imported(source: Path, target: Path, **wishes: object) -> Dataset:
    """Import a source in which nothing is wrong."""
    dataset, left_out = carry_out(target, propose_import(source, Wishes(**wishes)), None, lambda text: None)
    assert left_out == {}
    return dataset


def scan(path: Path, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Path:
    """Write an image of random grey values."""
    return write_nifti(path, np.random.default_rng([seed, *path.name.encode()]).integers(0, 99, shape).astype(np.int16))


def label_voxels(values: Sequence[int], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A label that holds 0 and these values, a column each."""
    voxels = np.zeros(shape, np.uint16 if max(values, default=0) > 255 else np.uint8)
    for column, value in enumerate(values):
        voxels[column + 1, 1:4] = value
    return voxels


def label(path: Path, values: Sequence[int] = (1,), shape: tuple[int, ...] = SHAPE) -> Path:
    """Write such a label."""
    return write_nifti(path, label_voxels(values, shape))


def pairs(source: Path, names: Sequence[str] = ("anna", "bert", "carl"), values: Sequence[int] = (1,)) -> Path:
    """Write images/NAME and masks/NAME_mask for each name."""
    for name in names:
        scan(source / "images" / f"{name}.nii.gz")
        label(source / "masks" / f"{name}_mask.nii.gz", values)
    return source


def photographs(source: Path, names: Sequence[str]) -> Path:
    """Write JPEG images in colours and PNG masks of 0 and 255; the last one has no mask."""
    for folder in ("photos", "masks"):
        (source / folder).mkdir(parents=True)
    for number, name in enumerate(names):
        colours = np.random.default_rng(number).integers(0, 255, (24, 20, 3)).astype(np.uint8)
        Image.fromarray(colours).save(source / "photos" / f"{name}.jpg")
        if name != names[-1]:
            Image.fromarray(np.pad(np.full((8, 9), 255, np.uint8), ((5, 11), (6, 5)))).save(
                source / "masks" / f"{name}.png"
            )
    return source


def brats(source: Path, patients: int = 4) -> Path:
    """Write a folder a patient with four sequences, and a label of 0, 1, 2, 4 for all but the last."""
    for number in range(1, patients + 1):
        name = f"BraTS_{number:03d}"
        for sequence in ("flair", "t1", "t1ce", "t2"):
            scan(source / name / f"{name}_{sequence}.nii.gz", number)
        if number < patients:
            label(source / name / f"{name}_seg.nii.gz", (1, 2, 4))
    return source


def decathlon(source: Path) -> Path:
    """Write a task of two channels in one file: two training cases, a test case."""
    for name in ("BRATS_001", "BRATS_002"):
        scan(source / "imagesTr" / f"{name}.nii.gz", shape=(*SHAPE, 2))
        scan(source / "imagesTr" / f"._{name}.nii.gz")
        label(source / "labelsTr" / f"{name}.nii.gz", (1, 2))
    scan(source / "imagesTs" / "BRATS_900.nii.gz", shape=(*SHAPE, 2))
    names = ("BRATS_001", "BRATS_002")
    training = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    stated = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "edema", "2": "tumour"},
        "training": training,
        "test": ["./imagesTs/BRATS_900.nii.gz"],
    }
    (source / "dataset.json").write_text(json.dumps(stated))
    return source


def nnunet(source: Path, labels: dict[str, object], values: Sequence[int] = (1, 2)) -> Path:
    """Write four training cases, the last without label, a test case, and two folds."""
    for name in ("p1", "p2", "p3", "p4"):
        scan(source / "imagesTr" / f"{name}_0000.nii.gz")
        if name != "p4":
            label(source / "labelsTr" / f"{name}.nii.gz", values)
    scan(source / "imagesTs" / "p5_0000.nii.gz")
    label(source / "labelsTs" / "p5.nii.gz", values)
    (source / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))
    folds = [{"train": ["p2", "p3"], "val": ["p1"]}, {"train": ["p1", "p3"], "val": ["p2"]}]
    (source / "splits_final.json").write_text(json.dumps(folds))
    return source

"""The files of ISIC-2018 Task 1, as the challenge gives them out: which image has which mask, and whether they fit.

    SRC/ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg ATTRIBUTION.txt LICENSE.txt ..., and _Validation_, _Test_
    SRC/ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png ..., likewise

Masks hold 0 and 255. Some downloads have a picture of superpixels beside each image, which is not used.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Split
from crossmatch.errors import UserError
from crossmatch.importers.wishes import SourceCase

FOLDERS: dict[Split, str] = {"train": "Training", "val": "Validation", "test": "Test"}
TEXTS = ("ATTRIBUTION.txt", "LICENSE.txt")
LESION = 255  # in a mask
_IMAGE = re.compile(r"(ISIC_\d{7})\.jpg")
_MASK = re.compile(r"(ISIC_\d{7})_segmentation\.png")
_PASSED_OVER = re.compile(r"ISIC_\d{7}_superpixels\.png|ATTRIBUTION\.txt|LICENSE\.txt|\..*|Thumbs\.db|desktop\.ini")


@dataclass(frozen=True)
class FoundImages:
    """What the folders hold."""

    cases: dict[str, SourceCase]  # by id; `split` is that of the folder
    texts: tuple[Path, ...]  # attribution and licence
    others: tuple[Path, ...]  # files of other names
    problems: tuple[str, ...]


def find_images(source: Path) -> FoundImages:
    """List images and masks of all folders that are there; no file is opened."""
    cases: dict[str, SourceCase] = {}
    texts: list[Path] = []
    others: list[Path] = []
    problems: list[str] = []
    for split, word in FOLDERS.items():
        inputs, truths = source / f"ISIC2018_Task1-2_{word}_Input", source / f"ISIC2018_Task1_{word}_GroundTruth"
        images, masks = (_files(folder, name, others) for folder, name in ((inputs, _IMAGE), (truths, _MASK)))
        texts += [folder / text for folder in (inputs, truths) for text in TEXTS if (folder / text).is_file()]
        if truths.is_dir() or split == "train":
            problems += [
                f"{inputs / f'{name}.jpg'} has no mask {truths / f'{name}_segmentation.png'}"
                for name in images
                if name not in masks
            ]
        problems += [
            f"{path} has no image {inputs / f'{name}.jpg'}" for name, path in masks.items() if name not in images
        ]
        for name, image in images.items():
            if name in cases:
                problems.append(f"{name} lies in two folders, {cases[name].images[0].parent} and {inputs}")
            cases[name] = SourceCase(name, (image,), masks.get(name), split)
    return FoundImages(cases, tuple(texts), tuple(others), tuple(problems))


def _files(folder: Path, wanted: re.Pattern[str], others: list[Path]) -> dict[str, Path]:
    """Id -> file, of a folder that may be missing; files of other names go to `others`."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = wanted.fullmatch(path.name)
        if match:
            found[match[1]] = path
        elif not _PASSED_OVER.fullmatch(path.name):
            others.append(path)
    return found


def write_image(folder: Path, case: SourceCase, *, test: bool, link: bool) -> str | None:
    """Copy or link the image of a case as it is, and write its mask with 0 and 1.

    Returns:
        A remark where the mask shows nothing, or nothing but lesion.

    Raises:
        UserError: a file that cannot be read, a mask of another size than its image or with other values than 0 and
            255, an image that a camera's note (EXIF) may turn otherwise than its mask.
    """
    part, (image,) = "Ts" if test else "Tr", case.images
    target = folder / f"images{part}" / f"{case.name}_0000{formats.ending(image)}"
    grid = formats.read_grid(image)
    remark = None if case.label is None else _write_mask(folder / f"labels{part}", case, grid)
    target.parent.mkdir(exist_ok=True)
    if link:
        target.symlink_to(image.resolve())
    else:
        shutil.copyfile(image, target)
    return remark


def _write_mask(folder: Path, case: SourceCase, grid: formats.Grid) -> str | None:
    (image,), path = case.images, case.label
    assert path is not None
    mask = formats.read_label(path)
    formats.refuse_other_turn(path, image)
    if mask.shape != grid.shape:
        raise UserError(f"{path} has {_by(mask.shape)} pixels, its image {_by(grid.shape)}")
    values = np.unique(mask.voxels).tolist()
    if odd := [value for value in values if value not in (0, LESION)]:
        raise UserError(f"{path} holds {odd[0]:g}, a mask of ISIC holds 0 and {LESION} alone")
    formats.write(folder / f"{case.name}.png", (mask.voxels == LESION).astype(np.uint8), like=mask)
    if len(values) > 1:
        return None
    return f"{path} is of one colour: {'all of it is lesion' if values == [LESION] else 'it shows no lesion'}"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

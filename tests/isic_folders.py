"""Tiny pictures of ISIC-2018 Task 1 for tests, in the challenge's own folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from crossmatch.importers.isic_lists import standard_lists

SHAPE = (14, 18)  # rows, columns
VALIDATION, TEST = ("ISIC_0012255", "ISIC_0012346"), ("ISIC_0012169", "ISIC_0012236")


def inputs(source: Path, word: str = "Training") -> Path:
    return source / f"ISIC2018_Task1-2_{word}_Input"


def truths(source: Path, word: str = "Training") -> Path:
    return source / f"ISIC2018_Task1_{word}_GroundTruth"


def write_pair(source: Path, word: str, name: str, shape: tuple[int, int] = SHAPE) -> None:
    """A reddish picture of random pixels with a darker box, and the box as mask; both follow from the name."""
    rng = np.random.default_rng(int(name[-7:]))
    mask = np.zeros(shape, np.uint8)
    rows, columns = (np.sort(rng.choice(n, 2, replace=False)) for n in shape)
    mask[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 255
    mask[0, 0] = 0
    pixels = np.array([200, 140, 120]) - 60 * (mask[..., None] > 0) + rng.integers(-20, 20, (*shape, 3))
    for folder in (inputs(source, word), truths(source, word)):
        folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(inputs(source, word) / f"{name}.jpg", quality=90)
    Image.fromarray(mask).save(truths(source, word) / f"{name}_segmentation.png")


def training_names(count: int) -> list[str]:
    """The first images that become labelled."""
    return standard_lists()["train_519_label"][:count]


def write_isic(
    source: Path,
    training: int | Sequence[str] = 4,
    validation: Sequence[str] = VALIDATION,
    test: Sequence[str] = TEST,
    shape: tuple[int, int] = SHAPE,
) -> Path:
    """The folders with their texts, and a picture of superpixels beside the first image."""
    chosen = training_names(training) if isinstance(training, int) else training
    for word, names in (("Training", chosen), ("Validation", validation), ("Test", test)):
        for name in names:
            write_pair(source, word, name, shape)
        for folder in (inputs(source, word), truths(source, word)) if names else ():
            (folder / "ATTRIBUTION.txt").write_text("who made these pictures")
            (folder / "LICENSE.txt").write_text("CC")
    Image.new("RGB", shape[::-1]).save(inputs(source) / f"{chosen[0]}_superpixels.png")
    return source

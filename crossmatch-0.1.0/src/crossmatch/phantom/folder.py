"""Write the dataset of a phantom, of any kind whose cases can be drawn.

Shapes: image and label of a volume are (x, y, z) in the file's axis order; a picture is (3, x, y), its label (x, y).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crossmatch import formats
from crossmatch.dataset.writing import write_case, write_description
from crossmatch.formats import new_volume

Write = Callable[[np.random.Generator, Path, str, bool], None]
"""Draws a case with a stream of random numbers and writes it: folder of the dataset, name, whether for testing."""
Volumes = Callable[[np.random.Generator], tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.float64]]]
"""-> image, label, and the affine (4, 4) from voxels to mm."""
Pictures = Callable[[np.random.Generator], tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], int]]
"""-> image, label, and the quality (0 to 100) of its JPEG."""


class PhantomKind(NamedTuple):
    """A kind of phantom: how a case is drawn and written, and what its dataset.json and lists say."""

    write: Write
    labels: dict[str, int]
    name: str
    description: str
    label_counts: tuple[int, ...]  # sizes of the nested labelled subsets
    counts: tuple[int, int, int] = (24, 4, 10)  # cases for training, validation and test, where none are asked for
    stated: Mapping[str, Any] = {"channel_names": {"0": "MRI"}, "slice_axis": 2}  # further entries of dataset.json
    ending: str = formats.DEFAULT_ENDING  # of images


def volumes(draw: Volumes) -> Write:
    """Write what `draw` draws as a volume in the default format."""

    def write(rng: np.random.Generator, root: Path, name: str, test: bool) -> None:
        image, label, affine = draw(rng)
        write_case(root, name, new_volume(image, affine), label, test=test)

    return write


def pictures(draw: Pictures) -> Write:
    """Write what `draw` draws as a JPEG in colours with a PNG mask, as it is usual for photographs."""

    def write(rng: np.random.Generator, root: Path, name: str, test: bool) -> None:
        image, label, quality = draw(rng)
        part = "Ts" if test else "Tr"
        path = root / f"images{part}" / f"{name}_0000{formats.PHOTO_ENDING}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(formats.picture_bytes(image.T, quality))
        formats.write(root / f"labels{part}" / f"{name}{formats.PICTURE_ENDING}", label, like=new_volume(label))

    return write


def write_dataset(root: Path, kind: PhantomKind, counts: dict[str, int], seed: int) -> None:
    """Write the cases, lists and dataset.json of a phantom into an empty folder.

    The random stream of a case comes from (seed, split, index).

    Args:
        root: the folder.
        kind: what is drawn. Labelled subsets larger than the training split are left out.
        counts: cases of the splits train, val and test, in this order.
        seed: of all cases.
    """
    names: dict[str, list[str]] = {}
    for split_index, (split, count) in enumerate(counts.items()):
        names[split] = [f"{split}{index:03d}" for index in range(count)]
        for index, name in enumerate(names[split]):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split_index, index)))
            kind.write(rng, root, name, split == "test")
    lists = names | {f"train_{n}_label": names["train"][:n] for n in kind.label_counts if n <= counts["train"]}
    stated = {
        "name": kind.name,
        "description": f"{kind.description}, seed {seed}",
        "labels": kind.labels,
        **kind.stated,
    }
    write_description(root, lists, stated, kind.ending)

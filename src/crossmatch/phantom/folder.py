"""Write the dataset of a phantom, of any kind whose cases can be drawn.

Shapes: image and label are (x, y, z) in the file's axis order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossmatch.dataset.writing import write_case, write_description
from crossmatch.formats import new_volume

Draw = Callable[
    [np.random.Generator], tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.float64]]
]  # -> image, label, and the affine (4, 4) from voxels to mm


class PhantomKind(NamedTuple):
    """A kind of phantom: how one case is drawn, and what its dataset.json and lists say."""

    draw: Draw
    labels: dict[str, int]
    name: str
    description: str
    label_counts: tuple[int, ...]  # sizes of the nested labelled subsets


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
            image, label, affine = kind.draw(rng)
            write_case(root, name, new_volume(image, affine), label, test=split == "test")
    lists = names | {f"train_{n}_label": names["train"][:n] for n in kind.label_counts if n <= counts["train"]}
    stated = {
        "name": kind.name,
        "description": f"{kind.description}, seed {seed}",
        "channel_names": {"0": "MRI"},
        "labels": kind.labels,
        "slice_axis": 2,
    }
    write_description(root, lists, stated)

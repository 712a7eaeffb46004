"""A phantom as a dataset on disk: what every kind of phantom has in common once a case can be drawn.

Shapes: image and label are (x, y, z) in the file's axis order.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt

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
    """Write the cases, lists and dataset.json of a phantom into the existing empty folder `root`.

    `counts` gives the cases of the splits train, val and test, in this order. The random stream of a case comes from
    (seed, split, index). Labelled subsets larger than the training split are left out.
    """
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs", "splits"):
        (root / name).mkdir()
    names: dict[str, list[str]] = {}
    for split_index, (split, count) in enumerate(counts.items()):
        names[split] = [f"{split}{index:03d}" for index in range(count)]
        part = "Ts" if split == "test" else "Tr"
        for index, name in enumerate(names[split]):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split_index, index)))
            image, label, affine = kind.draw(rng)
            write_nifti(root / f"images{part}" / f"{name}_0000.nii.gz", image, affine)
            write_nifti(root / f"labels{part}" / f"{name}.nii.gz", label, affine)
    lists = names | {f"train_{n}_label": names["train"][:n] for n in kind.label_counts if n <= counts["train"]}
    for list_name, cases in lists.items():
        (root / "splits" / f"{list_name}.txt").write_text("".join(f"{case}\n" for case in cases), encoding="utf-8")
    description = {
        "name": kind.name,
        "description": f"{kind.description}, seed {seed}",
        "channel_names": {"0": "MRI"},
        "labels": kind.labels,
        "numTraining": counts["train"] + counts["val"],
        "numTest": counts["test"],
        "file_ending": ".nii.gz",
        "slice_axis": 2,
    }
    (root / "dataset.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def write_nifti(
    path: Path, array: npt.NDArray[np.int16] | npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]
) -> None:
    """Write an integer volume (x, y, z) with its affine in mm, scanner coordinates."""
    kind: Any = nib.Nifti1Image  # nibabel is untyped
    file = kind(array, affine)
    file.header.set_xyzt_units("mm")
    file.set_sform(affine, code="scanner")
    file.set_qform(affine, code="scanner")
    nib.save(file, path)

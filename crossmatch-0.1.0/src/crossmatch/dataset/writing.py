"""Writing a dataset in the layout of `layout.TREE`, for importers and phantoms.

Shapes: image and label are (x, y) or (x, y, z), on one grid.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmatch import formats
from crossmatch.atomic import write_json
from crossmatch.formats import DEFAULT_ENDING, Array, Volume


def write_case(root: Path, name: str, image: Volume, label: Array, *, test: bool) -> None:
    """Write the one channel and the label of a case."""
    part = "Ts" if test else "Tr"
    formats.write(root / f"images{part}" / f"{name}_0000{DEFAULT_ENDING}", image.voxels, like=image)
    formats.write(root / f"labels{part}" / f"{name}{DEFAULT_ENDING}", label, like=image)


def write_description(
    root: Path, lists: Mapping[str, Sequence[str]], stated: Mapping[str, Any], ending: str = DEFAULT_ENDING
) -> None:
    """Write dataset.json and the lists in splits/.

    Args:
        root: the folder of the dataset.
        lists: name of a list -> its cases; ``train``, ``val`` and ``test`` are counted. Empty lists are left out.
        stated: content of dataset.json, but for the counts and the ending of files.
        ending: of images.
    """
    (root / "splits").mkdir(exist_ok=True)
    for name, cases in lists.items():
        if cases:
            (root / "splits" / f"{name}.txt").write_text("".join(f"{case}\n" for case in cases), encoding="utf-8")
    counts = {
        "numTraining": len(lists["train"]) + len(lists.get("val", [])),
        "numTest": len(lists.get("test", [])),
        "file_ending": ending,
    }
    write_json(root / "dataset.json", {**stated, **counts})

"""A task of the Medical Segmentation Decathlon: dataset.json lists the files; channels lie along a fourth axis.

Task02_Heart/dataset.json     "training": [{"image": "./imagesTr/la_003.nii.gz", "label": "./labelsTr/..."}]
"""

from pathlib import Path

from crossmatch import formats
from crossmatch.dataset.dataset import Split
from crossmatch.errors import UserError
from crossmatch.importers.described import Stated, channels_of, labels_of
from crossmatch.importers.wishes import Source, SourceCase


def is_msd(source: Path, stated: Stated) -> bool:
    """Whether a dataset.json lists its files, as they are. Of older nnU-Net folders it lists names without _0000."""
    listed = stated.get("training")
    if not isinstance(listed, list) or not listed:
        return False
    first = listed[0].get("image") if isinstance(listed[0], dict) else None
    return isinstance(first, str) and (source / first).is_file()


def find_msd(source: Path, stated: Stated) -> Source:
    """The cases of a task.

    Raises:
        UserError: lists of another form, channels or labels that are not said.
    """
    path = source / "dataset.json"
    channels = channels_of(path, stated)
    found = Source([], channels, labels_of(path, stated), stacked=len(channels) > 1)
    for entry in stated["training"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
            raise UserError(f'{path} has the training case {entry!r}: write {{"image": ..., "label": ...}}.')
        label = entry.get("label")
        _add(found, source, entry["image"], label if isinstance(label, str) else None)
    for entry in stated.get("test", []):
        _add(found, source, entry["image"] if isinstance(entry, dict) else str(entry), None)
    return found


def _add(found: Source, source: Path, image: str, label: str | None) -> None:
    """Add a case, or name what is missing."""
    name = formats.stem(image)
    if name is None:
        found.left_out[image] = "is no scan by its name"
        return
    split: Split = "test" if "imagesTs" in Path(image).parts else "train"
    missing = [file for file in (image, label) if file and not (source / file).is_file()]
    if missing:
        found.left_out[name] = f"lacks {missing[0]}, which dataset.json lists"
    elif any(case.name == name for case in found.cases):
        found.left_out[f"{name} (again)"] = "stands in dataset.json twice; the first is taken"
    else:
        found.cases.append(SourceCase(name, (source / image,), source / label if label else None, split))

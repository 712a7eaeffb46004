"""A task of the Medical Segmentation Decathlon: dataset.json lists the files; channels lie along a fourth axis.

Task02_Heart/dataset.json     "training": [{"image": "./imagesTr/la_003.nii.gz", "label": "./labelsTr/..."}]
"""

from pathlib import Path

from crossmatch import formats
from crossmatch.dataset.dataset import Split
from crossmatch.errors import UserError
from crossmatch.importers.described import Stated, channels_of, labels_of
from crossmatch.importers.patterns import unused_below
from crossmatch.importers.wishes import Source, SourceCase

_SPLITS: dict[str, Split] = {"training": "train", "validation": "val", "test": "test"}  # by the lists of dataset.json


def is_msd(source: Path, stated: Stated) -> bool:
    """Whether a dataset.json lists its files, as they are. Of older nnU-Net folders it lists names without _0000."""
    listed = stated.get("training")
    if not isinstance(listed, list) or not listed:
        return False
    first = listed[0].get("image") if isinstance(listed[0], dict) else None
    return isinstance(first, str) and (source / first).is_file()


def find_msd(source: Path, stated: Stated) -> Source:
    """The cases of a task; the list that names a case says its split.

    Raises:
        UserError: lists of another form, channels or labels that are not said.
    """
    path = source / "dataset.json"
    channels = channels_of(path, stated)
    found = Source([], channels, labels_of(path, stated), stacked=len(channels) > 1)
    named = {path}
    for key, split in _SPLITS.items():
        entries = stated.get(key) or []
        if not isinstance(entries, list):
            raise UserError(f"{path} has no list under {key}: write a list of cases, or leave it out.")
        for entry in entries:
            given = {"image": entry} if split == "test" and isinstance(entry, str) else entry
            image, label = (given.get("image"), given.get("label")) if isinstance(given, dict) else (None, None)
            if not isinstance(image, str) or not isinstance(label, str | None):
                raise UserError(f'{path} has the {key} case {entry!r}: write {{"image": ..., "label": ...}}.')
            _add(found, source, image, label, split)
            named |= {source / file for file in (image, label) if file}
    found.remarks += unused_below(source, named, "as no list in dataset.json names them")
    return found


def _add(found: Source, source: Path, image: str, label: str | None, split: Split) -> None:
    """Add a case, or name what is missing."""
    name = formats.stem(image)
    if name is None:
        found.left_out[image] = "is no scan by its name"
        return
    missing = [file for file in (image, label) if file and not (source / file).is_file()]
    if missing:
        found.left_out[name] = f"lacks {missing[0]}, which dataset.json lists"
    elif any(case.name == name for case in found.cases):
        found.left_out[f"{name} (again)"] = "stands in dataset.json twice; the first is taken"
    elif split == "val" and not label:
        found.left_out[name] = "is a validation case without a label: add it, or list the case under training"
    else:
        found.cases.append(SourceCase(name, (source / image,), source / label if label else None, split))

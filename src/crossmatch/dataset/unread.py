"""Files in a dataset's folder that are not read. They are named, so that nobody believes that they are used."""

import difflib
import json
import re
from pathlib import Path

from crossmatch.errors import listed

FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs", "splits")
_LOOKS_LIKE_OURS = ("images", "image", "labels", "label", "split", "splits", "masks")  # how such folders' names begin
_LISTS = "train.txt, val.txt, test.txt and train_N_label.txt"
_READ = re.compile(r"(train|val|test|train_.+_label)\.txt")
_MISSPELT = re.compile(r"train_.*_labell?(ed)?(\..*)?", re.IGNORECASE)
_OF_NNUNET = "splits_final.json"
_KEYS = (  # that are read
    *("channel_names", "modality", "labels", "file_ending", "name", "slice_axis", "patient_regex"),
    *("patient_of", "jaccard_threshold"),
)
# What nnU-Net and the Medical Segmentation Decathlon write beside these, of no meaning for a training.
_OF_OTHERS = {
    *("description", "reference", "licence", "license", "release", "tensorImageSize", "numTraining", "numTest"),
    *("training", "test", "validation", "numValidation", "overwrite_image_reader_writer", "dataset_name", "citation"),
    *("converted_by", "version", "url", "author", "authors", "relase", "hierarchy"),
}


def unread_lists(root: Path) -> list[str]:
    """Problems: files in splits/ that look like a list under another name, whose cases would lie in another split."""
    names = _unread_in_splits(root)
    absent = [split for split in ("train", "val", "test") if not (root / "splits" / f"{split}.txt").is_file()]
    meant = [name for name in names if _MISSPELT.fullmatch(name) or name.lower().startswith(tuple(absent))]
    meant += [name for name in names if name == _OF_NNUNET and "val" in absent]
    if not meant:
        return []
    way_out = f"lists are {_LISTS}, one case a line; rename what is meant, and move the rest"
    if _OF_NNUNET in meant:
        way_out += f" (of nnU-Net's {_OF_NNUNET} write the cases of one fold into train.txt and val.txt)"
    return [f"{root / 'splits'} has files that are not read ({listed(meant)}): {way_out}"]


def unread(root: Path) -> list[str]:
    """Warnings: folders that look like those of the layout, and keys of dataset.json that nothing knows."""
    found = []
    if lists := _unread_in_splits(root):
        found.append(f"files in splits/ that are not read: {listed(lists)}; lists are {_LISTS}")
    found += unread_folders(root)
    stated = json.loads((root / "dataset.json").read_text(encoding="utf-8-sig"))
    odd = [_with_the_nearest(key) for key in stated if key not in _KEYS and key not in _OF_OTHERS]
    if odd:
        found.append(f"keys of dataset.json that nothing reads: {listed(odd)}; known are {', '.join(_KEYS)}")
    return found


def unread_folders(root: Path) -> list[str]:
    """A remark on folders under names like those of the layout, misspelt ones too; nothing where there are none."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name not in FOLDERS)
    ours = [folder.lower() for folder in FOLDERS]
    alike = [
        name
        for name in folders
        if name.lower().startswith(_LOOKS_LIKE_OURS) or difflib.get_close_matches(name.lower(), ours, cutoff=0.8)
    ]
    if not alike:
        return []
    return [
        f"folders that are not read: {listed(alike)}; images lie in {FOLDERS[0]} and {FOLDERS[2]}, labels in "
        f"{FOLDERS[1]} and {FOLDERS[3]}, and an image without a label is unlabelled"
    ]


def _unread_in_splits(root: Path) -> list[str]:
    folder = root / "splits"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".") and not _READ.fullmatch(name)]


def _with_the_nearest(key: str) -> str:
    near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.75)
    return f"{key} (is {near[0]} meant?)" if near else key

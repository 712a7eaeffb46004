"""Files and folders of a dataset under a name that is nearly right: what its owner probably meant."""

import difflib
import re
from collections.abc import Collection
from pathlib import Path

from crossmatch.formats import ending, stem

FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
_OTHER_WORDS = {
    **dict.fromkeys(("images", "image", "img", "imgs", "scans", "imagesun", "imageun", "imagestrain"), "imagesTr"),
    **dict.fromkeys(("labels", "label", "masks", "mask", "segmentations", "labelstrain"), "labelsTr"),
    **dict.fromkeys(("imagestest", "imagetest"), "imagesTs"),
    **dict.fromkeys(("labelstest", "labeltest"), "labelsTs"),
}  # in lower case -> the folder that is read


def likely_folders(root: Path) -> list[str]:
    """A remark for each folder that is not read, and has nearly the name of one that is: labels_tr, imagesUn."""
    remarks = []
    for folder in sorted(root.iterdir()):
        meant = _meant(folder.name)
        if meant is None or not folder.is_dir():
            continue
        right = root / meant
        if not right.exists():
            remarks.append(f"the folder {folder.name} is not read: rename it to {meant}")
        elif not right.samefile(folder):  # disks that know no upper and lower case have one folder under both names
            remarks.append(f"the folder {folder.name} is not read: move its files to {meant} if they are to be used")
    return remarks


def _meant(name: str) -> str | None:
    """The folder that is read, of which a name is a misspelling; None where it is right, or something else."""
    if name in FOLDERS:
        return None
    plain = re.sub(r"[^a-z]", "", name.lower())
    if plain in _OTHER_WORDS:
        return _OTHER_WORDS[plain]
    near = difflib.get_close_matches(plain, [folder.lower() for folder in FOLDERS], 1, cutoff=0.85)
    return next((folder for folder in FOLDERS if folder.lower() in near), None)


def label_without_image(path: Path, name: str, images: str, known: Collection[str]) -> str:
    """The problem of a label whose name is that of no image.

    Args:
        path: the label; name: its file name without ending.
        images: the folder that its image should lie in; known: the cases there.
    """
    case = re.sub(r"_\d{4}$", "", name)
    if case != name and case in known:
        return f"{path}: labels have no {name.removeprefix(case)}: rename it to {case}{ending(path)}"
    return f"{path} is a label without an image {images}/{name}_0000{ending(path)}"


def unknown_case(path: Path, name: str, known: Collection[str], why: str) -> str:
    """The problem of a name in a text list that is no case.

    Args:
        path: the list; name: the line; known: the cases that it may name.
        why: what is wrong, where no file name of a case was written instead of the case.
    """
    plain = stem(name) or name
    cases = [case for case in (plain, re.sub(r"_\d{4}$", "", plain)) if case in known]
    return f"{path} names {name}: write {cases[0]}" if cases else f"{path} names {name}, {why}"

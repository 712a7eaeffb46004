"""What the words of a path say: image or label, training or test, which channel, which case.

masks/anna_mask.png           label of case anna
test/bert/bert_flair.nii.gz   image of test case bert, channel flair
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from crossmatch.dataset.dataset import Split

_LABEL = {
    *("label", "labels", "mask", "masks", "seg", "segs", "segmentation", "segmentations", "gt", "groundtruth"),
    *("truth", "annotation", "annotations", "labelstr", "labelsts"),
}
_IMAGE = {
    *("image", "images", "img", "imgs", "scan", "scans", "volume", "volumes", "vol", "data", "input", "inputs"),
    *("orig", "original", "imagestr", "imagests"),
}
_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "imagestr", "labelstr"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing", "imagests", "labelsts"), "test"),
}
_OPENING, _CLOSING, _JOINING = tuple("([{"), tuple(")]}"), " _.-,;:+~=&#"
_FILLERS = {"ground"}  # of "ground truth"
_CONTENTS = {  # further words of folders that tell no patient
    *("labelled", "unlabelled", "labeled", "unlabeled", "annotated", "patients", "subjects", "cases", "series"),
    *("all", "raw", "new", "dicom", "dcm", "nifti", "nii", "nrrd", "png", "jpg", "jpeg", "tif", "tiff"),
}
_GROUPS = {  # also with a number or a letter
    *("set", "dataset", "part", "fold", "batch", "split", "group", "cohort"),
    *("site", "clinic", "hospital", "centre", "center"),
}
SEQUENCES = (  # names of channels that are known without being told, in the order they get
    *("t1", "t1w", "t1n", "t1c", "t1ce", "t1gd", "t2", "t2w", "t2f", "flair", "pd", "dwi", "adc"),
    *("ct", "pet", "mr", "mri"),
)


class Role(NamedTuple):
    """What a path says of its file."""

    label: bool
    split: Split
    channel: str | None
    parts: tuple[str, ...]  # of the name of the case: folders and file
    key: tuple[str, ...]  # equal for the files of one case
    folders: tuple[str, ...]  # that say more than what lies in them, outermost first


def role_of(folders: Sequence[str], stem: str, channels: Collection[str]) -> Role:
    """What a path says.

    Args:
        folders: below the source, outermost first.
        stem: the name of the file without ending.
        channels: names of channels to look for, in lower case; of folders, or words at either end of the stem.
    """
    words = [*(_words(folder) for folder in folders), _words(stem)]
    said = [word for part in words for word in part]
    splits = [_SPLITS[word] for part in words[:-1] for word in part if word in _SPLITS]
    places = [folder for folder in folders if not _only_says(folder) and folder.lower() not in channels]
    channel = next((folder.lower() for folder in folders if folder.lower() in channels), None)
    channel = _channel(stem, channels) or channel
    short = _without(stem, lambda word, first, last: word in channels and (first or last)) if channel else stem
    short = _without(short, lambda word, first, last: word in _LABEL or word in _FILLERS or (last and word in _IMAGE))
    bare = _without(short, lambda word, first, last: (first or last) and word in _IMAGE)
    bare = _without(bare, lambda word, first, last: last and word in SEQUENCES)
    return Role(
        label=any(word in _LABEL for word in said),
        split=splits[-1] if splits else "train",
        channel=channel,
        parts=tuple(_collapsed([*places, short])),
        key=tuple(_collapsed([*places, bare])),
        folders=tuple(places),
    )


def says_no_patient(folder: str) -> bool:
    """Whether a folder's name is made of words for what lies in it, as of labelled, set_2 or site B."""
    words = _words(folder)
    groups = [word.rstrip("0123456789") in _GROUPS or word in _SPLITS for word in words]
    beside = [word.isdigit() or len(word) == 1 for word in words]  # of set_2
    plain = [word in _LABEL | _IMAGE | _FILLERS | _CONTENTS or word in SEQUENCES for word in words]
    return all(plain[n] or groups[n] or (any(groups) and beside[n]) for n in range(len(words)))


def _channel(stem: str, channels: Collection[str]) -> str | None:
    """The channel that the first or last word of a stem names; words of a channel may be joined by - or _."""
    lower = stem.lower()
    found = [
        channel
        for channel in channels
        if lower == channel or re.search(rf"(^{re.escape(channel)}[\W_])|([\W_]{re.escape(channel)}$)", lower)
    ]
    return max(found, key=len, default=None)


def _pieces(text: str) -> list[str]:
    """Words and what stands between them; a word such as label0001 is two."""
    found: list[str] = []
    for piece in re.findall(r"[^\W_]+|[\W_]+", text):
        match = re.fullmatch(r"([^\W\d_]+)(\d+)", piece)
        found += [match[1], match[2]] if match and match[1].lower() in _LABEL | _IMAGE else [piece]
    return found


def _words(text: str) -> list[str]:
    return [piece.lower() for piece in _pieces(text) if piece[0].isalnum()]


def _only_says(folder: str) -> bool:
    """Whether a folder's name says what lies in it, and nothing about the case."""
    return all(word in _LABEL | _IMAGE | _FILLERS or word in _SPLITS for word in _words(folder))


def _without(text: str, unwanted: Callable[[str, bool, bool], bool]) -> str:
    """A text without some of its words; they are called with (word, is first, is last)."""
    pieces = _pieces(text)
    places = [n for n, piece in enumerate(pieces) if piece[0].isalnum()]
    dropped = {n for n in places if unwanted(pieces[n].lower(), n == places[0], n == places[-1])}
    if not dropped:
        return text
    kept = list(pieces)
    for n in sorted(dropped):
        kept[n] = ""
        if n - 1 in places or n == 0:
            continue
        if n + 1 < len(kept) and kept[n - 1].endswith(_OPENING) and kept[n + 1].startswith(_CLOSING):  # of (mask)
            kept[n - 1], kept[n + 1] = kept[n - 1][:-1], kept[n + 1][1:]
        kept[n - 1] = kept[n - 1].rstrip(_JOINING)  # the bracket of "Zoe (1)_mask" is of the name
    return "".join(kept).strip(" _.-")


def _collapsed(parts: Sequence[str]) -> list[str]:
    """Parts of a name, without empty ones and those that the next one repeats: BraTS_001/BraTS_001_a."""
    kept: list[str] = []
    for part in parts:
        if not part:
            continue
        if kept and re.match(re.escape(kept[-1]) + r"(?![^\W_])", part):
            kept.pop()
        kept.append(part)
    return kept

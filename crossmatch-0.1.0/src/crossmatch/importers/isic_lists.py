"""Which images of ISIC-2018 Task 1 are trained on, and which count as labelled, under two named protocols.

No common semi-supervised split exists in the literature, and that of the CrossMatch paper is not known to us.

- ``isic_official``: the challenge's own folders. The 26, 130, 259 and 519 labelled images (1, 5, 10 and 20 %) are ours:
  the ids of the training images, sorted by the SHA-256 of "2018 ISIC_0000000", and the first of these. So the lists are
  nested, and anybody can draw them again. They lie in `splits/isic`, with their SHA-256.
- ``isic_dtpc``: the lists of DTPC ("Semi-Supervised Segmentation of Medical Image via Dynamic Thresholding and
  Prototype Contrastive Learning", github.com/eeaesa/DTPC, commit 0798cae, splits/ISIC2018): 2,075 training images, of
  which 129, 259 or 518 are labelled, drawn anew for each number, and 519 others. The user brings the files.
"""

import hashlib
import re
from collections.abc import Iterable
from importlib.resources import files as package_files
from pathlib import Path

from crossmatch.errors import UserError, offered

SEED = 2018
LABELLED_IMAGES = (26, 130, 259, 519)
PROTOCOLS = ("isic_official", "isic_dtpc")

# file of the public lists -> (list of the dataset, SHA-256)
DTPC_FILES = {
    "train.txt": ("train", "e28fcfff51a9fa95938cefd43e9765dec1c1a7363cef2715473a55251f0b12d3"),
    "val.txt": ("test", "157c7e6d4abaf173c3de5fb350a9b60dc33e888c2e0cef4bd5de4850c4dab022"),
    "1_16/labeled.txt": ("train_129_label", "870f2f5020a235d90cf86b6369c45c56e7f7187df0bd2828040eab3524d4bfca"),
    "1_8/labeled.txt": ("train_259_label", "b72abf6115ec8182cbf3118ca7976e5af6e243893ce5ae70172d503f9ae8b880"),
    "1_4/labeled.txt": ("train_518_label", "5bfedf6c566076d1e0eb6025b17f62d59b576dbd49ff305081a43c01c46d64f8"),
}
DTPC_PLACE = "github.com/eeaesa/DTPC, folder splits/ISIC2018"
DTPC_REMARK = (
    "isic_dtpc: its 519 validation images are its test images. Who published with these lists chose the checkpoint on "
    "them and reported it on them. Here they are the test split, read once by evaluate, and there is no validation: "
    "report the last checkpoint"
)


def standard_lists() -> dict[str, list[str]]:
    """The ids of train, train_26_label, train_130_label, train_259_label and train_519_label of ``isic_official``."""
    folder = package_files("crossmatch.importers") / "splits" / "isic"
    names = ["train", *(f"train_{n}_label" for n in LABELLED_IMAGES)]
    return {name: (folder / f"{name}.txt").read_text(encoding="utf-8").split() for name in names}


def drawn(ids: Iterable[str]) -> list[str]:
    """Ids in the order in which they become labelled: by the SHA-256 of the seed and the id."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"{SEED} {name}".encode()).hexdigest())


def check_protocol(protocol: str, lists: Path | None) -> None:
    """Raise UserError unless there is such a protocol, and lists are given where it needs some."""
    if protocol not in PROTOCOLS:
        raise UserError(f"There is no protocol {protocol!r} of ISIC-2018: {offered(protocol, PROTOCOLS)}.")
    if protocol == "isic_dtpc" and lists is None:
        raise UserError(
            f"isic_dtpc needs its public lists: get {', '.join(DTPC_FILES)} from {DTPC_PLACE}, and name their folder "
            "with --lists."
        )
    if protocol != "isic_dtpc" and lists is not None:
        raise UserError(f"{protocol} has lists of its own: leave out --lists, or choose --protocol isic_dtpc.")


def dtpc_lists(folder: Path) -> dict[str, list[str]]:
    """The ids of train, test, train_129_label, train_259_label and train_518_label, from the public files.

    Raises:
        UserError: a file is missing, or its SHA-256 is another one.
    """
    lists: dict[str, list[str]] = {}
    for name, (split, wanted) in DTPC_FILES.items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / name} cannot be read ({error.strerror}): get it from {DTPC_PLACE}.") from None
        found = hashlib.sha256(content).hexdigest()
        if found != wanted:
            raise UserError(
                f"{folder / name} is not the public list: its SHA-256 begins with {found[:12]}, that of the list with "
                f"{wanted[:12]}. Get it again from {DTPC_PLACE}, as a file, so that its ends of lines stay as they are."
            )
        lists[split] = re.findall(r"^\S+/(ISIC_\d{7})\.jpg ", content.decode(), re.MULTILINE)
    return lists

"""Which files a prediction makes: their names and formats, and what must not be overwritten; before any is made."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from crossmatch import formats
from crossmatch.errors import UserError, listed
from crossmatch.inference.inputs import Scan
from crossmatch.inference.origin import ORIGIN
from crossmatch.inference.sources import Files


def files_to_make(target: Path, scans: Sequence[Scan], asked: str | None, maps: Sequence[str] = ()) -> list[Files]:
    """For each scan the file of its mask, then those of its maps.

    Args:
        target: the folder of the masks.
        maps: of ``probabilities`` and ``uncertainty`` those that are wanted; each has a folder of its name.
        asked: the ending of the masks without its dot; None: that of each scan, where masks can be written so.

    Raises:
        UserError: a format that cannot be written or cannot hold the masks, a folder that holds the scans themselves,
            masks of unknown origin, or a mask in another format.
    """
    folder = target.resolve()
    of_dataset = folder.name in ("imagesTr", "imagesTs") and (folder.parent / "dataset.json").is_file()
    if of_dataset or any(path.resolve().parent == folder for scan in scans for path in scan.channels):
        raise UserError(f"{target} holds the images themselves: name another folder for the masks.")
    folders = (target, *(target / name for name in maps))
    made = [tuple(_made(scan, target, asked, maps)) for scan in scans]
    names, wanted = {scan.name for scan in scans}, {path for files in made for path in files}
    there = [found for place in folders if place.is_dir() for found in formats.files_in(place) if found[0] in names]
    if there and not (target / ORIGIN).is_file():
        raise UserError(
            f"{target} has masks already ({listed(dict.fromkeys(name for name, _ in there))}), and no {ORIGIN} that "
            "says which scans they are of: choose another folder, or remove them; nothing was overwritten."
        )
    if others := [path for _, path in there if path not in wanted]:
        raise UserError(
            f"{target} has masks in another format than their scans ({listed(path.name for path in others)}): choose "
            "another folder, or remove them; nothing was overwritten."
        )
    return made


def _made(scan: Scan, target: Path, asked: str | None, maps: Sequence[str]) -> Iterator[Path]:
    """The file of a scan's mask, then those of its maps."""
    ending = formats.mask_ending(scan.channels[0], asked, scan.grid)
    yield target / f"{scan.name}{ending}"
    for name in maps:
        yield target / name / f"{scan.name}{formats.maps_ending(ending)}"

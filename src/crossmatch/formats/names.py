"""What the names of files say, before any is opened: which hold scans, of which case, which go together."""

import os
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.formats import dicom, dicom_seg, itk, nifti, nrrd, slicer
from crossmatch.formats.registry import BY_ENDING, DEFAULT_ENDING, FORMATS, claimed
from crossmatch.formats.volume import Grid

_JUNK = (".ds_store", "thumbs.db", "desktop.ini")  # what desktops leave in every folder; in lower case
_COPIES = "._"  # how the names begin of what macOS writes beside each file on foreign disks
_COMPANIONS: dict[str, Callable[[Path], list[str]]] = {
    **{ending: each.companions for each in (nifti, nrrd, itk) for ending in each.ENDINGS},
    **dict.fromkeys(slicer.ENDINGS, nrrd.companions),
}
_OURS = ".crossmatch-"  # how the names of hidden folders begin in which files are being written


def stem(path: str | os.PathLike[str]) -> str | None:
    """The name of a file without its ending; None where no format claims it.

    Accented letters come in one spelling, see `spelled`.
    """
    name = os.path.basename(path)
    found = claimed(name)
    return spelled(name[: -len(found)]) if found else None


def files_in(folder: Path, series: bool = False) -> list[tuple[str, Path]]:
    """(stem, path) of every visible file of a folder that a format claims, sorted by name.

    With `series` every folder in it counts too: a DICOM series, whose stem is its name. None is opened.
    """
    with os.scandir(folder) as entries:
        found = [(entry.name, series and entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    named = [(spelled(name) if is_series else stem(name), folder / name) for name, is_series in sorted(found)]
    return [(name, path) for name, path in named if name is not None]


def series_in(folder: Path) -> list[tuple[str, Path]]:
    """(name, path) of every folder with DICOM files: `folder` itself and all below it.

    Those below are named by the way to them, `study_series`. Files are opened until one is DICOM.
    """
    found = dicom.find_all_series(folder, other=lambda name: claimed(name) is not None)
    ways = [path.relative_to(folder).parts or (folder.resolve().name,) for path in found]
    return [(spelled("_".join(way)), path) for way, path in zip(ways, found, strict=True)]


def unclaimed_in(folder: Path, series: bool = False) -> list[Path]:
    """What lies in a folder and is no scan, sorted: hidden files and folders too, but not what desktops leave there.

    A file that holds the voxels of another (.img of .hdr) is claimed with it, and with `series` every visible folder.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not (series and entry.is_dir() and entry.name[0] != "."))
    left = [name for name in names if name.startswith(".") or claimed(name) is None]
    if not left:
        return []
    belonging = {other.name.lower() for name in names for other in _companions(folder / name)}
    return [
        folder / name
        for name in left
        if not name.startswith((_COPIES, _OURS)) and name.lower() not in belonging and name.lower() not in _JUNK
    ]


def not_slices(folder: Path) -> list[Path]:
    """What lies in the folder of a DICOM series and is no slice of it, sorted: tables, contours, reports.

    Each file is opened. What is hidden is left out, and so is what desktops leave there.
    """
    return [path for path in dicom.not_slices(folder) if path.name.lower() not in _JUNK]


def parts(path: Path) -> list[Path]:
    """The files that a scan is read from: the one that is named, and what holds its voxels.

    A header is read for the name of the file with its voxels. Of a DICOM series these are the folder's files.
    """
    if claimed(path.name) is None and path.is_dir():
        return sorted(each for each in path.iterdir() if each.is_file())
    return [path, *(other for other in _companions(path) if other.is_file())]


def stands_alone(path: Path) -> bool:
    """Whether one file holds the whole scan, so that it can be copied under another name."""
    return not _companions(path) and not path.is_dir()


def mask_ending(path: Path, asked: str | None, grid: Grid) -> str:
    """The ending of a mask of a scan.

    Args:
        path: the scan; its own ending is taken where its format can write masks.
        asked: an ending without its dot, to be taken instead.
        grid: of the scan.

    Raises:
        UserError: `asked` is no ending that is written, or a picture and the scan a volume.
    """
    if asked is not None:
        ending = dicom_seg.ENDINGS[0] if asked == "dicom-seg" else f".{asked.lower()}"
        if ending not in BY_ENDING or ending not in BY_ENDING[ending].WRITTEN:
            known = ", ".join(each[1:] for one in FORMATS for each in one.WRITTEN if one is not dicom_seg)
            raise UserError(f"Masks cannot be written as {asked}: choose one of {known}, dicom-seg.")
        if ending in dicom_seg.ENDINGS and (not path.is_dir() or len(grid.shape) == 2):
            raise UserError(f"{path} is no DICOM series, which a DICOM segmentation refers to: choose nii.gz or nrrd.")
        if not BY_ENDING[ending].PLACED and len(grid.shape) > 2:
            raise UserError(f"{path} is a volume, which {asked} cannot hold: choose nii.gz or nrrd.")
        return ending
    found = claimed(path.name)
    written = BY_ENDING[found].WRITTEN if found else ()
    if found in written:
        return str(found)
    return written[0] if written else DEFAULT_ENDING


def maps_ending(mask: str) -> str:
    """The ending of probabilities beside masks of an ending."""
    return mask if BY_ENDING[mask].MAPS else DEFAULT_ENDING


def holds_channels(path: Path) -> bool:
    """Whether a file may hold several channels, by its name."""
    found = claimed(path.name)
    return found is not None and BY_ENDING[found].CHANNELS


def _companions(path: Path) -> list[Path]:
    """The files beside it that the voxels of a file may lie in; none where it cannot be read, which its format tells.

    Readers refuse a file that names one of another folder.
    """
    ending = claimed(path.name) or ""
    if ending not in _COMPANIONS:
        return []
    with suppress(UserError, *BY_ENDING[ending].DAMAGED):
        names = _COMPANIONS[ending](path)
        return [path.with_name(name) for name in names if name == Path(name).name != path.name]
    return []


def spelled(name: str) -> str:
    """A name with its accented letters in one spelling (NFC): some file systems store them decomposed."""
    return unicodedata.normalize("NFC", name)

"""Folders of predicted masks: whose scans they are of, and how far each mask can be trusted."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crossmatch import formats
from crossmatch.atomic import read_json
from crossmatch.errors import UserError
from crossmatch.inference.estimates import CaseQuality
from crossmatch.inference.origin import MASKS, ORIGIN, RECORDED
from crossmatch.inference.quality_record import QualityRecord, read_quality
from crossmatch.review.made_elsewhere import made_elsewhere
from crossmatch.runs.run import Run
from crossmatch.scoring.recorded_files import SourceFile, digest_once, has_changed

UNLABELLED = "unlabelled"  # the folder in the run's into which this page lets masks be made
Key = tuple[str, str]  # the real folder of a file and its name


@dataclass(frozen=True)
class FoundMask:
    """A predicted mask and what is known of it."""

    path: Path
    folder: Path
    facts: dict[str, Any]  # of prediction.json: run, checkpoint, step, weights
    files: tuple[tuple[Path, SourceFile], ...]  # of the scan, each with its state when the mask was made
    written: SourceFile | None  # the mask as predict wrote it; earlier versions did not record it
    uncertainty: Path | None
    quality: CaseQuality | None
    outdated: str | None  # why an estimate of it holds no more

    def scan_has_changed(self) -> bool:
        """Whether a file of the scan that is still there is not as it was when the mask was made."""
        return any(path.is_file() and has_changed(path, state) for path, state in self.files)

    def moved_to(self, images: Sequence[Path]) -> "FoundMask | None":
        """The same mask of a scan that lies elsewhere; None where a file has not the digest that is recorded."""
        states = [state for _, state in self.files]
        try:
            parts = [part for path in images for part in formats.parts(path)]
            if [part.stat().st_size for part in parts] != [state["size"] for state in states]:
                return None
            if digests(images) != [state["sha256"] for state in states]:
                return None
        except OSError:
            return None
        return replace(self, files=tuple(zip(parts, states, strict=True)))

    def has_changed(self) -> bool:
        """Whether the mask is not as predict wrote it, if that is known."""
        return self.written is not None and self.path.is_file() and has_changed(self.path, self.written)


class MaskFolders:
    """The masks that a run made, by the scan that each was made from."""

    def __init__(self, run: Run, named: Iterable[Path]) -> None:
        self.notes: list[str] = []
        self._by_file: dict[Key, FoundMask] = {}
        self._by_name: dict[str, list[FoundMask]] = {}
        self.used: set[Path] = set()  # masks that `of` gave
        self.scans: dict[Key, tuple[str, tuple[Path, ...]]] = {}  # first file -> name and all files of a scan
        self.calibration: str | None = None
        self._labels, self._run = run.data["labels"], run
        own = [path.parent for path in run.folder.glob(f"*/{ORIGIN}")]
        for folder in sorted(dict.fromkeys([*own, *named]), key=_age):
            try:
                self._add(folder)
            except UserError as error:
                self.notes.append(str(error))

    def of(self, images: Sequence[Path], name: str) -> FoundMask | None:
        """The newest mask of a scan.

        Where the scan was moved or copied since, that of the scan of this name whose files had the same content. None
        of a scan whose files hold another one by now.
        """
        found = self._by_file.get(key_of(images[0]))
        if found is not None and found.scan_has_changed():
            found = None
        for other in reversed(self._by_name.get(name, [])):
            found = found or other.moved_to(images)
        if found is not None:
            self.used.add(found.path)
        return found

    def has_name(self, name: str) -> bool:
        """Whether there is a mask of a scan of this name, which may be another scan."""
        return name in self._by_name

    def taken(self, key: Key) -> bool:
        """Whether the mask of a scan was given to a case."""
        found = self._by_file.get(key)
        return found is not None and found.path in self.used

    def _add(self, folder: Path) -> None:
        if not (folder / ORIGIN).is_file():
            raise UserError(f"{folder} has no {ORIGIN}, so nobody knows which scans its masks are of; left out.")
        facts = read_json(folder / ORIGIN, dict[str, Any], "predict again into another folder")
        try:
            scans = RECORDED.validate_python(facts.pop("scans", {}))
            masks = MASKS.validate_python(facts.pop("masks", {}))
        except ValidationError:
            raise UserError(f"{folder / ORIGIN} is damaged: predict again into another folder.") from None
        data = facts.get("data")
        labels = data.get("labels", self._labels) if isinstance(data, dict) else self._labels
        if labels != self._labels:
            raise UserError(f"The masks in {folder} are of a run with other labels, so they are not shown.")
        if told := made_elsewhere(self._run, folder, facts):
            self.notes.append(told)
        quality = self._quality(folder)
        maps = folder / "uncertainty"
        uncertain = dict(formats.files_in(maps)) if maps.is_dir() else {}
        for name, path in formats.files_in(folder):
            if not (files := scans.get(name)):
                continue
            places = [_normal(folder / file["path"]) for file in files]
            found = FoundMask(
                path,
                folder,
                facts,
                tuple(zip(places, files, strict=True)),
                masks.get(name),
                uncertain.get(name),
                quality.cases.get(name) if quality else None,
                quality.outdated.get(name) if quality else None,
            )
            scan = _scan_paths(places)
            first = key_of(scan[0])
            self._by_file[first] = found
            self.scans[first] = (name, scan)
            self._by_name.setdefault(name, []).append(found)

    def _quality(self, folder: Path) -> QualityRecord | None:
        try:
            found = read_quality(folder)
        except UserError as error:
            self.notes.append(str(error))
            return None
        if found is not None:
            self.calibration = found.calibration["told"]
        return found


def digests(images: Iterable[Path]) -> list[str]:
    """Of all files of a scan, in order."""
    return [digest_once(part) for path in images for part in formats.parts(path)]


def key_of(path: Path) -> Key:
    """What tells whether two paths are one file, without following a link of the file itself."""
    return _real(str(path.parent)), path.name


def _scan_paths(files: list[Path]) -> tuple[Path, ...]:
    """The channels of a scan: its files, or the folders of DICOM series."""
    known = [path for path in files if formats.stem(path) is not None]
    return tuple(known or dict.fromkeys(path.parent for path in files))


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(os.path.abspath(path)))


def _age(folder: Path) -> float:
    try:
        return (folder / ORIGIN).stat().st_mtime
    except OSError:
        return 0.0


_known: dict[str, str] = {}


def _real(folder: str) -> str:
    if folder not in _known:
        _known[folder] = os.path.realpath(folder)
    return _known[folder]

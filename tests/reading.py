"""Watching which files are read with their voxels: images through `read_channels`, labels through `read_label`."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from crossmatch import formats
from crossmatch.formats import Volume


def note_reads(patch: pytest.MonkeyPatch, note: Callable[[Path], None]) -> None:
    """Call `note` with each file before it is read."""
    channels, label = formats.read_channels, formats.read_label

    def read_channels(paths: Iterable[Path]) -> list[Volume]:
        paths = [Path(path) for path in paths]
        for path in paths:
            note(path)
        return channels(paths)

    def read_label(path: Path, *rest: object) -> Volume:
        note(Path(path))
        return label(path, *rest)

    patch.setattr(formats, "read_channels", read_channels)
    patch.setattr(formats, "read_label", read_label)

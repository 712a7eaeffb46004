"""A viewer of three planes and 3D inside the page: NiiVue, and a few small cases as NIfTI files in base64.

The cases are those with pictures. Each is put in whole; if that is too large, the part around its masks; if that is too
large as well, not at all, and the page says so. Grey values have 8 bits there. Shapes: (x, y, z) volumes.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossmatch import formats
from crossmatch.formats import Array, Volume
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.document import json_block, library, own_file
from crossmatch.reports.renderings import picture_colour
from crossmatch.reports.slices import eight_bits
from crossmatch.vendor import NIIVUE

MOST_OF_A_CASE, MOST_OF_ALL = 2_500_000, 9_000_000  # bytes in the page
AROUND = 10  # voxels around the masks where a scan is too large as a whole


class Viewer:
    """The cases of one page; `add` is called for each as its pictures are made."""

    def __init__(self, labels: Mapping[str, int]) -> None:
        self.labels = labels
        self.cases: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._left = MOST_OF_ALL

    def add(self, case: str, image: Volume, masks: Mapping[str, Array]) -> str:
        """Take a case in, and return the place (HTML) where the viewer opens for it; "" where it cannot be shown.

        Args:
            case: its name; image: its scan; masks: kind -> labels on the scan's grid.
        """
        if min(image.shape) < 2 or len(image.shape) < 3:
            self.notes.append(f"{case} is a flat picture, which the viewer does not show.")
            return ""
        most = min(MOST_OF_A_CASE, self._left)
        volumes = {"scan": eight_bits(image, lambda voxels: voxels), **masks}
        for part, about in ((_everything(image), ""), (_around(masks.values()), "the part around the masks")):
            stored = {name: _nifti(image, voxels, part) for name, voxels in volumes.items()}
            size = sum(map(len, stored.values()))
            if size <= most:
                self._left -= size
                self.cases.append({"name": case, "about": about, "volumes": stored})
                return f'<div class="viewer-place" data-case="{len(self.cases) - 1}"></div>'
        self.notes.append(f"{case} is too large for the viewer in the page; `crossmatch review` opens it.")
        return ""

    def told(self) -> list[str]:
        """Sentences about what is in the page, and how large that is."""
        if not self.cases:
            return self.notes
        size = (MOST_OF_ALL - self._left + NIIVUE.stat().st_size) / 1e6
        return [f"The viewer and its {len(self.cases)} cases take {size:.1f} MB of this page.", *self.notes]

    def content(self) -> tuple[list[str], Sequence[str]]:
        """What goes into the page: blocks of data as HTML, and scripts."""
        if not self.cases:
            return [], ()
        colours = [
            [round(255 * share) for share in picture_colour(f"c{place % COLOURS}").tolist()]
            for place in range(len(self.labels))
        ]
        labels = [
            {"name": name, "value": value, "colour": colour}
            for (name, value), colour in zip(self.labels.items(), colours, strict=True)
        ]
        return [json_block("volumes", {"labels": labels, "cases": self.cases})], (
            library(NIIVUE),
            own_file("viewer.js"),
        )


def _everything(image: Volume) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in image.shape)


def _around(masks: Any) -> tuple[slice, ...]:
    """The box of all masks with some voxels around it."""
    found = np.logical_or.reduce([mask > 0 for mask in masks])
    parts = []
    for axis in range(found.ndim):
        inside = np.flatnonzero(found.any(axis=tuple(other for other in range(found.ndim) if other != axis)))
        first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, found.shape[axis] - 1)
        parts.append(slice(max(0, first - AROUND), last + 1 + AROUND))
    return tuple(parts)


def _nifti(image: Volume, voxels: Array, part: tuple[slice, ...]) -> str:
    """Voxels (x, y, z) of a part of a scan's grid as a compressed NIfTI file in base64."""
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [each.start for each in part]
    cut = np.asfortranarray(voxels[part].astype(np.uint8))
    like = replace(image, voxels=cut, affine=affine, native=None)
    return base64.b64encode(formats.file_bytes(cut, like, formats.DEFAULT_ENDING)).decode()

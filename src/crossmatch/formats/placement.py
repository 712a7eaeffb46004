"""Decides which voxel size to trust, for all formats in one place: a header can contradict itself.

A format hands over the affine and the voxel size as its file states them. Neither can be trusted blindly: programs
leave unit steps in the one or in the other (the files of the ACDC challenge have unit steps in their affine).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from crossmatch.errors import UserError, listed
from crossmatch.formats.volume import Array, Grid, Volume, spacing_of

SMALLEST_MM, LARGEST_MM = 0.01, 100.0  # voxel sizes of scans of people and animals; others are of another unit
_AGREEMENT = 0.01  # of a voxel size
_RIGHT_ANGLE = 1e-3  # largest cosine between axes at a right angle

Placed = TypeVar("Placed", Grid, Volume)


def settled(path: Path, found: Placed) -> Placed:
    """A grid or volume with the voxel size that can be relied on, and what its header says against itself.

    Where affine and stated size differ by more than 1 %, the one that is not all 1 is taken. Where both are not, or
    axes are not at right angles, the size is unknown: distances in millimetres would be wrong.

    Args:
        path: of the file, for messages.
        found: as the format reads it; its `spacing_mm` is what the file states beside its affine, or None. A `doubt` of
            the format stays.

    Raises:
        UserError: an impossible voxel size.
    """
    ndim = len(found.shape)
    steps, stated = spacing_of(found.affine, ndim), found.spacing_mm
    if stated is None:
        size, doubt = (None if _is_unit(steps) else steps), None
    elif np.allclose(stated, steps, rtol=_AGREEMENT, atol=0):
        size, doubt = stated, None
    else:
        valid = all(0 < mm < np.inf for mm in stated)  # never true of NaN
        told_by_affine = not _is_unit(steps)
        size = steps if told_by_affine and (not valid or _is_unit(stated)) else None
        if valid and not told_by_affine:
            size = stated
        taken = f"{in_mm(size)} is taken" if size else "so distances in millimetres are left out"
        doubt = f"its voxel size says {in_mm(stated)}, its affine {in_mm(steps)}; {taken}"
    if size is not None:
        refuse_implausible(str(path), size)
        if leaning := _leaning(found.affine, ndim):
            size, doubt = None, f"{leaning}, so distances in millimetres are left out"
    return replace(found, spacing_mm=size, doubt="; ".join(filter(None, (found.doubt, doubt))) or None)


def refuse_implausible(what: str, spacing_mm: Sequence[float]) -> None:
    """Raise UserError where a voxel size is none that a scan has; `what` begins the message."""
    if not all(SMALLEST_MM <= mm <= LARGEST_MM for mm in spacing_mm):
        raise UserError(
            f"{what} says that voxels are {in_mm(spacing_mm)} in size, which cannot be right ({SMALLEST_MM:g} to "
            f"{LARGEST_MM:g} mm are accepted): correct the voxel size, or its unit."
        )


def in_mm(spacing_mm: Sequence[float]) -> str:
    """A voxel size in words."""
    return f"{' x '.join(f'{mm:.4g}' for mm in spacing_mm)} mm"


def doubts(found: Iterable[tuple[str, str | None]]) -> list[str]:
    """A warning that names the files whose headers contradict themselves, if any; files come as (name, doubt)."""
    told = [f"{name} ({doubt})" for name, doubt in found if doubt]
    return [f"headers that contradict themselves: {listed(told, '; ')}; correct them"] if told else []


def _is_unit(spacing_mm: Sequence[float]) -> bool:
    return bool(np.allclose(spacing_mm, 1, rtol=0, atol=1e-6))


def _leaning(affine: Array, ndim: int) -> str | None:
    """Which axes of an affine (4, 4) are not at right angles, in words."""
    axes = affine[:3, :ndim] / np.linalg.norm(affine[:3, :ndim], axis=0)
    for one, other in itertools.combinations(range(ndim), 2):
        cosine = float(axes[:, one] @ axes[:, other])
        if abs(cosine) > _RIGHT_ANGLE:
            degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            return f"its {'xyz'[one]} and {'xyz'[other]} axes are at an angle of {degrees:.1f} degrees, not 90"
    return None

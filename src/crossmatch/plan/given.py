"""What a plan's changes say about size, voxel size and sampling: the other choices take it into account.

A value of a wrong form says nothing here; the recipe refuses it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

GIVEN = "as given with --set"


@dataclass(frozen=True)
class GivenGeometry:
    """What was given; None where the rules choose."""

    size: tuple[int, ...] | None = None
    spacing_mm: tuple[float, ...] | None = None  # (): scans are used as they are stored
    sampling: str | None = None  # resize or patch


def given_geometry(changes: Mapping[str, object], dims: int) -> GivenGeometry:
    """The changes that set the geometry of slices (2 axes) or volumes (3 axes)."""
    size, spacing_mm, sampling = (changes.get(f"data.{key}") for key in ("size", "spacing_mm", "sampling"))
    edges, sides = _lengths(size), _lengths(spacing_mm)
    whole = edges is not None and len(edges) == dims and all(edge == int(edge) for edge in edges)
    return GivenGeometry(
        tuple(map(int, edges)) if edges is not None and whole else None,
        sides if sides is not None and len(sides) in (0, dims) else None,
        sampling if isinstance(sampling, str) and sampling in ("resize", "patch") else None,
    )


def _lengths(values: object) -> tuple[float, ...] | None:
    """Positive numbers, one an axis; None where it is something else."""
    if not isinstance(values, list | tuple):
        return None
    if not all(isinstance(value, int | float) and isfinite(value) and value > 0 for value in values):
        return None
    return tuple(map(float, values))

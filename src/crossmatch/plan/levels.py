"""How large a training is: five levels from a GPU's full setting to the least that learns, and what a level means.

A level bounds the edge of slices or the voxels of a patch; the data decide the rest. Spacings and sizes go axis by
axis of an item, a slice or a volume.
"""

from dataclasses import dataclass
from math import floor, log2, prod

import numpy as np

from crossmatch.plan.facts import Facts
from crossmatch.plan.given import GIVEN, GivenGeometry
from crossmatch.plan.rules import Chosen

PATCH_MULTIPLE = 16  # of the V-Net
COARSENED = 2.0  # times: how much voxels may grow so that a patch holds the structures
NOTHING_GIVEN = GivenGeometry()
DEEPEST = 4  # voxels that the coarsest feature map of a slice has at least along each axis


@dataclass(frozen=True)
class Level:
    """Bounds of a training."""

    name: str
    edge: int  # voxels along the longer edge of a slice, at most
    voxels: int  # of a patch, at most
    width: int  # channels of the finest level
    slices: int  # labelled slices a step, and as many unlabelled ones
    volumes: int  # patches, likewise


LEVELS = (
    Level("full", edge=256, voxels=112 * 112 * 80, width=16, slices=12, volumes=2),
    Level("large", edge=192, voxels=96 * 96 * 64, width=16, slices=8, volumes=2),
    Level("medium", edge=128, voxels=64 * 64 * 48, width=16, slices=4, volumes=2),
    Level("small", edge=96, voxels=48 * 48 * 32, width=8, slices=4, volumes=2),
    Level("least", edge=64, voxels=32 * 32 * 32, width=8, slices=4, volumes=2),
)


def usual_level(device: str, cores: int, dims: int) -> Chosen[Level]:
    """The level where nobody names minutes."""
    if device == "cuda":
        return Chosen(LEVELS[0], "a GPU takes the full setting")
    number = {True: 1, False: 2}[cores >= 16] + (dims == 3)
    level = LEVELS[number]
    return Chosen(level, f"{cores} CPU core{'s' * (cores != 1)}: the {level.name} of five settings")


def usual_shape(facts: Facts, dims: int, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Voxels of a usual slice or scan along each of its axes, (dims,), at a voxel size; () is that of the files."""
    axes = [axis for axis in range(facts.axes) if facts.axes == dims or axis != facts.slice_axis]
    if spacing_mm and facts.extents_mm is not None:
        return np.array(np.median(np.array(facts.extents_mm)[:, axes], axis=0) / np.array(spacing_mm))
    return np.array([facts.median_shape[axis] for axis in axes])


def slice_size(
    facts: Facts,
    level: Level,
    spacing_mm: tuple[float, ...],
    given: GivenGeometry = NOTHING_GIVEN,
    sampling: str = "resize",
) -> tuple[Chosen[tuple[int, ...]], float]:
    """Voxels of a slice, and by how much the voxel size grows so that a slice of usual size fits.

    Args:
        spacing_mm: voxel size that slices are resampled to; () where they are not.
        given: a size or voxel size that is set already; this voxel size does not grow.
        sampling: whether slices are resized whole, or patches are cut from them.
    """
    usual, fixed = usual_shape(facts, 2, spacing_mm), sampling == "patch" and not _grows(spacing_mm, given)
    if given.size is not None:
        return Chosen(given.size, GIVEN), 1.0 if fixed else max(1.0, float((usual / np.array(given.size)).max()))
    shrunk = max(1.0, float(usual.max()) / level.edge)
    inner = np.minimum(usual, level.edge) if fixed else usual / shrunk
    multiple = 2 ** (unet_levels(inner.tolist()) - 1)
    first, second = (max(multiple, int(-(-n // multiple)) * multiple) for n in np.round(inner, 6))
    first, second = (min(n, -(-level.edge // multiple) * multiple) for n in (first, second))
    what = f"scans have {usual[0]:.0f} x {usual[1]:.0f}"
    cut = f", at most {level.edge} in the {level.name} setting" if shrunk > 1 else ""
    return Chosen((first, second), f"{what}{cut}; multiples of {multiple}"), 1.0 if fixed else shrunk


def unet_levels(size: list[float]) -> int:
    """Levels of a U-Net for slices of this size: five, or fewer where the coarsest map would be too small."""
    return int(np.clip(floor(log2(max(min(size), 2 * DEEPEST) / DEEPEST)) + 1, 2, 5))


def patch_size(
    facts: Facts,
    level: Level,
    spacing_mm: tuple[float, ...],
    given: GivenGeometry = NOTHING_GIVEN,
    sampling: str = "patch",
) -> tuple[Chosen[tuple[int, ...]], float]:
    """Voxels of a patch, and by how much the voxel size grows so that a patch holds the labelled structures.

    Args:
        spacing_mm: voxel size that volumes are resampled to; () where they are not.
        given, sampling: as for `slice_size`.
    """
    usual, box = usual_shape(facts, 3, spacing_mm), np.percentile(np.array(facts.boxes, float), 75, axis=0)
    if spacing_mm and facts.median_spacing_mm is not None:
        box = box * np.array(facts.median_spacing_mm) / np.array(spacing_mm)
    grown = 1.0
    patch = given.size or _near_cube(usual, level.voxels)
    if _grows(spacing_mm, given):
        while grown < COARSENED and (box / grown > np.array(patch)).any() and (usual / grown > patch).any():
            grown = min(COARSENED, grown * 1.05)
            patch = given.size or _near_cube(usual / grown, level.voxels)
    if given.size is not None:
        return Chosen(given.size, GIVEN), grown
    scan = " x ".join(f"{n:.0f}" for n in usual / grown)
    if sampling == "resize":
        seen = "each is resized whole"
    else:
        seen = f"shows {'all' if (np.array(patch) >= box / grown).all() else 'a part'} of the structures"
    reason = (
        f"at most {level.voxels} voxels in the {level.name} setting, of scans with {scan}; {seen}; "
        f"multiples of {PATCH_MULTIPLE}"
    )
    return Chosen(patch, reason), grown


def _grows(spacing_mm: tuple[float, ...], given: GivenGeometry) -> bool:
    """Whether scans are resampled to a voxel size that the rules chose, and may choose larger."""
    return bool(spacing_mm) and given.spacing_mm is None


def _near_cube(shape: np.ndarray, voxels: int) -> tuple[int, ...]:
    """The patch of at most so many voxels, if possible, with edges as equal as a scan of this shape allows."""
    steps = [max(1, int(-(-round(float(n), 3) // PATCH_MULTIPLE))) for n in shape]
    edges = [1] * len(steps)
    while True:
        growing = [
            axis
            for axis in range(len(edges))
            if edges[axis] < steps[axis]
            and prod(n + (k == axis) for k, n in enumerate(edges)) * PATCH_MULTIPLE ** len(edges) <= voxels
        ]
        if not growing:
            break
        axis = min(growing, key=lambda k: (edges[k], -shape[k]))
        edges[axis] += 1
    if all(n == 1 for n in edges):  # instance normalisation needs more than one voxel at the deepest level
        edges[int(np.argmax(shape))] = 2
    return tuple(n * PATCH_MULTIPLE for n in edges)

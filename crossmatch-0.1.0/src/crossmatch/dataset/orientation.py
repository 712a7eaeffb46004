"""Whole-axis turns: bring every scan of a dataset into one order and direction of axes, and back. Never interpolates.

The frame of a dataset is the affine of its first training scan that says how its axes run. Scans are brought into the
frame on reading, labels onto the voxels of their scan, and masks are turned back on writing.

Shapes: *S is (x, y) or (x, y, z). Affines are (4, 4), voxel index to world in mm. 2D images have no orientation in the
world and are never turned.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import Array, Grid, Volume, same_grid

Frame = Sequence[Sequence[float]]  # an affine, as JSON has it

CLEARLY_NEARER = 0.6  # of the sum of three cosines; a mirrored order of axes is worse by 0.9 or more


class Turn(NamedTuple):
    """Axes swapped and flipped: axis k of the result is axis `axes[k]` of the input, backwards where `flipped[k]`."""

    axes: tuple[int, ...]
    flipped: tuple[bool, ...]


UNTURNED = Turn((0, 1, 2), (False, False, False))


def turn_voxels(voxels: Array, turn: Turn) -> Array:
    """Voxels (..., *S) turned, as a view."""
    if turn == UNTURNED:
        return voxels
    before = voxels.ndim - len(turn.axes)
    moved = np.transpose(voxels, [*range(before), *(before + axis for axis in turn.axes)])
    turned: Array = np.flip(moved, tuple(before + k for k, flipped in enumerate(turn.flipped) if flipped))
    return turned


def turn_grid(grid: Grid | Volume, turn: Turn) -> Grid:
    """Where the voxels of a grid lie after they are turned: every voxel keeps its place in the world."""
    if turn == UNTURNED:
        return Grid(grid.shape, grid.affine, grid.spacing_mm, oriented=grid.oriented)
    back = np.zeros((4, 4))  # index after the turn -> index before it
    back[3, 3] = 1
    for k, (axis, flipped) in enumerate(zip(turn.axes, turn.flipped, strict=True)):
        back[axis, k] = -1 if flipped else 1
        back[axis, 3] = grid.shape[axis] - 1 if flipped else 0
    spacing = None if grid.spacing_mm is None else tuple(grid.spacing_mm[axis] for axis in turn.axes)
    shape = tuple(grid.shape[axis] for axis in turn.axes)
    return Grid(shape, grid.affine @ back + 0.0, spacing, oriented=grid.oriented)


def turn_volume(volume: Volume, turn: Turn) -> Volume:
    """A volume turned, its voxels in the memory layout of a file's, so that sums over them are the same to the bit."""
    if turn == UNTURNED:
        return volume
    grid = turn_grid(volume, turn)
    voxels = np.asfortranarray(turn_voxels(volume.voxels, turn))
    return replace(volume, voxels=voxels, affine=grid.affine, spacing_mm=grid.spacing_mm, native=None)


def inverse(turn: Turn) -> Turn:
    """The turn that undoes a turn.

    >>> inverse(Turn((2, 0, 1), (True, False, False)))
    Turn(axes=(1, 2, 0), flipped=(False, False, True))
    """
    places = tuple(turn.axes.index(axis) for axis in range(len(turn.axes)))
    return Turn(places, tuple(turn.flipped[k] for k in places))


def states_axes(grid: Grid | Volume) -> bool:
    """Whether a 3D file says how its axes run in the world."""
    stated = grid.spacing_mm is not None or not np.array_equal(grid.affine[:3, :3], np.eye(3))
    return len(grid.shape) == 3 and grid.oriented and stated


def turn_into(frame: Frame | None, grid: Grid | Volume) -> Turn:
    """The turn that brings a scan's axes nearest to those of the frame.

    None is made where the frame or the scan's axes are unknown. A scan that lies so oblique that two orders of axes are
    about equally near (more than 33 degrees from the frame) stays as stored, if that is one of them. Left and right are
    never in doubt: no mirrored order comes that near.
    """
    if frame is None or not states_axes(grid):
        return UNTURNED
    along = _cosines(frame, grid.affine)
    turn = _nearest(along)
    nearness = sum(abs(along[k, axis]) for k, axis in enumerate(turn.axes))
    return turn if nearness - np.trace(along) > CLEARLY_NEARER else UNTURNED


def turn_onto(target: Grid | Volume, grid: Grid | Volume) -> Turn | None:
    """The turn that puts each voxel of a grid onto one of the target's; None where there is none."""
    if same_grid(target, grid):
        return UNTURNED
    turn = _whole_turn(target, grid)
    return turn if same_grid(target, turn_grid(grid, turn)) else None


def put_onto(target: Grid | Volume, volume: Volume, what: Path | str, other: str) -> Volume:
    """A label, or a further channel, turned onto the voxels of its scan.

    Args:
        target: the scan.
        volume: the label.
        what: its file; other: what the target is; both for messages.

    Raises:
        UserError: no turn by whole axes does it.
    """
    turn = turn_onto(target, volume)
    if turn is None:
        raise UserError(f"{what} lies on another grid than {other}: {difference(target, volume)}.")
    return turn_volume(volume, turn)


def into_frame(channels: Sequence[Volume], frame: Frame | None, path: Path) -> tuple[list[Volume], Turn]:
    """The channels of a scan in the frame, all on the grid of the first, and the turn that the first one took.

    Args:
        channels: as stored; path: of the first, for messages.

    Raises:
        UserError: a channel that no turn by whole axes puts onto the first.
    """
    turn = turn_into(frame, channels[0])
    first = turn_volume(channels[0], turn)
    others = [put_onto(first, one, f"{path}: channel {k}", "channel 0") for k, one in enumerate(channels[1:], start=1)]
    return [first, *others], turn


def read_label(path: Path, image: Volume, labels: Mapping[str, int] | None) -> Volume:
    """The label of a scan, turned onto the voxels of its image as that is stored.

    Args:
        labels: name -> value, for label files that name their segments.

    Raises:
        UserError: of `formats.read_label`, or no turn by whole axes puts it onto the image.
    """
    return put_onto(image, read_beside(path, image, labels), path, "its image")


def read_beside(path: Path, image: Grid | Volume, labels: Mapping[str, int] | None) -> Volume:
    """As `formats.read_label`, in the label's own axes; one that covers a part of the image may have others than it."""
    return formats.read_label(path, turn_grid(image, _whole_turn(formats.read_grid(path), image)), labels)


def grid_beside(path: Path, image: Grid | Volume) -> Grid:
    """The grid on which `read_beside` puts a label, without its voxels."""
    return formats.read_label_grid(path, turn_grid(image, _whole_turn(formats.read_grid(path), image)))


def difference(target: Grid | Volume, grid: Grid | Volume) -> str:
    """In numbers why no turn by whole axes puts a grid onto a target, and the way out."""
    if len(grid.shape) == len(target.shape) == 3 and states_axes(grid) != states_axes(target):
        which = ("it says", "the other does not") if states_axes(grid) else ("it does not say", "the other does")
        return f"{which[0]} how its axes run in the world, and {which[1]}; export both with the same program"
    way_out = "resample it onto the grid of the other, a label by nearest neighbour (3D Slicer: Resample Image)"
    turn = _whole_turn(target, grid)
    turned = turn_grid(grid, turn)
    if turned.shape != target.shape:
        how = " when its axes are swapped as its affine says" if grid.shape == target.shape else ""
        return f"shape {grid.shape}, not {target.shape}{how}; {way_out}"
    cosines = np.clip(np.diag(_cosines(target.affine, turned.affine)), -1, 1)
    found, wanted = (one.affine[:3].round(4).tolist() for one in (grid, target))
    degrees = np.rad2deg(np.arccos(cosines)).max()
    turned_by = f"which no whole turn makes equal (axes differ by {degrees:.3g} degrees)"
    return f"affine {found}, not {wanted}, {turned_by}; {way_out}"


def _whole_turn(target: Grid | Volume, grid: Grid | Volume) -> Turn:
    """The turn that brings a grid's axes nearest to those of the target; none where one of them is not known."""
    if not (states_axes(target) and states_axes(grid)):
        return UNTURNED
    return _nearest(_cosines(target.affine, grid.affine))


def _nearest(along: Array) -> Turn:
    """The turn for which the cosines between axes (wanted, found) sum to most."""
    best = max(itertools.permutations(range(3)), key=lambda order: sum(abs(along[k, order[k]]) for k in range(3)))
    return Turn(best, tuple(bool(along[k, axis] < 0) for k, axis in enumerate(best)))


def _cosines(wanted: ArrayLike, found: ArrayLike) -> Array:
    """Cosines of the angles between the axes of two affines, (3, 3): rows are those of `wanted`."""
    ours, theirs = (np.asarray(affine, np.float64)[:3, :3] for affine in (wanted, found))
    cosines: Array = (ours / np.linalg.norm(ours, axis=0)).T @ (theirs / np.linalg.norm(theirs, axis=0))
    return cosines

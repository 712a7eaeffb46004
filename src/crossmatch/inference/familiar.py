"""Whether a scan is like those of the training (size, voxel size, grey values), and weights are a run's last and best.

Numbers of the training scans are kept in run.json, under data.seen.
"""

from collections.abc import Sequence

import numpy as np

from crossmatch.dataset.fingerprint import CasePrint
from crossmatch.dataset.orientation import turn_grid, turn_into
from crossmatch.dataset.spread import spread
from crossmatch.errors import quoted
from crossmatch.formats import Array, Volume
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.record import Seen
from crossmatch.runs.run import Run

FAR_SPACING = 2.0  # times the largest or smallest spacing of the training
FAR_SIZE = 4.0  # times the largest or smallest number of voxels along an axis
ABSOLUTE_BELOW = -100.0  # a training scan with lower values has an absolute unit, such as CT's
NEAR, FAR = 0.25, 10.0  # ranges of a training scan by which ends may lie outside: with an absolute unit, and without
LOOKED_AT = 200_000  # voxels of a channel, at most
REVERSED = (2.0, 1.25)  # axes run in reverse order: a size is at least so far off, and reversed at most so far


def seen_in_training(scans: Sequence[CasePrint]) -> Seen:
    """What run.json keeps of the training scans.

    Returns:
        "spacing_mm": smallest and largest, axis by axis, or None where a scan does not know it; "grey_values": for each
        channel the smallest and largest of the 0.5th percentiles, then of the 99.5th, and the median of their distance;
        "size": as spacing_mm, in voxels, or None where some scans are volumes and some slices.
    """
    spacings = [scan.spacing_mm for scan in scans]
    known = [spacing for spacing in spacings if spacing is not None]
    grey_values = []
    for channel in zip(*(scan.intensity for scan in scans), strict=True):
        low, high = [one.p00_5 for one in channel], [one.p99_5 for one in channel]
        width = float(np.median(np.subtract(high, low)))
        grey_values.append([min(low), max(low), min(high), max(high), width])
    ends = [np.min(known, axis=0).tolist(), np.max(known, axis=0).tolist()] if len(known) == len(spacings) else None
    alike = len({len(scan.shape) for scan in scans}) == 1
    sizes = np.array([scan.shape for scan in scans]) if alike else None
    size = None if sizes is None else [sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist()]
    return {"spacing_mm": ends, "grey_values": grey_values, "size": size}


def doubtful(run: Run, checkpoint: str) -> str | None:
    """A warning where a run has steps left, or where its ``last`` checkpoint is worse than an earlier one."""
    if run.is_packed:
        left = run.record["packed"]["steps_left"]
        return f"the run that {run.folder} was packed from was unfinished, with {left} steps left" if left else None
    path = run.checkpoint("last")
    if checkpoint not in ("last", "best") or not path.is_file():
        return None
    step, steps = load_facts(path)["step"], run.recipe.train.steps
    told = [] if checkpoint == "best" else [run.fallen()]
    if step < steps:
        told.append(
            f"the run {run.folder} is unfinished, at step {step} of {steps}: finish it first with crossmatch train "
            f"--resume --out {quoted(run.folder)}"
        )
    return ". ".join(each for each in told if each) or None


def strange(run: Run, volumes: Sequence[Volume]) -> list[str]:
    """Warnings where the channels of one scan, in the axis order of its file, are unlike the scans of the training."""
    turned = turn_grid(volumes[0], turn_into(run.frame, volumes[0]))
    told = (
        strange_size(run, turned.shape),
        strange_spacing(run, turned.spacing_mm),
        strange_grey_values(run, [each.voxels for each in volumes]),
    )
    return [f"{each}; the mask may be wrong" for each in told if each]


def strange_size(run: Run, shape: Sequence[int]) -> str | None:
    """A warning where a scan (*S), in the training's axes, has far more or fewer voxels along one; for a 2D network, in
    its slices."""
    ends = run.data["seen"].get("size") if "seen" in run.data else None
    if ends is None:
        return None
    sliced, axis = run.recipe.dims == 2, run.data["slice_axis"]
    low, high, given, back = (
        np.delete(each, axis) if sliced and len(each) == 3 else np.array(each) for each in (*ends, shape, shape[::-1])
    )
    if len(given) != len(low):
        return None

    def beyond(size: Array, factor: float) -> bool:
        return bool(((size * factor < low) | (size > high * factor)).any())

    far, near = REVERSED
    turned = len(shape) == len(ends[0]) == 3 and beyond(given, far) and not beyond(back, near)
    if not turned and not beyond(given, FAR_SIZE):
        return None
    what = ("pixels in a slice", "slices") if sliced and len(shape) == 3 else ("voxels", "scans")
    shown, least, most = (" x ".join(map(str, each)) for each in (given, low, high))
    told = f"{shown} {what[0]}, where {what[1]} of the training have {least} to {most}"
    return told + ("; in reverse order the axes would fit: nibabel has x, y, z, SimpleITK z, y, x" if turned else "")


def strange_spacing(run: Run, spacing_mm: Sequence[float] | None) -> str | None:
    """A warning where the voxel size of a scan lies far outside that of the training."""
    ends = run.data["seen"]["spacing_mm"] if "seen" in run.data else None
    if ends is None or spacing_mm is None or len(spacing_mm) != len(ends[0]):
        return None
    values, low, high = np.array(spacing_mm), np.array(ends[0]), np.array(ends[1])
    if ((values <= high * FAR_SPACING) & (values * FAR_SPACING >= low)).all():
        return None
    return f"voxels of {_by(values)} mm, where the training scans have {_by(low)} to {_by(high)} mm"


def strange_grey_values(run: Run, channels: Sequence[Array]) -> str | None:
    """A warning where the grey values (*S) of a scan's channels lie far outside those of the training."""
    known = run.data["seen"]["grey_values"] if "seen" in run.data else []
    for name, voxels, numbers in zip(run.data["channels"], channels, known, strict=False):
        low_min, low_max, high_min, high_max, width = numbers
        low, high = _ends(voxels)
        far = width * (NEAR if low_min < ABSOLUTE_BELOW else FAR)
        usual_low = low_min - NEAR * width <= low <= low_max + far  # negative values are no scanner's gain
        usual_high = high_min - far <= high <= high_max + far
        if not (usual_low and usual_high) or high - low < width / 100:
            return (
                f"{name} from {low:.4g} to {high:.4g}, where the training scans go from {low_min:.4g} ... "
                f"{low_max:.4g} to {high_min:.4g} ... {high_max:.4g}"
            )
    return None


def spacing_distance(run: Run, spacing_mm: Sequence[float] | None) -> float | None:
    """The factor from a scan's voxel size to the training's, on its worst axis; 1: inside; None: unknown."""
    ends = run.data["seen"]["spacing_mm"] if "seen" in run.data else None
    if ends is None or spacing_mm is None or len(spacing_mm) != len(ends[0]):
        return None
    values, low, high = np.array(spacing_mm), np.array(ends[0]), np.array(ends[1])
    return float(np.maximum(values / high, low / values).clip(min=1).max())


def grey_distance(run: Run, channels: Sequence[Array]) -> float | None:
    """How far the ends of a scan's grey values lie outside of the training's, in ranges of a training scan.

    0: inside, in every channel (*S); None: what the training knows is not recorded.
    """
    known = run.data["seen"]["grey_values"] if "seen" in run.data else []
    found = []
    for voxels, (low_min, low_max, high_min, high_max, width) in zip(channels, known, strict=False):
        low, high = _ends(voxels)
        outside = max(low_min - low, low - low_max, high_min - high, high - high_max, 0.0)
        found.append(outside / max(width, 1e-9))
    return max(found, default=None)


def _ends(voxels: Array) -> tuple[float, float]:
    """The percentiles that are compared, of voxels (*S) from all over the scan."""
    looked_at = np.unravel_index(spread(voxels.size, LOOKED_AT), voxels.shape)  # so no flat copy is made
    low, high = np.percentile(voxels[looked_at], [0.5, 99.5])
    return float(low), float(high)


def _by(values: Array) -> str:
    return " x ".join(f"{value:.3g}" for value in values)

"""What training warns of: settings that do not suit the scans, and runs that take very long."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from crossmatch.batches.store import Store
from crossmatch.dataset.fingerprint import CasePrint
from crossmatch.errors import listed
from crossmatch.recipes.schema import Recipe, TrainSettings

UNLIKE = 2.0  # times: spacings further apart need resampling
MOST = 0.5  # share of the scans that are most of them
FILLED = 0.5  # share of a patch that a scan fills at least
BEGINNING = 0.01  # share of the averaged weights that the first ones may have at the end
DAY_SECONDS = 24 * 3600
PACE_STEPS = 10  # after which the time of a run is estimated


def data_warnings(
    recipe: Recipe, scans: Sequence[CasePrint], shapes: Sequence[tuple[int, ...]], slice_axis: int
) -> list[str]:
    """Warnings about a recipe on its training scans.

    Args:
        scans: what `check` found in them.
        shapes: (I, *N) of each, items and their voxels along each axis at the recipe's voxel size.
        slice_axis: along which volumes are cut into slices.
    """
    if recipe.data.sampling != "patch":
        return []
    found = []
    spacings = np.array([scan.spacing_mm for scan in scans if scan.spacing_mm is not None])
    if not recipe.data.spacing_mm and len(spacings):
        axes = [axis for axis in range(spacings.shape[1]) if spacings.shape[1] == recipe.dims or axis != slice_axis]
        low, high = spacings[:, axes].min(0), spacings[:, axes].max(0)
        if (high >= UNLIKE * low).any():
            found.append(
                f"the voxels of the training scans measure {_by(low)} to {_by(high)} mm, and nothing resamples them: a "
                f"structure has another size in each. Set data.spacing_mm, for instance to "
                f"[{', '.join(f'{mm:.3g}' for mm in np.median(spacings[:, axes], axis=0))}]"
            )
    patch = recipe.data.size
    small = [shape for shape in shapes if prod(map(min, shape[1:], patch)) < FILLED * prod(patch)]
    if len(small) > MOST * len(shapes):
        middle = np.median(np.array([shape[1:] for shape in shapes]), axis=0)
        found.append(
            f"the patch of {_by(patch)} voxels is larger than most scans, which have {_by(middle)} at the recipe's "
            "voxel size: the rest of it is empty. Choose a smaller data.size"
        )
    return found


def shown_classes(labelled: Sequence[CasePrint], labels: Mapping[str, int]) -> dict[str, int]:
    """Class -> value, of the classes but the background that the labels of some cases show, as `check` counted them."""
    counts = [scan.label_voxels for scan in labelled if scan.label_voxels is not None]
    return {name: value for name, value in labels.items() if value and any(count[value] for count in counts)}


def unseen_classes(shown: Mapping[str, int], labels: Mapping[str, int], subset: str) -> list[str]:
    """A warning where no labelled case of a subset shows a class; `check` warns where no case at all does.

    Args:
        shown: see `shown_classes`; labels: class -> value; subset: `data.labelled`.
    """
    absent = [name for name, value in labels.items() if value and name not in shown]
    if subset == "all" or not absent:
        return []
    return [
        f"no labelled case of splits/train_{subset}_label.txt shows {listed(absent)}, so it cannot be learned: put "
        "cases that show it into that list"
    ]


def lost_classes(store: Store, shown: Mapping[str, int]) -> list[str]:
    """A warning where labels show a class, and no voxel of it is left at the recipe's voxel size.

    Args:
        store: what is learned from; shown: class -> value, of the classes that the label files show.
    """
    lost = [name for name, value in shown.items() if not store.label_counts[value]]
    if not lost:
        return []
    return [
        f"at the recipe's voxel size no labelled voxel of {listed(lost)} is left, so it cannot be learned: its "
        "structures are smaller than a voxel. Choose smaller voxels (data.spacing_mm) or a larger data.size"
    ]


def averaged_beginning(train: TrainSettings) -> list[str]:
    """A warning where much of the averaged weights, which are evaluated, is left of the weights at the beginning."""
    share = train.ema**train.steps if train.ema else 0.0
    if share <= BEGINNING:
        return []
    enough = max(0.0, 1 - 10 / train.steps)
    return [
        f"of the averaged weights that are evaluated, {100 * share:.2g} % are still those of the beginning after "
        f"{train.steps} steps: lower train.ema ({train.ema:g}), to {enough:.3g} or less, or train longer"
    ]


def long_run(steps_left: int, seconds: float) -> str | None:
    """A warning where the steps that are left take more than a day."""
    if seconds <= DAY_SECONDS:
        return None
    return (
        f"at the speed so far the {steps_left} steps that are left take {seconds / DAY_SECONDS:.1f} days. "
        "Stop with Ctrl-C and lower train.steps, data.size or train.batch, or let `crossmatch plan --minutes` choose"
    )


def _by(values: Sequence[float] | np.ndarray) -> str:
    return " x ".join(f"{value:.3g}" for value in values)

"""The rules of a plan that follow from the data alone. Each gives a value and the reason for it, in a sentence.

Sources: the rules for anisotropic voxels, for the voxel size of their coarse axis and for grey values of CT are those
of Isensee et al., nnU-Net, Nature Methods 18, 203-211, 2021; the others come from the recipes of this package.
"""

import re
from collections.abc import Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np

from crossmatch.batches.intensity import Normalise
from crossmatch.dataset.grey_scale import reaches_far
from crossmatch.plan.facts import Facts
from crossmatch.training.mirrored_sides import paired_sides

T = TypeVar("T")
Kind = Literal["CT", "MR", "colour", "X-ray"]

ANISOTROPIC = 3.0  # times: through-plane spacing over in-plane spacing
AIR_HU, BONE_HU = -500.0, 200.0  # the lowest values of CT lie below, the highest above
COARSE_PERCENTILE = 10  # of the spacings along the coarse axis of anisotropic volumes
EQUAL = 1.1  # times: sizes within this count as equal
LARGER = 2.0  # times the size that the network sees, from which on photographs are not kept whole
TINY = 0.005  # share of the voxels below which a class is tiny
VERY_TINY = 0.0005
NARROW = 16  # channels of the finest level below which a network is narrow
WHOLE = 0.5  # share of a scan that a patch sees at least where images drawn at random show enough of them

_NAMES: dict[Kind, str] = {
    "CT": r"\b(ct|cta|cbct|computed tomography)\b",
    "MR": r"\b(mri?|t1\w*|t2\w*|flair|dwi|adc|pd|swi|cine|lge|bssfp)\b",
    "colour": r"\b(rgb|red|green|blue|r|g|b|colou?r)\b",
    "X-ray": r"\b(x-?ray|cr|dx|cxr|dr|radiograph\w*|mammo\w*)\b",
}


class Chosen(NamedTuple, Generic[T]):
    """A value and why it was chosen."""

    value: T
    reason: str


def kind_of_image(facts: Facts) -> Chosen[Kind]:
    """CT, MR, colour or X-ray, by the names of the channels, else by their values."""
    names = ", ".join(facts.channels)
    for kind, pattern in _NAMES.items():
        if all(re.search(pattern, re.sub(r"[_-]+", " ", name.lower())) for name in facts.channels):
            return Chosen(kind, f"channel_names says {names}")
    lowest = np.median([[channel.p00_5 for channel in scan] for scan in facts.grey_values])
    highest = np.median([[channel.p99_5 for channel in scan] for scan in facts.grey_values])
    if lowest < AIR_HU and highest > BONE_HU:
        return Chosen("CT", f"grey values from {lowest:.0f} to {highest:.0f} are Hounsfield units")
    if facts.axes == 2 and len(facts.channels) == 3:
        return Chosen("colour", "flat images with three channels")
    if facts.axes == 2:
        return Chosen("X-ray", "flat grey images")
    return Chosen("MR", f"grey values from {lowest:.0f} to {highest:.0f} have no absolute unit")


def normalisation(kind: Kind, facts: Facts) -> Chosen[Normalise]:
    """How grey values are scaled."""
    if kind == "CT":
        return Chosen("ct", "CT: by the percentiles, mean and spread of the labelled foreground, one for all scans")
    far = any(reaches_far(channel) for scan in facts.grey_values for channel in scan)
    if kind == "MR" and far:
        why = "by the percentiles 0.5 and 99.5 of each scan, as a few voxels lie far from all others"
        return Chosen("percentile", f"MR: [0, 1] {why}")
    if kind == "MR":
        return Chosen("zscore", "MR: grey values have no absolute unit, so by the mean and spread of each scan")
    if kind == "colour":
        return Chosen("colour", "colour: one scale for all channels, so that hues stay")
    return Chosen("percentile", "X-ray: [0, 1] by each image's own percentiles 0.5 and 99.5")


def dimensions(facts: Facts) -> Chosen[Literal[2, 3]]:
    """Slices or volumes."""
    if facts.axes == 2:
        return Chosen(2, "the images are flat")
    axis = facts.slice_axis
    plane = [other for other in range(3) if other != axis]
    spacing, shape = facts.median_spacing_mm, facts.median_shape
    if shape[axis] == 1:
        return Chosen(2, "each scan is a single slice")
    if spacing is None:
        ratio = min(shape[other] for other in plane) / shape[axis]
        what = f"the voxel size is unknown, and scans have {shape[axis]:.0f} slices of {_by(shape, plane)} voxels"
        if ratio > ANISOTROPIC:
            return Chosen(2, f"{what}: these are taken for thick slices")
        return Chosen(3, f"{what}: these are taken for voxels of nearly equal sides")
    ratio = spacing[axis] / max(spacing[other] for other in plane)
    if ratio > ANISOTROPIC:
        return Chosen(2, f"slices lie {spacing[axis]:.3g} mm apart, {ratio:.1f} times the voxels in them")
    coarse = int(np.argmax(spacing))
    if coarse != axis and spacing[coarse] / min(spacing) > ANISOTROPIC:
        return Chosen(
            3, f'axis {coarse} is the coarse one: with "slice_axis": {coarse} in dataset.json slices would be cut there'
        )
    if max(spacing) / min(spacing) > ANISOTROPIC:  # within the slices
        return Chosen(3, f"slices lie {spacing[axis]:.3g} mm apart, {ratio:.1f} times the voxels in them")
    return Chosen(3, f"voxels of {_by(spacing)} mm have nearly equal sides")


def spacing(facts: Facts, dims: int) -> Chosen[tuple[float, ...]]:
    """The voxel size to resample to, one number an axis of an item; () leaves scans as they are."""
    if facts.spacings_mm is None:
        return Chosen((), "the voxel size is unknown, so scans are used as they are stored")
    axes = [axis for axis in range(facts.axes) if facts.axes == dims or axis != facts.slice_axis]
    values = np.array(facts.spacings_mm)[:, axes]
    wanted = np.median(values, axis=0)
    coarse = int(np.argmax(wanted))
    reason = "the median of the training scans"
    if wanted[coarse] / wanted.min() > ANISOTROPIC:
        wanted[coarse] = max(np.percentile(values[:, coarse], COARSE_PERCENTILE), wanted.min())
        reason += f", and the {COARSE_PERCENTILE}th percentile along coarse axis {axes[coarse]}"
    low, high = values.min(0), values.max(0)
    spread = f"they have {_by(low)} to {_by(high)} mm" if (low != high).any() else "all have it"
    return Chosen(tuple(float(f"{mm:.3g}") for mm in wanted), f"{reason}; {spread}")


def resizes(facts: Facts, dims: int) -> Chosen[bool]:
    """Whether whole slices are resized to one size; else patches are cut at one voxel size."""
    if dims == 3:
        return Chosen(False, "patches are cut from volumes, and padded where a volume is smaller")
    if facts.extents_mm is None:
        return Chosen(True, "without a voxel size, whole slices are brought to one size")
    axes = [axis for axis in range(facts.axes) if facts.axes == 2 or axis != facts.slice_axis]
    extents = np.array(facts.extents_mm)[:, axes]
    if (extents.max(0) <= EQUAL * extents.min(0)).all():
        return Chosen(True, "all slices are of nearly one size in millimetres, so they are resized whole")
    return Chosen(
        False, f"slices measure {_by(extents.min(0))} to {_by(extents.max(0))} mm: cut or padded at one voxel size"
    )


def reduced_when_read(facts: Facts, kind: Kind, size: Sequence[int]) -> Chosen[str] | None:
    """Linear interpolation where pictures in colours are much larger than what the network sees; else no choice."""
    if (
        kind != "colour"
        or facts.axes != 2
        or not any(n > LARGER * m for n, m in zip(facts.median_shape, size, strict=True))
    ):
        return None
    return Chosen("linear", f"pictures of {_by(facts.median_shape)} pixels are reduced once, when they are read")


def turns(facts: Facts, kind: Kind, dims: int) -> Chosen[bool]:
    """Whether views are turned by right angles and flipped; else they are rotated by small angles."""
    if pair := paired_sides(facts.classes):
        return Chosen(False, f"{pair[0]} and {pair[1]} are left and right of one structure: a flip would swap them")
    if kind == "X-ray":
        return Chosen(False, "X-rays are taken upright, from a known side")
    if dims == 3:
        return Chosen(False, "patients have one position in all volumes, so a short training needs no flips")
    return Chosen(True, "no label is one of a left and right pair")


def plane(facts: Facts, dims: int, resampled_mm: tuple[float, ...] | None = None) -> Chosen[tuple[int, int]]:
    """The two axes that turns, flips and rotations lie in.

    Args:
        resampled_mm: a voxel size that was given; of axes that are equal in it, those of the scans decide.
    """
    if dims == 2 or facts.median_spacing_mm is None:
        return Chosen((0, 1), "the plane of the slices")
    sides = zip(resampled_mm or facts.median_spacing_mm, facts.median_spacing_mm, strict=True)
    first, second = sorted(axis for _, axis in sorted((side, axis) for axis, side in enumerate(sides))[:2])
    return Chosen((first, second), "the axes with the finest voxels")


def foreground_share(facts: Facts, patch_share: float, whole: str = "scan") -> Chosen[float]:
    """Of the labelled images, the share that is made to show a class.

    Args:
        patch_share: of a scan or slice that a patch sees, 1 where whole images are resized; whole: which of the two.
    """
    shares = {name: share for name, share in facts.class_shares.items() if share > 0}
    name, rarest = min(shares.items(), key=lambda item: item[1])
    what = f"{name} fills {100 * rarest:.2g} % of the labelled voxels"
    unseen = ", ".join(name for name, share in facts.class_shares.items() if share == 0)
    lacking = f"; no labelled scan shows {unseen}" if unseen else ""
    if rarest < VERY_TINY:
        return Chosen(0.5, f"{what}: half of the images show a class, each equally often{lacking}")
    if rarest < TINY:
        return Chosen(0.33, f"{what}: a third of the images shows a class, each equally often{lacking}")
    if patch_share < WHOLE:
        seen = f"a patch sees {100 * patch_share:.2g} % of a {whole}"
        return Chosen(0.33, f"{seen}: a third of the images shows a class, each equally often{lacking}")
    more = ", any other class more" if len(shares) > 1 else ""
    return Chosen(0.0, f"{what}{more}: images drawn at random show enough of them{lacking}")


def dice_with_background(facts: Facts) -> Chosen[bool]:
    """Whether the background counts as a class of Dice."""
    share = sum(facts.class_shares.values())
    if share < TINY:
        return Chosen(False, f"structures fill {100 * share:.2g} % of the voxels, so background would be right anyway")
    return Chosen(True, f"structures fill {100 * share:.2g} % of the voxels: the background keeps them from growing")


def method(facts: Facts, dims: int, width: int) -> Chosen[str]:
    """What learns from the unlabelled scans, if there are any. `docs/plan.md` has the runs behind it."""
    if not facts.unlabelled:
        return Chosen("supervised_strong", "every training scan has a label")
    learns = f"{facts.unlabelled} scans have no label, and it learns from them"
    if dims == 2 and width < NARROW:
        return Chosen("unimatch", f"{learns}; steadier than CrossMatch in a narrow network of slices")
    return Chosen("crossmatch", learns)


def _by(values: object, axes: list[int] | None = None) -> str:
    numbers = [float(value) for value in values]  # type: ignore[attr-defined]
    return " x ".join(f"{numbers[axis]:.3g}" for axis in (axes if axes is not None else range(len(numbers))))

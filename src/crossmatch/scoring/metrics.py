"""How well a mask agrees with its reference: overlap and surface distances, with NumPy and SciPy alone.

Shapes: a mask is an array (*S) of any rank, bool or integer; non-zero voxels are the object. `spacing` holds one number
per axis, in the array's axis order; distances come in its unit, or in voxels without it. Conventions (docs/metrics.md):
surfaces are the voxels lost by one erosion with the connectivity-1 structure, the outside of the image being
background, and a single slice with a third axis of one voxel being flat; `hd95` pools both directions and `asd` goes
from prediction to reference, as in medpy. Two empty masks agree (overlap 1, distances 0); against one empty mask the
overlap is 0 and the distances are undefined (NaN).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from crossmatch.scoring.surface_voxels import surface_voxels

Mask = NDArray[Any]
Points = NDArray[np.intp]
Distances = NDArray[np.float64]

JACCARD_THRESHOLD = 0.65  # of ISIC's challenges

# A distance transform over the joint box replaces the nearest-neighbour trees when the surface voxels of both masks
# together are more than this many and more than this share of the box. By `speed/metrics.py --surfaces` on
# one core: random voxels against a ball in 200x200x88 (50 % of the box), trees 6.9 s, transform 1.9 s; bumpy balls with
# 846,000 surface voxels in 400x400x200 (2.6 %), trees 2.7 s, transform 21 s.
MAX_TREE_POINTS = 200_000
MAX_TREE_SHARE = 0.1


class SurfaceDistances(NamedTuple):
    """Distance of every surface voxel to the nearest surface voxel of the other mask.

    Each direction is an array (N,) in the unit of the spacing. It is [0] if both masks are empty and [NaN] if only one
    is, or if one has no surface, so that the statistics below need no special case.
    """

    pred_to_ref: Distances
    ref_to_pred: Distances

    @property
    def hd95(self) -> float:
        """95th percentile of both directions pooled (medpy)."""
        return float(np.percentile(np.concatenate(self), 95))

    @property
    def hd95_max(self) -> float:
        """Larger of the two directed 95th percentiles (MONAI)."""
        return float(max(np.percentile(self.pred_to_ref, 95), np.percentile(self.ref_to_pred, 95)))

    @property
    def asd(self) -> float:
        """Mean distance from the prediction's surface to the reference's; the other direction does not enter."""
        return float(self.pred_to_ref.mean())

    @property
    def assd(self) -> float:
        """Mean of both directions pooled (medpy 0.5), not the mean of the two directed means."""
        return float(np.concatenate(self).mean())


def dice(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> float:
    """Dice coefficient 2|P∩R| / (|P| + |R|) in [0, 1]; 1 if both masks are empty. `spacing` is only checked.

    >>> dice(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    0.8
    """
    return _overlap(*_checked(pred, ref, spacing)[:2])[0]


def jaccard(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> float:
    """Jaccard index |P∩R| / |P∪R| in [0, 1]; 1 if both masks are empty. `spacing` is only checked."""
    return _overlap(*_checked(pred, ref, spacing)[:2])[1]


def threshold_jaccard(
    pred: Mask, ref: Mask, spacing: Sequence[float] | None = None, threshold: float = JACCARD_THRESHOLD
) -> float:
    """Jaccard index, 0 where it is below a threshold: the score of ISIC's challenges. `spacing` is only checked.

    Source: Codella et al., arXiv 1902.03368, 2019: below 0.65 a mask counts as failed.
    """
    found = jaccard(pred, ref, spacing)
    return found if found >= threshold else 0.0


def hd95(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> float:
    """95 % Hausdorff distance, both directions pooled; unit of `spacing` or voxels; NaN if one mask is empty.

    >>> labels, reference = np.zeros((2, 9, 9), int)
    >>> labels[4, 4], reference[4, 7] = 1, 1
    >>> hd95(labels == 1, reference == 1), hd95(labels == 1, reference == 1, spacing=(1.5, 0.5))
    (3.0, 1.5)
    """
    return surface_distances(pred, ref, spacing).hd95


def hd95_max(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> float:
    """95 % Hausdorff distance, larger directed percentile; unit of `spacing` or voxels; NaN if one mask is empty."""
    return surface_distances(pred, ref, spacing).hd95_max


def asd(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> float:
    """Average surface distance, prediction to reference; unit of `spacing` or voxels; NaN if one mask is empty."""
    return surface_distances(pred, ref, spacing).asd


def assd(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> float:
    """Average symmetric surface distance; unit of `spacing` or voxels; NaN if one mask is empty."""
    return surface_distances(pred, ref, spacing).assd


def all_metrics(pred: Mask, ref: Mask, spacing: Sequence[float] | None = None) -> dict[str, float]:
    """All six metrics of two masks (*S), surface distances computed once; errors as `surface_distances`."""
    distances = surface_distances(pred, ref, spacing)
    overlap = _overlap(*_checked(pred, ref, spacing)[:2])
    statistics = {name: getattr(distances, name) for name in ("hd95", "hd95_max", "asd", "assd")}
    return {"dice": overlap[0], "jaccard": overlap[1], **statistics}


def surface_distances(
    pred: Mask, ref: Mask, spacing: Sequence[float] | None = None, ignored: Mask | None = None
) -> SurfaceDistances:
    """Surface distances of two masks (*S) in both directions; compute once, then take any statistic.

    Args:
        pred, ref: the masks.
        spacing: see above; distances come in its unit, or in voxels without it.
        ignored: (*S), voxels that count in neither mask, as nobody knows what they are. A voxel beside them is a
            surface only if it also has a neighbour that is background and counts, or the outside of the image. So the
            distances are those between surfaces of which both sides count; none leads to a surface inside of `ignored`.

    Raises ValueError for masks of different shapes, masks that are neither bool nor integer nor 0/1 floats, and a
    spacing that is not one positive finite number per axis.
    """
    pred, ref, steps = _checked(pred, ref, spacing)
    if ignored is not None:
        ignored = _as_bool(ignored, "mask of ignored voxels")
        _same_shape(ignored, ref, "mask of ignored voxels")
        pred, ref = pred & ~ignored, ref & ~ignored
    pred_points, ref_points = surface_voxels(pred, ignored), surface_voxels(ref, ignored)
    if len(pred_points) == 0 or len(ref_points) == 0:
        undefined = np.array([np.nan if pred.any() or ref.any() else 0.0])
        return SurfaceDistances(undefined, undefined)
    points = len(pred_points) + len(ref_points)
    low = np.minimum(pred_points.min(0), ref_points.min(0))
    box = np.maximum(pred_points.max(0), ref_points.max(0)) - low + 1
    dense = points > MAX_TREE_POINTS and points > MAX_TREE_SHARE * np.prod(box)
    measure = _by_transform if dense else _by_tree
    return SurfaceDistances(measure(pred_points, ref_points, steps), measure(ref_points, pred_points, steps))


def dice_per_class(pred_labels: Mask, ref_labels: Mask, num_classes: int) -> Distances:
    """Dice of the classes 1 ... num_classes - 1 of two integer label volumes (*S), as an array (num_classes - 1,).

    One pass over the volume for all classes: the quick form for validation. A class absent from both volumes counts 1.

    >>> dice_per_class(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), num_classes=4).round(2).tolist()
    [0.67, 0.67, 1.0]

    Raises ValueError for different shapes, labels that are not integers, and labels outside 0 ... num_classes - 1.
    """
    pred_labels, ref_labels = np.asarray(pred_labels), np.asarray(ref_labels)
    _same_shape(pred_labels, ref_labels)
    for name, labels in (("prediction", pred_labels), ("reference", ref_labels)):
        if labels.dtype.kind not in "buif" or not (labels.dtype.kind != "f" or np.all(labels % 1 == 0)):
            raise ValueError(f"labels must be whole numbers, the {name} holds others ({labels.dtype})")
        if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
            found = f"{labels.min()} to {labels.max()}"
            raise ValueError(f"labels must lie in 0 ... {num_classes - 1}, the {name} holds {found}")
    pairs = ref_labels.astype(np.intp) * num_classes + pred_labels.astype(np.intp)
    counts = np.bincount(pairs.ravel(order="K"), minlength=num_classes**2).reshape(num_classes, num_classes)
    sizes = (counts.sum(0) + counts.sum(1))[1:]
    return np.where(sizes == 0, 1.0, 2 * counts.diagonal()[1:] / np.maximum(sizes, 1))


def counted(pred_labels: Mask, ref_labels: Mask, ignore: int | None) -> tuple[Mask, Mask]:
    """Two label volumes (*S) as background wherever the reference has the label to be ignored, in both of them.

    So these voxels count as neither right nor wrong. Where surfaces matter, `surface_distances` must know them too.

    >>> counted(np.array([1, 1, 2]), np.array([1, 3, 3]), ignore=3)
    (array([1, 0, 0]), array([1, 0, 0]))
    """
    if ignore is None:
        return pred_labels, ref_labels
    out = ref_labels == ignore
    return np.where(out, 0, pred_labels), np.where(out, 0, ref_labels)


def _overlap(pred: Mask, ref: Mask) -> tuple[float, float]:
    """Dice and Jaccard of two bool masks."""
    total = int(np.count_nonzero(pred) + np.count_nonzero(ref))
    if total == 0:
        return 1.0, 1.0
    common = int(np.count_nonzero(pred & ref))
    return 2 * common / total, common / (total - common)


def _by_tree(start: Points, target: Points, steps: Distances) -> Distances:
    """Distance of every start point to the nearest target point, by a nearest-neighbour tree."""
    tree = cKDTree(target * steps, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(start * steps)[0], np.float64)


def _by_transform(start: Points, target: Points, steps: Distances) -> Distances:
    """Distance of every start point to the nearest target point, by a distance transform over the joint box of both."""
    low = np.minimum(start.min(0), target.min(0))
    background = np.ones(np.maximum(start.max(0), target.max(0)) - low + 1, bool)
    background[tuple((target - low).T)] = False
    distances = np.asarray(distance_transform_edt(background, sampling=steps), np.float64)
    nearest: Distances = distances[tuple((start - low).T)]
    return nearest


def _checked(pred: Mask, ref: Mask, spacing: Sequence[float] | None) -> tuple[Mask, Mask, Distances]:
    """Both masks as bool arrays and the spacing as an array (rank,), or a ValueError."""
    pred, ref = _as_bool(pred, "prediction"), _as_bool(ref, "reference")
    _same_shape(pred, ref)
    steps = np.ones(pred.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if steps.shape != (pred.ndim,) or not np.all(np.isfinite(steps) & (steps > 0)):
        raise ValueError(f"spacing must be one positive number for each of the {pred.ndim} axes, not {spacing}")
    return pred, ref, steps


def _as_bool(mask: Mask, name: str) -> Mask:
    mask = np.asarray(mask)
    if mask.ndim == 0:
        raise ValueError(f"the {name} is a single number, not an image")
    if mask.dtype.kind == "f" and not np.all((mask == 0) | (mask == 1)):
        raise ValueError(f"the {name} holds fractions or NaN: threshold it first, a mask is bool or integer")
    if mask.dtype.kind not in "buif":
        raise ValueError(f"a mask is bool or integer, the {name} is {mask.dtype}")
    return mask.astype(bool, copy=False)


def _same_shape(pred: Mask, ref: Mask, name: str = "prediction") -> None:
    if pred.shape != ref.shape:
        raise ValueError(f"{name} and reference have different shapes: {pred.shape} and {ref.shape}")

"""What the rules of a plan look at: numbers of the training scans, taken from the dataset's fingerprint.

Shapes: *S is a scan in the dataset's frame. Test cases are left out, and so are labels of cases that do not count as
labelled.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import Intensity
from crossmatch.errors import UserError, listed


@dataclass(frozen=True)
class Facts:
    """The training scans in numbers."""

    channels: tuple[str, ...]
    classes: tuple[str, ...]  # without background
    slice_axis: int
    labelled: int  # training cases
    unlabelled: int
    validation: int
    shapes: tuple[tuple[int, ...], ...]  # (*S) of each training scan
    spacings_mm: tuple[tuple[float, ...], ...] | None  # of each; None where a scan does not know it
    grey_values: tuple[tuple[Intensity, ...], ...]  # of each training scan, one a channel
    label_voxels: tuple[tuple[int, ...], ...]  # of each labelled scan, background first
    boxes: tuple[tuple[int, ...], ...]  # voxels of the box around the labelled structures of each labelled scan

    @property
    def axes(self) -> int:
        """Axes of a scan, 2 or 3."""
        return len(self.shapes[0])

    @property
    def median_shape(self) -> tuple[float, ...]:
        """Voxels along each axis, the median of all training scans."""
        return _medians(self.shapes)

    @property
    def median_spacing_mm(self) -> tuple[float, ...] | None:
        """Millimetres along each axis, the median of all training scans."""
        return None if self.spacings_mm is None else _medians(self.spacings_mm)

    @property
    def extents_mm(self) -> tuple[tuple[float, ...], ...] | None:
        """Size of each training scan in millimetres, axis by axis."""
        if self.spacings_mm is None:
            return None
        pairs = zip(self.shapes, self.spacings_mm, strict=True)
        return tuple(tuple(n * mm for n, mm in zip(*pair, strict=True)) for pair in pairs)

    @property
    def class_shares(self) -> dict[str, float]:
        """Share of the labelled voxels that each class has, without background."""
        total = np.sum(self.label_voxels, axis=0)
        return {name: float(total[k + 1] / total.sum()) for k, name in enumerate(self.classes)}


def training_facts(
    dataset: Dataset, labelled: str, loading: Callable[[int, int], None] = lambda done, total: None
) -> Facts:
    """Facts of a dataset that was opened with all its splits.

    Args:
        labelled: "all", or N for the list splits/train_N_label.txt.
        loading: called with (cases scanned, cases in all) where the dataset has no fresh fingerprint.

    Raises:
        UserError: no labelled case, no labelled structure, or voxel sizes that are known for some scans alone.
    """
    known, unknown = dataset.labelled(labelled)
    if not known:
        raise UserError(
            f"{dataset.root} has no labelled training case, so there is nothing to learn from: put at least one label "
            "file into labelsTr, or name labelled cases in splits/train_N_label.txt and add --set data.labelled=N."
        )
    prints = {case.id: case for case in load_fingerprint(dataset, loading).cases}
    scans = [prints[case.id] for case in (*known, *unknown)]
    labels = [prints[case.id] for case in known]
    blind = [scan.id for scan in scans if scan.spacing_mm is None]
    if blind and len(blind) < len(scans):
        raise UserError(
            f"{listed(blind)} {'does' if len(blind) == 1 else 'do'} not know the voxel size, and the other training "
            "scans know theirs, so no common one can be chosen: repair these headers, or take the cases out of train."
        )
    boxes = tuple(scan.box for scan in labels if scan.box is not None)
    if not boxes:
        raise UserError(
            f"No labelled training case of {dataset.root} shows a structure: every voxel is background. Label one."
        )
    return Facts(
        channels=dataset.channels,
        classes=tuple(name for name, value in dataset.labels.items() if value),
        slice_axis=dataset.slice_axis,
        labelled=len(known),
        unlabelled=len(unknown),
        validation=len(dataset.split("val")),
        shapes=tuple(scan.shape for scan in scans),
        spacings_mm=None if blind else tuple(scan.spacing_mm for scan in scans if scan.spacing_mm is not None),
        grey_values=tuple(scan.intensity for scan in scans),
        label_voxels=tuple(scan.label_voxels for scan in labels if scan.label_voxels is not None),
        boxes=boxes,
    )


def _medians(rows: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.median(np.array(rows, float), axis=0))

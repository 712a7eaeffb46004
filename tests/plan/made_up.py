"""Facts of datasets that do not exist, for tests of the rules."""

from collections.abc import Sequence

from crossmatch.dataset.fingerprint import Intensity
from crossmatch.plan.facts import Facts

MR = (0.0, 800.0)
CT = (-1000.0, 1200.0)


def facts(
    *,
    shapes: Sequence[tuple[int, ...]] = ((200, 200, 100),) * 4,
    spacings: Sequence[tuple[float, ...]] | None = ((1.0, 1.0, 1.0),) * 4,
    channels: tuple[str, ...] = ("scan",),
    classes: tuple[str, ...] = ("organ",),
    shares: Sequence[float] = (0.1,),
    box: tuple[int, ...] = (60, 60, 40),
    grey: tuple[float, float] = MR,
    labelled: int = 2,
    validation: int = 1,
    slice_axis: int = 2,
) -> Facts:
    """Facts of scans with these shapes and spacings; each class has its share of 1,000,000 labelled voxels."""
    counts = [round(1_000_000 * share) for share in shares]
    low, high = grey
    one = Intensity(min=low, max=high, mean=(low + high) / 2, std=1.0, p00_5=low, p99_5=high)
    return Facts(
        channels=channels,
        classes=classes,
        slice_axis=slice_axis,
        labelled=labelled,
        unlabelled=len(shapes) - labelled,
        validation=validation,
        shapes=tuple(shapes),
        spacings_mm=None if spacings is None else tuple(spacings),
        grey_values=((one,) * len(channels),) * len(shapes),
        label_voxels=((1_000_000 - sum(counts), *counts),) * labelled,
        boxes=(box[: len(shapes[0])],) * labelled,
    )

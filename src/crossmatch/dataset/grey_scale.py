"""Scans whose grey values lie on another scale than they should: single voxels far from all others."""

from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import CasePrint, Intensity
from crossmatch.errors import listed

FAR = 1000.0  # times the distance between the percentiles 0.5 and 99.5 that the whole range of a usual scan is below


def reaches_far(values: Intensity) -> bool:
    """Whether less than one voxel in a hundred makes the range a thousand times as wide."""
    return 0 < FAR * (values.p99_5 - values.p00_5) < values.max - values.min


def far_voxels(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """Scans with a few voxels that leave all others hardly any contrast, as in maps of a quantity that was fitted."""
    found = []
    for channel, name in enumerate(dataset.channels):
        far = {case.id: case.intensity[channel] for case in cases if reaches_far(case.intensity[channel])}
        if far:
            first = next(iter(far.values()))
            where = f" (channel {name})" if len(dataset.channels) > 1 else ""
            found.append(
                f"a few voxels far from all others{where}: {listed(far)}; of the first, 99 % lie between "
                f"{first.p00_5:.4g} and {first.p99_5:.4g}, and all between {first.min:.4g} and {first.max:.4g}. Scaled "
                "by minmax or zscore, the others have hardly any contrast: cut these voxels off in the files, or train "
                "with --set data.normalise=percentile"
            )
    return found

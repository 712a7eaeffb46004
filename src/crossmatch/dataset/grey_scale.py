"""Scans whose grey values lie on another scale than they should: single voxels far from all others, or another zero."""

import numpy as np

from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import CasePrint, Intensity
from crossmatch.errors import listed

FAR = 1000.0  # times the distance between the percentiles 0.5 and 99.5 that the whole range of a usual scan is below
AIR_HU = -500.0  # in scans of Hounsfield units that show air, the lowest values lie below
AIR_AT_ZERO = (-50.0, 150.0)  # the lowest values of scans that show air, where 1024 or 1000 was added
ABOVE_TISSUE_HU = 700.0  # above it there is compact bone and metal alone, and no scan shows nothing else
SOFT_TISSUE_SHIFTED = 900.0  # where 1000 or so was added, more than one voxel in 200 lies above
HIGHER = 400.0  # how far the mean of such a scan lies above that of the others, at least
SHARE = 1 / 3  # of the scans with air or another zero that are in Hounsfield units, at least


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


def other_zeros(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """CT scans that are not in Hounsfield units like the others, as 1024 was added to their values.

    Scans that show no air, such as a part cut out of a body, are not among them: their lowest values are those of fat
    and noise, or they have no value of shifted tissue.
    """
    found = []
    for channel, name in enumerate(dataset.channels):
        scans = {case.id: case.intensity[channel] for case in cases}
        known = [one for one in scans.values() if one.p00_5 < AIR_HU and one.p99_5 > one.p00_5 - AIR_HU]
        usual = float(np.median([one.mean for one in known])) if known else 0.0
        other = [case for case, one in scans.items() if _is_shifted(one, usual)] if known else []
        if other and len(known) >= SHARE * (len(known) + len(other)):
            where = f" (channel {name})" if len(dataset.channels) > 1 else ""
            lowest = min(scans[case].min for case in other)
            found.append(
                f"grey values not in Hounsfield units, as those of {len(known)} others are{where}: {listed(other)}; "
                f"their lowest is {lowest:.4g}, as if 1000 or 1024 had been added because the rescale intercept was "
                "lost. The window of data.normalise=ct is then wrong for all scans: if they are CT, store them in "
                "Hounsfield units (air is at -1000), else take them out"
            )
    return found


def _is_shifted(values: Intensity, usual: float) -> bool:
    """Whether air lies at about 0 and tissue at about 1000, or all is above tissue; `usual`: the mean of the others."""
    if values.mean < usual + HIGHER:
        return False
    low, high = AIR_AT_ZERO
    air = values.min >= low and values.p00_5 <= high and values.p99_5 >= SOFT_TISSUE_SHIFTED
    return air or values.p00_5 >= ABOVE_TISSUE_HU

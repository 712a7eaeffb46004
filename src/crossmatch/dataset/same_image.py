"""By what an image is known again, whatever its case is called, wherever it lies and however it is stored."""

import hashlib
import json

from crossmatch.dataset.fingerprint import CasePrint

_DIGITS = 9  # of the statistics that equal voxels have in common, in whatever type they are summed up


def signature(case: CasePrint) -> object:
    """What equal images have in common, whatever type they are stored in and however they are turned."""
    statistics = [(each.min, each.max, each.mean, each.std) for each in case.intensity]
    return tuple(sorted(case.shape)), tuple(float(f"{value:.{_DIGITS}g}") for row in statistics for value in row)


def content_of(case: CasePrint) -> str:
    """A short digest of the signature. Scans of two patients have two, but for images of very few grey values."""
    return hashlib.sha256(json.dumps(signature(case)).encode()).hexdigest()[:16]

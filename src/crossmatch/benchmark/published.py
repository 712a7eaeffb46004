"""Published full-scale results of the compared methods, by data set and number of labels. `published.toml` holds them.

They are what papers and released code report: mostly single runs of other code on the public splits that the recipes
use, some with a checkpoint chosen on the test scans. They stand beside ours for orientation.
"""

import tomllib
from functools import cache
from importlib import resources
from typing import Any, NamedTuple


class Published(NamedTuple):
    """One published result; None: not reported."""

    dice: float  # percent
    jaccard: float | None  # percent
    hd95: float | None  # voxels
    asd: float | None  # voxels, directed from prediction to reference
    source: str


def published(dataset: str, labelled: str, method: str) -> Published | None:
    """What was published for a method, by its name in METHODS.

    Args:
        dataset: the name in dataset.json, as the importers write it.
        labelled: as ``data.labelled``: the number of labelled patients or scans, or ``all``.
        method: the method's name.
    """
    stored = _stored()
    found = stored["results"].get(dataset, {}).get(labelled, {}).get(method)
    if found is None:
        return None
    dice, jaccard, hd95, asd = (found.get(metric) for metric in ("dice", "jaccard", "hd95", "asd"))
    return Published(dice, jaccard, hd95, asd, stored["sources"][found["source"]])


@cache
def _stored() -> dict[str, Any]:
    path = resources.files("crossmatch") / "benchmark" / "published.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))

"""Published full-scale results of the compared methods, by data set and number of labels. `published.toml` holds them.

They are what papers and released code report: mostly single runs of other code on the public splits that the recipes
use, many with a checkpoint chosen on the scans that were then tested. They stand beside ours for orientation.
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
    source: str  # with the protocol: which checkpoint, component filter, runs
    validation_list: bool  # scores of validation cases, not of test cases
    last: float | None  # Dice of the last checkpoint, percent, where the one above was chosen on the tested scans


class Reports(NamedTuple):
    """What was published of a method with one number of labels."""

    own: Published | None  # by the method's authors
    others: Published | None  # in CrossMatch's table, or another one


NOTHING = Reports(None, None)


def published(dataset: str, labelled: str, method: str) -> Reports:
    """What was published for a method, by its name in METHODS.

    Args:
        dataset: the name in dataset.json, as the importers write it.
        labelled: as ``data.labelled``: the number of labelled patients or scans, or ``all``.
        method: the method's name.
    """
    found = _stored()["results"].get(dataset, {}).get(labelled, {}).get(method, {})
    return Reports(_report(found.get("own")), _report(found.get("others")))


def _report(found: dict[str, Any] | None) -> Published | None:
    if found is None:
        return None
    jaccard, hd95, asd = (found.get(metric) for metric in ("jaccard", "hd95", "asd"))
    source = _stored()["sources"][found["source"]]
    said = f"{source['text']}. Protocol: {source['protocol']}"
    return Published(found["dice"], jaccard, hd95, asd, said, source.get("validation_list", False), found.get("last"))


@cache
def _stored() -> dict[str, Any]:
    path = resources.files("crossmatch") / "benchmark" / "published.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))

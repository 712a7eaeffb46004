"""What run.json says of the dataset, and how two trees of settings differ."""

from typing import Any

from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import Fingerprint


def dataset_facts(dataset: Dataset, fingerprint: Fingerprint, labelled: list[str], unlabelled: int) -> dict[str, Any]:
    """What run.json says of the data.

    Args:
        labelled: names of the labelled training cases; unlabelled: the number of the others.
    """
    return {
        "root": str(dataset.root.resolve()),
        "name": dataset.name,
        "fingerprint": fingerprint.digest,
        "affine": [list(row) for row in fingerprint.cases[0].affine],  # the orientation that scans are stored in
        "labels": dataset.labels,
        "channels": list(dataset.channels),
        "slice_axis": dataset.slice_axis,
        "labelled": labelled,
        "unlabelled": unlabelled,
        "validation": [case.id for case in dataset.split("val")],
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Where two trees of settings differ, a sentence each: ``recipe.seed was 0, now 9``."""
    old, new = _flat(before), _flat(now)
    differing = (key for key in sorted(old | new) if old.get(key) != new.get(key))
    return [f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in differing]


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A tree as one dict with dotted keys."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{key}".lstrip(".")).items()}

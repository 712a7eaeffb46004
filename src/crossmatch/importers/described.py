"""Sources with a dataset.json of their own: what both kinds, the Decathlon's and nnU-Net's, say in it."""

from pathlib import Path
from typing import Any

from crossmatch.atomic import parse_json
from crossmatch.errors import UserError, way_out

Stated = dict[str, Any]  # the content of dataset.json, whose keys differ between programs


def read_stated(path: Path) -> Stated:
    """The content of a dataset.json.

    Raises:
        UserError: no text, or no JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as text ({error}): {way_out(error, 'copy it again')}.") from error
    return parse_json(text, Stated, str(path), "correct it; it holds an object with channel_names and labels")


def channels_of(path: Path, stated: Stated) -> tuple[str, ...]:
    """The names of the channels, in order, from channel_names or, in older files, modality."""
    names = stated.get("channel_names", stated.get("modality"))
    if isinstance(names, dict) and names and sorted(names) == sorted(str(n) for n in range(len(names))):
        return tuple(str(names[str(n)]) for n in range(len(names)))
    if isinstance(names, list) and names:
        return tuple(str(name) for name in names)
    raise UserError(f'{path} names no channels: write "channel_names": {{"0": "T1", "1": "T2"}} into it.')


def labels_of(path: Path, stated: Stated) -> dict[str, int]:
    """Name -> value in the files; ``ignore`` is a label among them.

    Args:
        path: of dataset.json; stated: its content.

    Raises:
        UserError: no labels, or labels of regions.
    """
    labels = stated.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise UserError(f'{path} names no labels: write "labels": {{"background": 0, "liver": 1}} into it.')
    found: dict[str, int] = {}
    for key, given in labels.items():
        name, value = (str(given), key) if isinstance(given, str) and str(key).isdigit() else (str(key), given)
        if isinstance(value, list):
            raise UserError(
                f"{path} has labels of regions ({name}: {value}), which overlap. Here each voxel has one label: import "
                "a copy of the folder in whose dataset.json each label has one value."
            )
        text = str(value)
        if isinstance(value, bool) or not text.removesuffix(".0").isdigit():
            raise UserError(f"{path} has the label {name} of value {value!r}: write a whole number.")
        found[name] = int(text.removesuffix(".0"))
    return found

"""Views that swap left and right, of scans whose labels tell the two apart."""

import re
from collections.abc import Sequence

import numpy as np

from crossmatch.dataset.orientation import Frame
from crossmatch.recipes.schema import Recipe

_SIDE = re.compile(r"(?<![a-z])(left|right|l|r|lh|rh|lt|rt|links|rechts)(?![a-z])")
_LEFT = {"left", "l", "lh", "lt", "links"}


def paired_sides(classes: tuple[str, ...]) -> tuple[str, str] | None:
    """A label for the left and one for the right of the same structure, found by name."""
    seen: dict[str, tuple[str, bool]] = {}
    for name in classes:
        spelled = re.sub(r"[_\-./]+", " ", re.sub(r"([a-z])([A-Z])", r"\1 \2", name)).lower()
        sides = _SIDE.findall(spelled)
        if len(sides) != 1:
            continue
        body, left = " ".join(_SIDE.sub("", spelled).split()), sides[0] in _LEFT
        other = seen.setdefault(body, (name, left))
        if body and other[1] != left:
            return other[0], name
    return None


def mirrored_sides(recipe: Recipe, classes: Sequence[str], frame: Frame | None, slice_axis: int) -> list[str]:
    """A warning where labels are left and right of one structure, and views of labelled images swap these.

    It is also given where weak views keep left and right apart, and the augmentation alone mixes them up.

    Args:
        classes: names of the labels; frame: see `Fingerprint.frame`. Where it is not known, any axis may be the one
            from left to right.
        slice_axis: along which volumes are cut into slices.
    """
    views = recipe.views
    augmented = views.augment.labelled or recipe.method_class.augmented
    mirrored = bool(augmented and views.augment.mirror_probability)
    pair = paired_sides(tuple(classes))
    if pair is None:
        return _only_augmentation(recipe) if mirrored else []
    of_patch = [0, 1, 2] if recipe.dims == 3 else [axis for axis in range(3) if axis != slice_axis]
    sideways = None if frame is None else int(np.abs(np.array(frame)[0, :3]).argmax())
    settings = []
    if views.weak.turn_probability and sideways in (None, *(of_patch[axis] for axis in views.weak.plane)):
        settings.append("views.weak.turn_probability")
    if mirrored and sideways in (None, *of_patch):
        settings.append("views.augment.mirror_probability")
    if not settings:
        return []
    return [
        f"{pair[0]} and {pair[1]} are left and right of one structure, and views of labelled images are mirrored, so "
        f"the network cannot tell them apart: set {' and '.join(settings)} to 0"
    ]


def _only_augmentation(recipe: Recipe) -> list[str]:
    """A remark where weak views keep left and right apart, and the augmentation of labelled images mixes them up."""
    if recipe.views.weak.turn_probability:
        return []
    return [
        "weak views are not flipped (views.weak.turn_probability is 0), but augmentation mirrors labelled images: left "
        "and right become alike. Set views.augment.mirror_probability to 0 too, or allow turns"
    ]

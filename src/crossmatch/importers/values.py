"""Label values: what the files of a source hold, and what becomes of it in the dataset, whose values are 0 to K-1.

Without a map one is proposed where there is no doubt: masks of 0 and one other value (0 and 255), and a few values with
small gaps (0, 1, 2, 4 of BraTS).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossmatch.dataset.layout import IGNORE
from crossmatch.errors import UserError, listed
from crossmatch.formats import Array

_COMMON = 0.5  # share of the label files that must hold a value, where rare ones fit no proposal


@dataclass(frozen=True)
class LabelValues:
    """What becomes of label values."""

    changed: dict[int, int]  # value in the files -> value in the dataset; those that stay are not in it
    labels: dict[str, int]  # name -> value in the dataset, 0..K-1
    meant: frozenset[int] | None = None  # values in the files that have a meaning; None: all that become a label
    joins: bool = False  # whether the user's map may make one label of several values of a file

    def new(self, value: int) -> int:
        """The value in the dataset of a value in the files."""
        return self.changed.get(value, value)

    def wrong(self, path: Path, found: Collection[int]) -> str | None:
        """What is wrong with the values of a file, and the way out; None where nothing is."""
        unknown = sorted(value for value in found if not self._means(value))
        if not unknown:
            joined = [] if self.joins else self._joined(found)
            return self._joining(path, joined[0]) if joined else None
        kept = ", ".join(f"{old}={new}" for old, new in self.changed.items())
        known = ", ".join(f"{value} {name}" for name, value in self.labels.items())
        grey = " (grey edges of a mask?)" if len(unknown) > 2 else ""
        way = f"say what they mean, for example --map {unknown[0]}=1"
        if self.meant is not None and unknown[0] not in self.meant:
            way = f"name them where the others are named, or make them background with --map {unknown[0]}=0"
        return (
            f"{path} holds the label values {listed(unknown)}{grey}; labels are {known}{kept and f', with {kept}'}: "
            f"correct the file, or {way}"
        )

    def _means(self, value: int) -> bool:
        """Whether a value in the files stands for a label."""
        return self.new(value) in self.labels.values() and (self.meant is None or value in self.meant)

    def _joined(self, found: Collection[int]) -> list[list[int]]:
        """The values that become one label, for each label but the background that several become."""
        sources: dict[int, list[int]] = {}
        for value in sorted(found):
            sources.setdefault(self.new(value), []).append(value)
        return [values for new, values in sources.items() if new and len(values) > 1]

    def _joining(self, path: Path, values: Sequence[int]) -> str:
        """That several values of a file would become one label, and the way out."""
        target = self.new(values[0])
        return (
            f"{path} holds the label values {listed(values)}, which would all become {target}: correct the file, or "
            f"say what they mean, for example --map {values[0]}={target}"
        )

    def told(self, found: Collection[int]) -> str:
        """What becomes of the values in the files; empty where all stay.

        Args:
            found: the values of all files that are taken.
        """
        stay = {value for values in self._joined(found) for value in values} - {*self.changed}
        changes = [f"{old} becomes {new}" for old, new in self.changed.items()]
        return ", ".join(changes + [f"{value} stays {value}" for value in sorted(stay)]) if changes else ""

    def turns(self, found: Collection[int]) -> bool:
        """Whether a file with these values has to be rewritten."""
        return any(self.new(value) != value for value in found)

    def apply(self, voxels: Array) -> Array:
        """Label voxels (*S) with the values of the dataset, uint8 where they fit."""
        kind = np.uint8 if len(self.labels) <= 256 else np.uint16
        mapped = voxels.astype(kind)
        for old, new in self.changed.items():
            mapped[voxels == old] = new
        return mapped


def values_in(path: Path, voxels: Array) -> set[int]:
    """The values of a label.

    Raises:
        UserError: a value that is no whole number.
    """
    found = np.unique(voxels)
    if voxels.dtype.kind == "f" and not (np.isfinite(found) & (found == np.round(found))).all():
        odd = next(value for value in found.tolist() if not np.isfinite(value) or value != round(value))
        raise UserError(f"{path} holds {odd:g}, which is no whole number: store label values.")
    return {int(value) for value in found.tolist()}


def choose_values(
    found: Mapping[Path, Collection[int]],
    wanted: Mapping[int, int],
    names: Mapping[int, str],
    stated: Mapping[str, int] | None,
) -> LabelValues:
    """Decide what becomes of the values.

    Args:
        found: label file -> its values.
        wanted: the user's map.
        names: the user's names; of values in the dataset, or in the files where there is no map.
        stated: name -> value in the files, where the source says so itself.

    Raises:
        UserError: values that no rule fits, or a map or names that leave a gap.
    """
    everywhere = set().union(*found.values())
    changed = {old: new for old, new in wanted.items() if old != new}
    joins = any(wanted.values())
    if stated is not None:
        given = {value: name for name, value in stated.items()}
        if not joins:
            changed |= _closed({*stated.values()} - {*wanted}, stated.get(IGNORE))
        new_names: dict[int, str] = {}
        for value in sorted(given, key=lambda value: (value in changed, value)):  # a value that stays keeps its name
            new_names.setdefault(changed.get(value, value), given[value])
        chosen = _named(changed, max(new_names), {**new_names, **names})
        return replace(chosen, meant=frozenset({0, *stated.values(), *wanted}), joins=joins)
    if joins:
        highest = max([*wanted.values(), *names])
        known = {*names, *wanted.values(), *(changed.get(value, value) for value in everywhere)}
        if gap := [value for value in range(1, highest) if value not in known]:
            raise UserError(
                f"Labels up to {highest} are given, and no file holds a label {gap[0]}: map values onto 0, 1, 2, ... "
                "without gaps."
            )
        return replace(_named(changed, highest, names), joins=True)
    if names:
        closed = _closed(names, next((value for value, name in names.items() if name == IGNORE), None))
        called = {closed.get(value, value): name for value, name in names.items()}
        chosen = _named(changed | closed, len({0, *names}) - 1, called)
        return replace(chosen, meant=frozenset({0, *names, *wanted}))
    for values in (everywhere - set(wanted), _common(found) - set(wanted)):  # what is mapped is mapped to background
        proposed = _proposal(values)
        if proposed is not None and (values - {0} or not wanted):
            return _named(changed | proposed, max(1, len({0, *values}) - 1), {})
    raise UserError(
        f"The label files hold the values {listed(sorted(everywhere))}, and what they mean cannot be guessed: say it, "
        'for example --map "500=1,600=2", or --names "1=liver,2=tumour" where values 1 and 2 stand for these '
        '("1=liver,255=ignore" where 255 marks voxels to ignore); a mask with grey edges has to be '
        "saved again without smoothing."
    )


def _proposal(values: Collection[int]) -> dict[int, int] | None:
    """A map onto 0, 1, 2, ... for values that leave no doubt; empty where they are these already."""
    foreground = sorted(value for value in values if value != 0)
    if any(value < 0 for value in foreground):
        return None
    few = len(foreground) == 1 or not foreground or foreground[-1] <= len(foreground) + max(1, len(foreground) // 3)
    return _closed(foreground) if few else None


def _closed(values: Collection[int], ignore: int | None = None) -> dict[int, int]:
    """The map that closes the gaps between values, in their order, that of ignore last; 0 stays."""
    foreground = sorted({*values} - {0}, key=lambda value: (value == ignore, value))
    return {old: new for new, old in enumerate(foreground, start=1) if old != new}


def _common(found: Mapping[Path, Collection[int]]) -> set[int]:
    """The values that most label files hold."""
    everywhere = set().union(*found.values())
    return {v for v in everywhere if sum(v in values for values in found.values()) >= _COMMON * len(found)}


def _named(changed: dict[int, int], highest: int, names: Mapping[int, str]) -> LabelValues:
    """Labels 0 to `highest`; those without a name are label_1, label_2, ..."""
    beyond = [value for value in names if not 0 <= value <= highest]
    if beyond:
        raise UserError(f"--names names the label value {beyond[0]}, but values are 0 to {highest}: correct it.")
    labels = {names.get(v, "background" if v == 0 else f"label_{v}"): v for v in range(highest + 1)}
    if len(labels) <= highest:
        raise UserError(f"Two labels have one name ({listed(names.values())}): correct --names.")
    return LabelValues(changed, labels)

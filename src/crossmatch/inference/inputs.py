"""The scans that a person points `predict` at: one file or a folder, grouped into cases and checked without voxels.

Shapes: *S is a scan in its file's axis order.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crossmatch import formats
from crossmatch.batches.items import stored_shape
from crossmatch.dataset.orientation import difference, states_axes, turn_grid, turn_into, turn_onto
from crossmatch.errors import UserError, listed
from crossmatch.formats import DEFAULT_ENDING, Grid
from crossmatch.importers.any_folder import NoChannelError, find
from crossmatch.importers.patterns import FoundBelow, scans_below
from crossmatch.importers.roles import role_of
from crossmatch.importers.set_aside import aside_notes
from crossmatch.importers.wishes import Wishes
from crossmatch.inference.channel_names import check_channels_beside
from crossmatch.inference.familiar import strange_size, strange_spacing
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.run import Run

_CHANNEL = re.compile(r"(.+)_(\d{4})")


class Scan(NamedTuple):
    """A case to segment."""

    name: str
    channels: tuple[Path, ...]  # one file a channel in order, or one that holds them all
    grid: Grid  # of the first, as stored

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it is read from."""
        return tuple(part for path in self.channels for part in formats.parts(path))


def find_scans(source: Path, run: Run, recipe: Recipe, warn: Callable[[str], None]) -> list[Scan]:
    """The scans of a file or folder, refused where the run's network cannot take them; no voxel is read.

    Args:
        source: see `group_channels`.
        run: says how many channels there are, along which axis scans are cut and how its own were stored.
        recipe: of the run, perhaps with other settings of prediction.
        warn: called with what the user should know about the scans.

    Raises:
        UserError: no scan, a file that cannot be read, channels on different grids, another number or order of them,
            other axes than the recipe's, an unknown voxel size where the recipe resamples.
    """
    check_channels_beside(source if source.is_dir() else source.parent, run, warn)
    return usable_scans(group_channels(source, run.data["channels"], warn), run, recipe, warn)


def usable_scans(
    groups: Mapping[str, tuple[Path, ...]], run: Run, recipe: Recipe, warn: Callable[[str], None]
) -> list[Scan]:
    """Scans whose files, one a channel, are known. Arguments and errors as of `find_scans`."""
    scans, failed = [], []
    for name, paths in groups.items():
        try:
            scans.append(_scan(name, paths, run, recipe))
        except UserError as error:
            failed.append(error)
    raise_together(failed, len(scans) + len(failed), "Nothing was predicted")
    for doubt in formats.doubts((scan.name, scan.grid.doubt) for scan in scans):
        warn(doubt)
    _warn_of_strange(scans, run, warn)
    return scans


def raise_together(failed: Sequence[UserError], total: int, then: str) -> None:
    """Raise the errors of some scans, if there are any, as one."""
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise UserError(f"{len(failed)} of {total} scans cannot be used. {then}. {listed(failed, ' ')}")


def _scan(name: str, paths: tuple[Path, ...], run: Run, recipe: Recipe) -> Scan:
    """A scan that the network can take; a UserError where it cannot."""
    grid, *others = (formats.read_grid(path) for path in paths)
    count, names = grid.channels + sum(other.channels for other in others), run.data["channels"]
    if count != len(names):
        raise UserError(
            f"{paths[0]} holds {count} channel{'s' * (count > 1)}, but the network takes {len(names)} "
            f"({', '.join(names)}): save it as the training images are, or choose another run."
        )
    for path, other in zip(paths[1:], others, strict=True):
        formats.refuse_other_turn(path, paths[0])
        if turn_onto(grid, other) is None:
            raise UserError(
                f"The channels of {name} lie on different grids. {path} against {paths[0].name}: "
                f"{difference(grid, other)}."
            )
    wanted = (recipe.data.spacing_mm, recipe.dims, run.data["slice_axis"], paths[0])
    turned = turn_grid(grid, turn_into(run.frame, grid))
    stored_shape(turned.shape, turned.spacing_mm, *wanted)  # a UserError where the recipe cannot take the scan
    return Scan(name, paths, grid)


def _warn_of_strange(scans: Sequence[Scan], run: Run, warn: Callable[[str], None]) -> None:
    """Warn of scans with other sizes and voxel sizes than the training's, and of those that are used as stored."""
    sizes, strange = [], []
    for scan in scans:
        turned = turn_grid(scan.grid, turn_into(run.frame, scan.grid))
        if told := strange_size(run, turned.shape):
            sizes.append(f"{scan.name} ({told})")
        if told := strange_spacing(run, turned.spacing_mm):
            strange.append(f"{scan.name} ({told})")
    if sizes:
        warn(f"of another size than the training knows: {listed(sizes, '; ')}; masks may be wrong")
    if strange:
        warn(f"of another voxel size than the training knows: {listed(strange, '; ')}; masks may be wrong")
    deep = [scan for scan in scans if len(scan.grid.shape) == 3]
    unknown = [scan.name for scan in deep if not states_axes(scan.grid)]
    if unknown and run.frame is not None:
        warn(f"of unknown orientation, so used as stored: {listed(unknown)}; look at a mask over its scan")
    elif run.frame is None and len(unknown) < len(deep):
        warn("the training scans do not state their orientation, so all scans are used as stored")


def group_channels(
    source: Path, names: Sequence[str], warn: Callable[[str], None] = lambda text: None
) -> dict[str, tuple[Path, ...]]:
    """The files of each case, one a channel in order.

    CASE_0000 and CASE_0001 are the channels of CASE. Where the network takes one channel, or one file may hold them all
    (a picture in colours), a file of any other name is a case of its own. A folder without such files, such as one with
    a folder a patient, or with t1 and flair in the names, is understood as `import folder` does.

    Args:
        source: a file (of any channel of a case), or a folder; hidden files are left out.
        names: of the channels that the network takes.
        warn: is told of all files of a folder that are not used.

    Raises:
        UserError: no such place, no image there, or a case with another number of channels.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist: give an image file or a folder of them.")
    channels = len(names)
    chosen: str | None = None
    if source.is_file():
        formats.ending(source)  # a UserError where no format claims the file
        chosen, _ = _split(str(formats.stem(source)), channels)
    folder = source if source.is_dir() else source.parent
    below = scans_below(folder) if chosen is None else FoundBelow([], [], {})
    for told in [*formats.unused_notes(folder, below.unclaimed), *aside_notes(below.aside)]:
        warn(f"in {folder}: {told}")
    if channels == 1:
        _refuse_numbers(folder, chosen)
    if chosen is not None and channels == 1:
        return {chosen: (source,)}
    found: dict[str, dict[int, Path]] = {}
    usable = set(below.scans)
    for stem, path in [*formats.files_in(folder), *(formats.series_in(folder) if chosen is None else [])]:
        case, channel = _split(stem, channels)
        if not (path in usable if chosen is None else case == chosen):
            continue
        if channel in found.setdefault(case, {}):
            raise UserError(
                f"{path} and {found[case][channel]} are both channel {channel} of {case}: move one of them elsewhere."
            )
        found[case][channel] = path
    numbered = any(_CHANNEL.fullmatch(str(formats.stem(path))) for files in found.values() for path in files.values())
    alone = channels == 1 or any(formats.holds_channels(path) for files in found.values() for path in files.values())
    if chosen is None and (not found or not (numbered or alone)):
        return _by_words(folder, names, below, warn)
    used = {path for files in found.values() for path in files.values()}
    if deeper := [str(path.relative_to(folder)) for path in below.scans if path not in used]:
        warn(f"in folders below {folder}, so not used: {listed(sorted(deeper))}; give each of these folders by itself")
    if chosen is None and (labels := _labels_among(found)):
        warn(f"labels by their names are passed over: {listed(labels)}")
        found = {case: files for case, files in found.items() if case not in labels}
    wrong = [
        case
        for case, files in found.items()
        if sorted(files) != list(range(channels)) and not (list(files) == [0] and formats.holds_channels(files[0]))
    ]
    if wrong:
        raise UserError(
            f"The network takes {channels} channels a case (CASE_0000 to CASE_{channels - 1:04d}), but "
            f"{listed(wrong)} in {folder} have others: add or rename files."
        )
    return {case: tuple(files[k] for k in sorted(files)) for case, files in found.items()}


def _labels_among(names: Iterable[str]) -> list[str]:
    """Names that say label, beside the same name without that word: anna_seg beside anna."""
    roles = {name: role_of((), name, ()) for name in names}
    keys = {role.key for role in roles.values() if not role.label}
    return [name for name, role in roles.items() if role.label and role.key in keys]


def _by_words(
    folder: Path, names: Sequence[str], below: FoundBelow, warn: Callable[[str], None]
) -> dict[str, tuple[Path, ...]]:
    """The scans of a folder of any layout, channels told apart by their names; labels are passed over."""
    if not below.scans:
        raise UserError(f"{folder} holds no image: put files named CASE_0000{DEFAULT_ENDING} into it.")
    try:
        found = find(folder, Wishes(channels=tuple(names)))
    except NoChannelError:
        raise UserError(
            f"The network takes {len(names)} channels a case ({', '.join(names)}), and one of them is in no file "
            f"name in {folder}: give each case one file that holds them all, as a picture in colours does, "
            f"or name its files CASE_0000 to CASE_{len(names) - 1:04d}."
        ) from None
    if found.left_out:
        first = next(iter(found.left_out.items()))
        raise UserError(
            f"{folder} has {len(found.left_out)} scans or files that cannot be used; the first: {first[0]} {first[1]}. "
            f"The network takes {', '.join(names)}: add or rename files, CASE_0000{DEFAULT_ENDING} being the first of "
            "them, or move others out."
        )
    used = {path for case in found.cases for path in case.images}
    if others := [str(path.relative_to(folder)) for path in below.scans if path not in used]:
        warn(f"labels or other channels by their names are passed over: {listed(sorted(others))}")
    return {case.name: case.images for case in found.cases}


def _refuse_numbers(folder: Path, chosen: str | None) -> None:
    """A UserError where 0000 may be a case number: liver_0000 beside liver_0001 would lose it, the others not."""
    numbers: dict[str, list[str]] = {}
    for stem, _ in formats.files_in(folder):
        if match := _CHANNEL.fullmatch(stem):
            numbers.setdefault(match[1], []).append(match[2])
    for case, found in numbers.items():
        if "0000" in found and len(set(found)) > 1 and chosen in (None, case, *(f"{case}_{each}" for each in found)):
            names = [f"{case}_{each}" for each in sorted(set(found))]
            raise UserError(
                f"{folder} has {listed(names)}: the last four digits are read as a channel, and the network takes one. "
                f"If they are case numbers, rename the files to {names[0]}_0000, {names[1]}_0000, ...; if they are "
                "channels, leave the first alone."
            )


def _split(stem: str, channels: int) -> tuple[str, int]:
    """The case and the channel that a file's name without ending stands for."""
    match = _CHANNEL.fullmatch(stem)
    if match and (channels > 1 or int(match[2]) == 0):
        return match[1], int(match[2])
    return stem, 0

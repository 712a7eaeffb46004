"""Find the cases in a folder of any layout: which files are images, which are their labels, which channels.

They are guessed from the words of folders and files (`roles`), or taken from the user's patterns. A file that fits no
guess is not imported; it is named with the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from crossmatch import formats
from crossmatch.dataset.dataset import SPLITS, Split
from crossmatch.errors import UserError, listed
from crossmatch.importers.mixed_sequences import refuse_mixed_sequences
from crossmatch.importers.patient_groups import with_patient_folder
from crossmatch.importers.patterns import ChosenFile, choose, remarks_on, scans_below
from crossmatch.importers.roles import SEQUENCES, Role, role_of
from crossmatch.importers.set_aside import without
from crossmatch.importers.wishes import Source, SourceCase, Wishes

_USUAL = 0.5  # share of the cases that must have a channel, for it to be one of the dataset

_WAY_OUT = (
    'Name them, as folders or patterns below the source: --images scans --labels masks, or --images "*/t1.*" '
    '--labels "*/seg.*", where * stands for the case'
)


class NoChannelError(UserError):
    """No image's name contains a channel that was asked for."""


def find(source: Path, wishes: Wishes) -> Source:
    """The cases of a folder.

    Raises:
        UserError: no such folder, no scan in it, a pattern that nothing matches, no image.
    """
    below = scans_below(source)
    if not below.scans:
        endings = ", ".join(formats.endings())
        passed = [f"{source} holds no scan (files that end in {endings}): name another."]
        raise UserError(" ".join(passed + remarks_on(source, [], below.aside)))
    files = choose(source, below, wishes)
    wanted = [channel.lower() for channel in wishes.channels]
    roles = [(file, _role(file, wanted or SEQUENCES)) for file in files]
    images = [(file, role) for file, role in roles if not role.label]
    labels = [(file, role) for file, role in roles if role.label]
    if not images:
        raise UserError(
            f"{source} holds no image, only files that are labels by their names: {_shown(files)}. {_WAY_OUT}."
        )
    found = Source([], (), None)
    channels = _channels(images, wanted)
    named = {role.channel for _, role in images}
    if not channels and not wanted:
        refuse_mixed_sequences(source, [(file.path, role.channel) for file, role in images])
    if not channels:  # words of other sequences belong to the names
        images = [(file, _role(file, ())) for file, _ in images]
        labels = [(file, _role(file, ())) for file, _ in labels]
    elif wanted and len(wanted) == 1:
        images = [(file, role) for file, role in images if role.channel == wanted[0]]
    told_apart = with_patient_folder([role for _, role in images])
    images = [(file, role) for (file, _), role in zip(images, told_apart, strict=True)]
    images, labels = _without_common_folders(images), _without_common_folders(labels)
    if _one_for_all(role.parts for _, role in images):  # ct.nii.gz in each folder: the folder is the case
        images = [(file, role._replace(parts=role.parts[:-1])) for file, role in images]
    if _one_for_all(role.key for _, role in images):
        last = images[0][1].key[-1]
        images = [(file, role._replace(key=role.key[:-1])) for file, role in images]
        labels = [(f, role._replace(key=role.key[:-1]) if role.key[1:][-1:] == (last,) else role) for f, role in labels]
    alone = tuple(name for name in named if name) if len(named) == 1 else ()
    found.channels = tuple(wishes.channels) or tuple(channels) or alone
    cases = _grouped(images, channels, found)
    told = {path for case in cases.values() for path in case.images}
    told |= {file.path for file, role in images if role.key not in cases}  # the case is left out with the reason
    spare = [file.path.relative_to(source) for file, role in roles if not role.label and file.path not in told]
    if spare:
        found.remarks.append(f"Not used, as they are none of the channels {', '.join(channels)}: {listed(spare)}.")
    _add_labels(cases, images, labels, found)
    _refuse_cases_of_one_name(found)
    found.cases.sort(key=lambda case: case.name)
    named_by = {file.path for file in files}
    found.remarks += remarks_on(source, below.unclaimed, without(source, below.aside, named_by))
    if rest := len(set(below.scans) - named_by):
        found.remarks.append(f"{rest} of {len(below.scans)} scans match no pattern and are not used.")
    return found


def _role(file: ChosenFile, channels: Iterable[str]) -> Role:
    role = role_of(file.parts[:-1], file.parts[-1] if file.parts else "", tuple(channels))
    named = role_of(file.path.parts[-2:-1], formats.stem(file.path) or file.path.name, tuple(channels))
    channel = role.channel or (named.channel if file.label is False or not role.label else None)
    split: Split = "test" if file.test else role.split
    return role._replace(channel=channel, split=split, label=role.label if file.label is None else file.label)


def _channels(images: list[tuple[ChosenFile, Role]], wanted: list[str]) -> list[str]:
    """The channels by which images are told apart: those asked for, or sequences that most cases have; else none."""
    by_case: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for _, role in images:
        by_case[role.key] |= {role.channel} if role.channel else set()
    counts = Counter(channel for channels in by_case.values() for channel in channels)
    if len(wanted) == 1:
        return wanted if counts[wanted[0]] else []  # else it only names the one channel
    if wanted:
        absent = [channel for channel in wanted if not counts[channel]]
        if absent:
            raise NoChannelError(
                f"--channels {','.join(wanted)}: {absent[0]} is a word of no image's name: correct it."
            )
        return wanted
    usual = [channel for channel in SEQUENCES if counts[channel] > _USUAL * len(by_case)]
    return usual if len(usual) > 1 else []


def _without_common_folders(files: list[tuple[ChosenFile, Role]]) -> list[tuple[ChosenFile, Role]]:
    """Roles without the folders in which all files of a split lie, as these tell no case: photos/anna, photos/bert.

    The largest split says how many: of a split with one file every folder is common.
    """
    groups = [[(file, role) for file, role in files if role.split == split] for split in SPLITS]
    groups.sort(key=len, reverse=True)
    depth = _common_depth([role for _, role in groups[0]]) if len(groups[0]) > 1 else 0
    found = []
    for group in groups:
        n = min(depth, _common_depth([role for _, role in group]))
        found += [(file, role._replace(key=role.key[n:], parts=role.parts[n:])) for file, role in group]
    return found


def _common_depth(roles: Sequence[Role]) -> int:
    """How many outermost folders are common to the keys and names of all; a part is left of each."""
    together = [*(role.key[:-1] for role in roles), *(role.parts[:-1] for role in roles)]
    depth = 0
    while together and all(len(parts) > depth for parts in together) and len({parts[depth] for parts in together}) == 1:
        depth += 1
    return depth


def _one_for_all(names: Iterable[tuple[str, ...]]) -> bool:
    """Whether all files have one name and lie in folders."""
    found = set(names)
    return len(found) > 1 == len({parts[-1:] for parts in found}) and all(len(parts) > 1 for parts in found)


def _grouped(
    images: list[tuple[ChosenFile, Role]], channels: list[str], found: Source
) -> dict[tuple[str, ...], SourceCase]:
    """The cases by key, without labels; those with too few or too many files are left out."""
    groups: dict[tuple[str, ...], list[tuple[ChosenFile, Role]]] = defaultdict(list)
    for file, role in images:
        groups[role.key].append((file, role))
    cases: dict[tuple[str, ...], SourceCase] = {}
    for key, group in groups.items():
        name = " ".join("__".join(group[0][1].parts or key).split()) or formats.spelled(group[0][0].path.parent.name)
        by_channel: dict[str | None, list[Path]] = defaultdict(list)
        for file, role in group:
            by_channel[role.channel if channels else None].append(file.path)
        doubled = [
            paths for channel, paths in by_channel.items() if len(paths) > 1 and (channel in channels or not channels)
        ]
        missing = [channel for channel in channels if channel not in by_channel]
        if doubled:
            both = " and ".join(str(path) for path in doubled[0])
            found.left_out[name] = f"has two files for one image, {both}: remove one, or tell them apart by --images"
        elif missing:
            found.left_out[name] = f"lacks {' and '.join(missing)}: it has {listed(file.path for file, _ in group)}"
        else:
            files = tuple(by_channel[channel][0] for channel in (channels or by_channel))
            cases[key] = SourceCase(name, files, None, group[0][1].split, next(iter(group[0][1].folders), None))
    return cases


def _add_labels(
    cases: dict[tuple[str, ...], SourceCase],
    images: list[tuple[ChosenFile, Role]],
    labels: list[tuple[ChosenFile, Role]],
    found: Source,
) -> None:
    """Put each label to the case of its key. One that lies in no folder may belong to an image in a folder."""
    known = {role.key for _, role in images}
    by_file: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for key in known:
        by_file[key[-1] if key else ""].append(key)
    placed: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for file, role in labels:
        others = by_file[role.key[0]] if len(role.key) == 1 else []
        if role.key in known or len(others) == 1:
            placed[role.key if role.key in known else others[0]].append(file.path)
        else:
            found.left_out[str(file.path)] = "is a label without an image of that name"
    for key, case in cases.items():
        paths = placed[key]
        if len(paths) > 1:
            files = " and ".join(str(path) for path in paths)
            found.left_out[case.name] = f"has two labels, {files}: remove one, or tell them apart by --labels"
        else:
            found.cases.append(replace(case, label=paths[0] if paths else None))


def _refuse_cases_of_one_name(found: Source) -> None:
    """Leave out cases whose names are equal, or differ in upper and lower case only."""
    names = Counter(case.name.casefold() for case in found.cases)
    for case in found.cases:
        if names[case.name.casefold()] > 1:
            same = " and ".join(
                str(each.images[0]) for each in found.cases if each.name.casefold() == case.name.casefold()
            )
            found.left_out[str(case.images[0])] = (
                f"gives one case name, upper or lower case apart, with another: {same}"
            )
    found.cases = [case for case in found.cases if names[case.name.casefold()] == 1]


def _shown(files: Iterable[ChosenFile]) -> str:
    return listed(file.path for file in files)

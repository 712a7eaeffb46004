"""Which cases are of one patient: those of one folder, and DICOM series with one PatientID.

anna/anna_1.png, anna/anna_2.png        one patient, anna
train/anna/1.png, test/anna/2.png       one patient in two splits, which is refused
train/1.png, test/2.png                 these folders tell no patient
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from crossmatch import formats
from crossmatch.dataset.dataset import SPLITS
from crossmatch.dataset.patients import patient_of
from crossmatch.errors import UserError, listed
from crossmatch.importers.roles import Role, says_no_patient
from crossmatch.importers.wishes import Source, SourceCase

FOLDER_BEFORE_FILE = r"^(.+?)(?:__.*)?$"  # of case names FOLDER__FILE: the folder
_SAYS_OTHERWISE = "(--patient says otherwise)"


def with_patient_folder(roles: Sequence[Role]) -> list[Role]:
    """Roles of images whose `folders` are cut to the outermost one that tells patients apart, or to none.

    Folders in which all images of a split lie tell no patient. The largest split says how many of them there are.
    """
    told = [role._replace(folders=tuple(each for each in role.folders if not says_no_patient(each))) for role in roles]
    common = {split: _common([role.folders for role in told if role.split == split]) for split in SPLITS}
    sizes = Counter(role.split for role in told)
    largest = max(SPLITS, key=lambda split: sizes[split])
    depth = common[largest] if sizes[largest] > 1 else 0
    cut = {split: min(depth, common[split]) for split in SPLITS}
    return [role._replace(folders=role.folders[cut[role.split] :][:1]) for role in told]


def _common(ways: Sequence[tuple[str, ...]]) -> int:
    """How many outermost folders are common to all."""
    depth = 0
    while ways and all(len(way) > depth for way in ways) and len({way[depth] for way in ways}) == 1:
        depth += 1
    return depth


def state_patients(source: Source, cases: Sequence[SourceCase]) -> None:
    """Say in `source` which of its cases are of one patient, unless it says so already; remarks tell the user.

    If all cases with labels would be of one patient, folders or headers tell no patients, and cases stay apart.
    """
    if source.patient_regex is not None or source.patients:
        return
    by_name = {case.name: patient_of(case.name, None, Path()) for case in cases}
    spelled: dict[str, str] = {}
    folders = {case.name: spelled.setdefault(case.folder.casefold(), case.folder) for case in cases if case.folder}
    patients, remarks = by_name | folders, list[str]()
    if _is_one(patients, cases) and not _is_one(by_name, cases):
        remarks.append(
            "All cases with labels lie in one folder, so folders tell no patients, and each case counts as one by its "
            f"name {_SAYS_OTHERWISE}."
        )
        patients = by_name
    elif several := [f"{each} ({count} cases)" for each, count in Counter(folders.values()).items() if count > 1]:
        remarks.append(f"The cases of a folder count as one patient {_SAYS_OTHERWISE}: {listed(several)}.")
    by_header, together = _joined(patients, _of_one_header(cases))
    if _is_one(by_header, cases) and not _is_one(patients, cases):
        remarks.append("All cases with labels have one PatientID in their DICOM headers, so it tells no patients.")
    elif together:
        names = listed((" and ".join(group) for group in together), "; ")
        remarks.append(
            f"Cases with one PatientID in their DICOM headers count as one patient {_SAYS_OTHERWISE}: {names}."
        )
        patients = by_header
    before_file = {name: name.partition("__")[0] or name for name in patients}
    if any("__" in name for name in patients) and _alike(patients, before_file):
        source.patient_regex = FOLDER_BEFORE_FILE
        remarks = [f"Cases are named FOLDER__FILE; a folder counts as one patient {_SAYS_OTHERWISE}."]
    elif not _alike(patients, by_name):
        source.patients = patients
    source.remarks += remarks


def refuse_patients_in_two_splits(root: Path, cases: Iterable[SourceCase], patient: Callable[[str], str]) -> None:
    """Refuse patients of whom one case is learned from and another is for validation or testing.

    Args:
        root: the source, for the message; patient: gives the patient of a case's name.

    Raises:
        UserError: there is such a patient.
    """
    groups: dict[str, list[SourceCase]] = defaultdict(list)
    for case in cases:
        groups[patient(case.name)].append(case)
    torn = []
    for name, group in groups.items():
        first = {case.split: case.name for case in reversed(group)}
        if len(first) > 1:
            torn.append(f"{name} ({' and '.join(f'{first[split]} in {split}' for split in SPLITS if split in first)})")
    if torn:
        raise UserError(
            f"{root}: cases of one patient lie in different splits: {listed(torn, '; ')}. Scores on patients that were "
            "learned from mean little: move all cases of a patient to one split. If each case is of another patient, "
            'say so: --patient "(.+)".'
        )


def _is_one(patients: Mapping[str, str], cases: Iterable[SourceCase]) -> bool:
    """Whether all cases with labels, two or more, are of one patient."""
    labelled = [patients[case.name] for case in cases if case.label is not None]
    return len(labelled) > 1 == len(set(labelled))


def _alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two ways to name patients group the cases alike."""
    pairs = {(one[name], other[name]) for name in one}
    return len(pairs) == len(set(one.values())) == len(set(other.values()))


def _of_one_header(cases: Iterable[SourceCase]) -> list[list[str]]:
    """Groups of cases that are DICOM series with one PatientID."""
    groups: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        series = next((path for path in case.images if path.is_dir()), None)
        if series is not None and (number := formats.patient_id(series)):
            groups[number].append(case.name)
    return [names for names in groups.values() if len(names) > 1]


def _joined(patients: Mapping[str, str], groups: Iterable[list[str]]) -> tuple[dict[str, str], list[list[str]]]:
    """The patients after each of these groups became one, and the groups that were not one before."""
    found, together = dict(patients), []
    for names in groups:
        before = {found[name] for name in names}
        if len(before) > 1:
            together.append(names)
            found = {name: found[names[0]] if one in before else one for name, one in found.items()}
    return found, together

"""What `check` warns of: data that can be used for training, but may not be what its owner thinks."""

from collections import defaultdict

from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import CasePrint
from crossmatch.dataset.misnamed import likely_folders
from crossmatch.dataset.orientation import WAY_OUT, others
from crossmatch.errors import listed


def check_warnings(dataset: Dataset, cases: tuple[CasePrint, ...]) -> tuple[str, ...]:
    """All warnings about a dataset, those about leaks first."""
    return (
        *_equal_images(cases),
        *likely_folders(dataset.root),
        *_unused_files(dataset),
        *_no_labels(cases),
        *_absent_labels(dataset, cases),
        *_empty_labels(cases),
        *_mixed_orientations(cases),
        *_mixed_spacings(cases),
    )


def _equal_images(cases: tuple[CasePrint, ...]) -> list[str]:
    """Cases with equal images, those in different splits first."""
    groups: dict[str, list[CasePrint]] = defaultdict(list)
    for case in cases:
        groups[case.image_sha256].append(case)
    leaks, doubles = [], []
    for group in groups.values():
        splits = {case.split for case in group}
        if len(splits) > 1:
            names = " and ".join(f"{case.id} ({case.split})" for case in group)
            leaks.append(f"LEAK: {names} are the same image in different splits: scores on it mean nothing, remove one")
        elif len(group) > 1:
            doubles.append(f"{' and '.join(case.id for case in group)} ({group[0].split}) are the same image")
    return leaks + doubles


def _unused_files(dataset: Dataset) -> list[str]:
    """What lies beside the scans and is none: perhaps a scan under a name that nothing knows."""
    if not dataset.unused:
        return []
    names = listed(path.relative_to(dataset.root) for path in dataset.unused)
    return [f"not used, as no format claims the name: {names}"]


def _no_labels(cases: tuple[CasePrint, ...]) -> list[str]:
    """Nothing to learn from."""
    if any(case.label_voxels is not None for case in cases if case.split == "train"):
        return []
    return ["no training case has a label, so nothing can be trained: put label files into labelsTr, named as cases"]


def _absent_labels(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """Declared labels that no training label shows."""
    counts = [case.label_voxels for case in cases if case.split == "train" and case.label_voxels is not None]
    return [
        f"no training label shows {name} (value {value}): it cannot be learned"
        for name, value in dataset.labels.items()
        if counts and not any(count[value] for count in counts)
    ]


def _empty_labels(cases: tuple[CasePrint, ...]) -> list[str]:
    """Labels that are background alone: a scan without the organ, or one that was never drawn on."""
    empty = [case.id for case in cases if case.label_voxels is not None and not any(case.label_voxels[1:])]
    if not empty:
        return []
    return [f"labels without a foreground voxel: {listed(empty)}; if they were never drawn, remove the label files"]


def _mixed_orientations(cases: tuple[CasePrint, ...]) -> list[str]:
    found = others([(case.id, case.affine) for case in cases])
    if not found:
        return []
    return [f"stored with other axes than {cases[0].id}, swapped or flipped: {listed(found)}; {WAY_OUT}"]


def _mixed_spacings(cases: tuple[CasePrint, ...]) -> list[str]:
    unknown = [case.id for case in cases if case.spacing_mm is None]
    if not unknown or len(unknown) == len(cases):
        return []
    return [f"of unknown voxel size, while others know theirs: {listed(unknown)}; correct their files"]

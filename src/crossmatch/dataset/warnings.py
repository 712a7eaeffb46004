"""What `check` warns of: data that can be used for training, but may not be what its owner thinks."""

from dataclasses import replace

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import CasePrint, Fingerprint
from crossmatch.dataset.grey_scale import far_voxels, other_zeros
from crossmatch.dataset.leaks import alike_names, equal_images
from crossmatch.dataset.mask_like import like_masks
from crossmatch.dataset.unread import unread
from crossmatch.errors import listed
from crossmatch.formats import in_mm, not_slices, unused_notes

CLEARLY_COARSER = 2.0  # times the other voxel distances: how far slices lie apart where an axis is that of slices


def file_warnings(dataset: Dataset, cases: tuple[CasePrint, ...]) -> tuple[str, ...]:
    """Warnings for which files are opened. They hold as long as the files do, and are kept with what was found."""
    return (*equal_images(dataset, cases), *_beside_slices(dataset))


def with_all_warnings(dataset: Dataset, stored: Fingerprint) -> Fingerprint:
    """A fingerprint with all warnings; as it is stored, it has those of `file_warnings` and of doubtful files alone.

    The others are made anew whenever it is read: what they rest on may change without a change to any case.
    """
    return replace(stored, warnings=(*stored.warnings, *check_warnings(dataset, stored.cases)))


def check_warnings(dataset: Dataset, cases: tuple[CasePrint, ...]) -> tuple[str, ...]:
    """All other warnings about a dataset, from its lists, dataset.json, folders and what was found in its cases."""
    return (
        *alike_names(dataset),
        *_learned_from_test(dataset),
        *unused_notes(dataset.root, [path.relative_to(dataset.root) for path in dataset.unused]),
        *unread(dataset.root),
        *_cut_across(dataset, cases),
        *like_masks(cases),
        *_no_labels(cases),
        *_absent_labels(dataset, cases),
        *_empty_labels(cases),
        *_turned_labels(cases),
        *_transposed_pictures(dataset, cases),
        *_unknown_axes(cases),
        *_mixed_spacings(cases),
        *far_voxels(dataset, cases),
        *other_zeros(dataset, cases),
    )


def _learned_from_test(dataset: Dataset) -> list[str]:
    """Images of the folder of test cases that a list names for training, while no list says which are test cases."""
    if (dataset.root / "splits" / "test.txt").is_file():
        return []
    used = [case for case in dataset.cases if case.split != "test" and case.images[0].parent.name == "imagesTs"]
    if not used:
        return []
    names = listed(f"{case.id} ({case.split})" for case in used)
    return [
        f"images in imagesTs, the folder of test cases, that are learned from because a list in splits/ names them: "
        f"{names}; if this is meant, write the test cases into splits/test.txt, else take them out of that list"
    ]


def _beside_slices(dataset: Dataset) -> list[str]:
    """What lies beside the slices of a series and is none: perhaps a scan under a name that nothing knows."""
    series = [path for case in dataset.cases for path in case.images if path.is_dir()]
    unused = [path for folder in series for path in not_slices(folder)]
    return unused_notes(dataset.root, [path.relative_to(dataset.root) for path in unused])


def _no_labels(cases: tuple[CasePrint, ...]) -> list[str]:
    """Nothing to learn from."""
    if any(case.label_voxels is not None for case in cases if case.split == "train"):
        return []
    return ["no training case has a label, so nothing can be trained: put label files into labelsTr, named as cases"]


def _cut_across(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """Volumes that are cut along another axis than the one along which their slices follow each other."""
    spacings = [case.spacing_mm for case in cases if case.spacing_mm is not None and len(case.shape) == 3]
    if not spacings:
        return []
    usual = np.median(spacings, axis=0)
    coarsest = int(usual.argmax())
    if coarsest == dataset.slice_axis or usual[coarsest] < CLEARLY_COARSER * np.delete(usual, coarsest).max():
        return []
    return [
        f"slices are cut along axis {dataset.slice_axis}, but voxels of {in_mm(usual.tolist())} were taken slice by "
        f'slice along axis {coarsest}: write "slice_axis": {coarsest} into dataset.json; in 3D, turns are drawn in the '
        "plane of the first two axes, so store that axis last"
    ]


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


def _turned_labels(cases: tuple[CasePrint, ...]) -> list[str]:
    turned = [case.id for case in cases if case.label_turned]
    if not turned:
        return []
    return [
        f"labels stored with other axes than their images: {listed(turned)}; each voxel is put where the header of the "
        "label says, so look at one over its image in a viewer"
    ]


def _transposed_pictures(dataset: Dataset, cases: tuple[CasePrint, ...]) -> list[str]:
    """Masks that are square pictures, on scans of which a picture's rows may be either axis."""
    shapes = {case.id: case.shape for case in cases}
    doubtful = [
        case.id
        for case in dataset.cases
        if case.label is not None and formats.may_be_transposed(case.label, case.images[0], shapes[case.id])
    ]
    if not doubtful:
        return []
    return [
        f"square pictures as masks of scans of another format: {listed(doubtful)}; their columns were taken for the "
        "first axis of the scan, and their rows for the second. A program that saved one array as both may have meant "
        "the reverse: look at one over its image, for instance in `crossmatch review`, and if it is turned, save the "
        "masks in the format of the scans"
    ]


def _unknown_axes(cases: tuple[CasePrint, ...]) -> list[str]:
    """Scans that are used as stored, among others that are turned to one orientation."""
    unknown = [case.id for case in cases if not case.oriented]
    if not unknown or len(unknown) == len(cases):
        return []
    return [
        f"of unknown orientation, while others state theirs: {listed(unknown)}; they are used as stored, so store them "
        "like the others, or with a header that states it"
    ]


def _mixed_spacings(cases: tuple[CasePrint, ...]) -> list[str]:
    unknown = [case.id for case in cases if case.spacing_mm is None]
    if not unknown or len(unknown) == len(cases):
        return []
    return [f"of unknown voxel size, while others know theirs: {listed(unknown)}; correct their files"]

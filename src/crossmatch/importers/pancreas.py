"""Import Pancreas-CT (NIH, 82 contrast-enhanced abdominal CT scans) in one of its two incompatible variants.

Both resample, clip to the window -125 to 275 HU and crop around the reference label, but not alike:

- A, the UA-MT family (ycwu1997/MC-Net@fee453c, data/Pancreas/Pre-processing.ipynb): resample to 1 mm; clip; crop in x
  and y to the label's box, widened to 96 voxels, and 25 more on each side; z-score over the crop. 62 training and 20
  test scans (data/Pancreas/{train,test}.list, ibid.).
- B (koncle/CoraNet@b9d454c, preprocess/pancreas_preprocess.py; BCP takes its data): resample to 1 mm as if slices lay
  as far apart as rows do, so that z is scaled by the distance of rows; clip; min-max to [0, 1] over the whole scan;
  crop along all axes to the box and 25 on each side, at least 96 wide. Scans 25 and 70 are left out. 62 training and
  18 test scans (data_lists/pancreas, ibid.).

Two things differ from the released code. Interpolation is that of `resample`, means and linear; A used B-splines. The
box is symmetric; A's ends one voxel earlier and B's one later. The affine keeps the true distance of voxels, also in z
of B. The labelled 6 and 12 are the first lines of the training lists. DTC's notebook (HiLab-git/DTC@83e4977) shows
scans that are cropped along z too, so its own files were not exactly A.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from crossmatch.batches.resample import new_affine, new_size, resize_image, resize_labels
from crossmatch.dataset.dataset import Dataset
from crossmatch.dataset.fingerprint import Progress
from crossmatch.errors import UserError, listed
from crossmatch.formats import Array, Volume, new_volume, spacing_of
from crossmatch.importers.pancreas_hdf5 import find_hdf5
from crossmatch.importers.pancreas_raw import Remarks, find_raw
from crossmatch.importers.shared import Read, Readable, Tell, write_import

LABELS = {"background": 0, "pancreas": 1}
LABELLED = (6, 12)
WINDOW = (-125.0, 275.0)  # HU, both variants
MARGIN = 25  # voxels around the label, both variants
PATCH = 96  # voxels: no crop is narrower than the training patch of both families
DUPLICATES = ("pancreas_0025", "pancreas_0070")  # crops of scan 2, taken back by TCIA on 10 September 2020

VARIANTS = {
    "A": "1 mm, crop in x and y, z-score, 62 + 20 scans (UA-MT family, MC-Net)",
    "B": "slices taken to be as far apart as rows, crop on all axes, min-max, 62 + 18 scans (CoraNet, BCP)",
}

TREES = """\
TCIA's own files                                 or, for variant A, the community's HDF5 files
  SRC/Pancreas-CT/PANCREAS_0001/*/*/*.dcm          SRC/Pancreas_h5/image0001_norm.h5
  SRC/TCIA_pancreas_labels-02-05-2017/             SRC/Pancreas_h5/image0002_norm.h5 ...
      label0001.nii.gz ..."""


def import_pancreas(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    variant: str,
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Dataset:
    """Write one variant of Pancreas-CT into `target` in the layout of `open_dataset`, and check it.

    Args:
        source: the folder of either form; see `TREES`.
        target: the dataset's new folder; it must not exist, or be empty.
        variant: "A" or "B"; see `VARIANTS`.
        progress: called with (cases written, cases in all).
        tell: called with each remark: what is missing, left out, or was turned.

    Raises:
        UserError: another variant, source in neither form, HDF5 files for B, no training scan, a damaged scan or one
            that does not fit its label, a target that is not empty.
    """
    source = Path(source)
    tell = tell or (lambda remark: None)
    if variant not in VARIANTS:
        known = "; ".join(f"{name}: {what}" for name, what in VARIANTS.items())
        raise UserError(f"Pancreas-CT has no variant {variant!r}; choose one, they are not comparable: {known}.")
    if not source.is_dir():
        raise UserError(f"{source} is no folder; Pancreas-CT is imported from\n{TREES}")
    remarks: Remarks = {}
    prepare = prepare_a if variant == "A" else prepare_b
    passed_over: list[Path] = []
    raw = find_raw(source, remarks, tell, passed_over)
    cases = {name: each._replace(read=partial(_prepared, name, each.read, prepare)) for name, each in raw.items()}
    community = find_hdf5(source)
    if cases and community:
        tell(f"TCIA's files are imported; {len(community)} imageNNNN_norm.h5 files beside them are not read")
        passed_over += (file for each in community.values() for file in each.files)
    if not cases:
        cases = community
        if cases and variant == "B":
            raise UserError(
                f"{source} holds imageNNNN_norm.h5 files, which are variant A, resampled and cropped in its way: "
                "import them as A, or make B from TCIA's DICOM files."
            )
    if not cases:
        raise UserError(f"{source} does not hold Pancreas-CT; it is imported from\n{TREES}")
    _tell_duplicates(cases, variant, tell)
    passed_over += (file for name in DUPLICATES if name in cases for file in cases[name].files)
    description = {
        "name": f"Pancreas-CT {variant}",
        "description": f"Abdominal CT, portal-venous; variant {variant}: {VARIANTS[variant]}",
        "reference": "doi:10.7937/K9/TCIA.2016.tNB1kqBU",
        "channel_names": {"0": "CT"},
        "labels": LABELS,
    }
    dataset = write_import(source, target, cases, standard_lists(variant), description, progress, tell, passed_over)
    for remark, names in remarks.items():
        tell(f"the labels of {len(names)} scans ({listed(names)}) {remark}")
    return dataset


def standard_lists(variant: str) -> dict[str, list[str]]:
    """The case names of train, test, train_6_label and train_12_label; there is no validation list."""
    folder = package_files("crossmatch.importers") / "splits" / f"pancreas_{variant.lower()}"
    names = ["train", "test", *(f"train_{n}_label" for n in LABELLED)]
    return {name: (folder / f"{name}.txt").read_text(encoding="utf-8").split() for name in names}


def prepare_a(image: Volume, label: Array) -> tuple[Volume, Array]:
    """Variant A of a scan in HU and its label, both (x, y, z), as float32 and uint8."""
    image, label = _resample(image, label, spacing_of(image.affine))
    image, label = crop(_with(image, image.voxels.clip(*WINDOW)), label, axes=(0, 1), least=PATCH + 2 * MARGIN)
    return _with(image, (image.voxels - image.voxels.mean()) / image.voxels.std()), label


def prepare_b(image: Volume, label: Array) -> tuple[Volume, Array]:
    """Variant B of a scan in HU and its label, both (x, y, z), as float32 and uint8."""
    rows = spacing_of(image.affine)[1]
    image, label = _resample(image, label, (rows, rows, rows))
    values = image.voxels.clip(*WINDOW)
    scaled = (values - values.min()) / (values.max() - values.min())
    return crop(_with(image, scaled), label, axes=(0, 1, 2), least=PATCH)


def crop(image: Volume, label: Array, axes: Sequence[int], least: int) -> tuple[Volume, Array]:
    """Cut image and label, (x, y, z), to the label's box and `MARGIN` voxels around it, inside the scan.

    Args:
        axes: the axes to cut; the others stay whole.
        least: voxels to keep along a cut axis, if the scan has so many. A narrower box grows on both sides, and is
            moved if it would leave the scan.
    """
    start, box = np.zeros(3), [slice(None)] * 3
    for axis in axes:
        size = label.shape[axis]
        filled = np.flatnonzero(label.any(axis=tuple(other for other in range(3) if other != axis)))
        low, high = max(int(filled[0]) - MARGIN, 0), min(int(filled[-1]) + 1 + MARGIN, size)
        if high - low < least:
            low = max(min(low - (least - high + low) // 2, size - least), 0)
            high = min(low + least, size)
        start[axis], box[axis] = low, slice(low, high)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return new_volume(image.voxels[tuple(box)], affine), label[tuple(box)]


def _prepared(name: str, read: Read, prepare: Callable[[Volume, Array], tuple[Volume, Array]]) -> tuple[Volume, Array]:
    image, label = read()
    low, high = WINDOW
    if not label.any():
        raise UserError(f"The label of {name} is empty, so there is nothing to crop to: copy its file again.")
    if np.ptp(image.voxels.clip(low, high)) == 0:
        raise UserError(f"{name} is constant between {low:g} and {high:g} HU, so it is no CT scan: copy it again.")
    return prepare(image, label)


def _resample(image: Volume, label: Array, spacing_mm: Sequence[float]) -> tuple[Volume, Array]:
    """Resample to 1 mm along each axis, as if voxels were `spacing_mm` apart."""
    size = new_size(image.shape, spacing_mm, (1.0, 1.0, 1.0))
    resized = resize_image(image.voxels, size)
    return new_volume(resized, new_affine(image.affine, image.shape, size)), resize_labels(label, size)


def _with(image: Volume, voxels: Array) -> Volume:
    return new_volume(voxels.astype(np.float32), image.affine)


def _tell_duplicates(cases: Mapping[str, Readable], variant: str, tell: Tell) -> None:
    there = [name for name in DUPLICATES if name in cases]
    if there and variant == "B":
        tell(f"{' and '.join(there)} show scan 2 again and are not part of variant B; they are left out")
    elif there:
        tell(
            f"{' and '.join(there)} show scan 2 again, cut differently (TCIA took 25 and 70 back): the usual lists of "
            "variant A train on 2 and 70 and test on 25, so its test set is not free of training scans"
        )

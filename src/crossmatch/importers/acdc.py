"""Import ACDC (cine cardiac MRI, 100 patients x 2 frames) from the challenge's files or the community's.

Challenge: `training/patientNNN/patientNNN_frameXX.nii.gz`, `_gt`, `Info.cfg` (Bernard et al., IEEE TMI 37(11), 2018).
Community: `data/patientNNN_frame0X.h5` volumes and `data/slices/*.h5` training slices, as published with SSL4MIS,
UniMatch and CrossMatch. End-diastole is `_frame01`, end-systole `_frame02`. The split by patient (70 train, 10
validation, 20 test) and the 1, 3 and 7 labelled patients are those of these publications, kept in `splits/acdc`.
"""

import os
import re
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.dataset.dataset import SPLITS, Dataset
from crossmatch.dataset.fingerprint import Progress
from crossmatch.dataset.orientation import turn_onto, turn_volume
from crossmatch.errors import UserError, listed
from crossmatch.formats import Array, Volume
from crossmatch.importers.acdc_hdf5 import find_hdf5
from crossmatch.importers.shared import Readable, Tell, only_once, write_import

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
LABELLED_PATIENTS = (1, 3, 7)
FRAMES = {"ED": "frame01", "ES": "frame02"}

TREES = """\
the challenge's own files                        or the community's HDF5 files
  SRC/training/patient001/Info.cfg                 SRC/data/patient001_frame01.h5
      patient001_frame01.nii.gz                    SRC/data/slices/patient002_frame01_slice_1.h5
      patient001_frame01_gt.nii.gz ..."""

DESCRIPTION = {
    "name": "ACDC",
    "description": "Cine cardiac MRI, end-diastole (frame01) and end-systole (frame02)",
    "reference": "doi:10.1109/TMI.2018.2837502",
    "channel_names": {"0": "MRI"},
    "labels": LABELS,
}


def import_acdc(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    progress: Progress | None = None,
    tell: Tell | None = None,
) -> Dataset:
    """Write ACDC into `target` in the layout of `open_dataset`, and check it.

    Affine and spacing come from the challenge's files. The community's files have none, so both stay unknown. Grey
    values are kept exactly; those of the community's files become the integers that they were scaled from. Patients may
    be missing, as long as one of the 70 training patients is there; the lists then name the others.

    Args:
        source: the folder of either form; see `TREES`.
        target: the dataset's new folder; it must not exist, or be empty.
        progress: called with (cases written, cases in all).
        tell: called with each remark about something left out.

    Raises:
        UserError: source in neither form, no training patient, a damaged file, a target that is not empty.
    """
    source = Path(source)
    tell = tell or (lambda remark: None)
    if not source.is_dir():
        raise UserError(f"{source} is no folder; ACDC is imported from\n{TREES}")
    passed_over: list[Path] = []
    cases, patients = find_hdf5(source, tell, passed_over), _patients(source)
    if cases and patients:
        tell(f"the .h5 files are imported; the folders of {len(patients)} patients beside them are not read")
        passed_over += patients
    cases = cases or find_challenge(source, tell, passed_over)
    if not cases:
        raise UserError(f"{source} does not hold ACDC; it is imported from\n{TREES}")
    return write_import(source, target, cases, standard_lists(), DESCRIPTION, progress, tell, passed_over)


def standard_lists() -> dict[str, list[str]]:
    """The case names of train, val, test, train_1_label, train_3_label and train_7_label, both frames a patient."""
    folder = package_files("crossmatch.importers") / "splits" / "acdc"
    names = [*SPLITS, *(f"train_{n}_label" for n in LABELLED_PATIENTS)]
    return {
        name: [
            f"{patient}_{frame}"
            for patient in (folder / f"{name}.txt").read_text(encoding="utf-8").split()
            for frame in FRAMES.values()
        ]
        for name in names
    }


def find_challenge(source: Path, tell: Tell, passed_over: list[Path]) -> dict[str, Readable]:
    """The cases by name, for the challenge's NIfTI files; empty where there are none.

    Args:
        passed_over: gets what is left out with a remark, and each patient's whole film, `patientNNN_4d`.
    """
    patients = _patients(source)
    standard = {name.split("_")[0] for names in standard_lists().values() for name in names}
    testing = [folder for folder in (source / "testing", source / "database" / "testing") if folder.is_dir()]
    if testing:
        tell("the folder testing (patients 101 to 150) is not part of the usual split of 100 patients and is left out")
    if others := sorted({p.name for p in patients} - standard):
        tell(f"patients left out, not of the usual 100: {len(others)} ({listed(others)})")
    passed_over += testing + [path for path in patients if path.name not in standard]
    cases: dict[str, Readable] = {}
    for name, folder in only_once(source, ((p.name, p) for p in patients if p.name in standard)).items():
        passed_over += [folder / "Info.cfg", _file(folder, f"{name}_4d")]
        for phase, frame in _phases(folder).items():
            cases[f"{name}_{FRAMES[phase]}"] = _readable_frame(folder, frame, tell)
    return cases


def _patients(source: Path) -> list[Path]:
    """The folders of patients, in the places where the challenge has them."""
    places = (source, source / "training", source / "database" / "training")
    return [
        path
        for place in places
        if place.is_dir()
        for path in sorted(place.iterdir())
        if re.fullmatch(r"patient\d{3}", path.name) and path.is_dir()
    ]


def _phases(folder: Path) -> dict[str, int]:
    """{"ED": 1, "ES": 12}, the frame numbers from a patient's Info.cfg."""
    path = folder / "Info.cfg"
    if not path.is_file():
        raise UserError(f"{path} is missing: it says which frames are end-diastole and end-systole; copy it there.")
    text = path.read_text(encoding="utf-8", errors="replace")
    found = {phase: re.search(rf"^\s*{phase}\s*:\s*(\d+)\s*$", text, re.MULTILINE) for phase in FRAMES}
    frames = {phase: int(match[1]) for phase, match in found.items() if match}
    if len(frames) < len(FRAMES):
        raise UserError(f"{path} does not say both frames: it needs lines such as 'ED: 1' and 'ES: 12'.")
    return frames


def _readable_frame(folder: Path, frame: int, tell: Tell) -> Readable:
    stem = f"{folder.name}_frame{frame:02d}"
    files = tuple(_file(folder, name) for name in (stem, f"{stem}_gt"))

    def read() -> tuple[Volume, Array]:
        image, label = map(formats.read, files)
        turn = turn_onto(image, label)
        if turn is not None:
            label = turn_volume(label, turn)
        if image.shape != label.shape:
            raise UserError(
                f"{folder / stem}: the image has shape {image.shape}, its _gt {label.shape}: copy both files again."
            )
        if turn is None:
            tell(f"{folder / stem}_gt has another affine than its image; it was drawn on it and gets the image's")
        whole = np.round(label.voxels).astype(np.uint8)
        if not np.array_equal(whole, label.voxels):
            raise UserError(f"{folder / stem}_gt holds values that are no labels (0 to 3): copy the file again.")
        return image, whole

    return Readable(read, files)


def _file(folder: Path, stem: str) -> Path:
    return dict(formats.files_in(folder)).get(stem, folder / f"{stem}{formats.DEFAULT_ENDING}")

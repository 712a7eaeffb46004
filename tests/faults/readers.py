"""What reads files that others wrote, each with sound files to begin with."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nrrd
import numpy as np
from PIL import Image

import mutations
from la_files import LPS
from later_readers import LATER
from scenes import Inputs
from tiny import write_dataset, write_nifti
from tiny_dicom import write_series

SHAPE = (9, 8, 4)


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file.

    Args:
        make: writes sound files into a new folder and names the one to make wrong.
        read: reads the file that `make` named.
        mutate: makes its bytes wrong.
        checked: the file has a checksum: what can be read must be what it was.
        share: of the inputs, for readers that are slow.
    """

    name: str
    make: Callable[[Inputs, Path], Path]
    read: Callable[[Path], Any]
    mutate: Callable[[bytes, random.Random], bytes]
    checked: bool = False
    share: float = 1.0


def _voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)


def _nifti(inputs: Inputs, folder: Path) -> Path:
    return write_nifti(folder / "scan.nii", _voxels())


def _nifti_gz(inputs: Inputs, folder: Path) -> Path:
    return write_nifti(folder / "scan.nii.gz", _voxels())


def _nrrd(encoding: str) -> Callable[[Inputs, Path], Path]:
    def make(inputs: Inputs, folder: Path) -> Path:
        folder.mkdir(parents=True)
        nrrd.write(str(folder / "scan.nrrd"), _voxels(), {**LPS, "encoding": encoding})
        return folder / "scan.nrrd"

    return make


def _dicom(inputs: Inputs, folder: Path) -> Path:
    return write_series(folder, _voxels())[1]


def _picture(name: str) -> Callable[[Inputs, Path], Path]:
    def make(inputs: Inputs, folder: Path) -> Path:
        folder.mkdir(parents=True)
        grey = (np.arange(32 * 24).reshape(32, 24) % 251).astype(np.uint8)
        Image.fromarray(grey if name.endswith(".jpg") else grey.astype(np.uint16) * 200).save(folder / name)
        return folder / name

    return make


def _hdf5(inputs: Inputs, folder: Path) -> Path:
    folder.mkdir(parents=True)
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("image", data=_voxels().astype(np.float32), compression="gzip")
        file.create_dataset("label", data=_voxels() > 500, dtype=np.uint8, compression="gzip")
    return folder / "scan.h5"


def _part_of_run(name: str) -> Callable[[Inputs, Path], Path]:
    """A finished run with predictions and their evaluation."""

    def make(inputs: Inputs, folder: Path) -> Path:
        from crossmatch.scoring.evaluate import evaluate

        shutil.copytree(inputs.run, folder)
        shutil.copytree(inputs.masks, folder / "test")
        evaluate(folder / "test", inputs.data / "labelsTs", folder / "test")
        return folder / name

    return make


def _dataset(name: str) -> Callable[[Inputs, Path], Path]:
    return lambda inputs, folder: write_dataset(folder, n_train=3, shape=SHAPE) / name


def _recipe(inputs: Inputs, folder: Path) -> Path:
    from crossmatch.recipes.load import recipe_text

    folder.mkdir(parents=True)
    (folder / "own.toml").write_text(recipe_text("la_8_small"))
    return folder / "own.toml"


def _read_volume(path: Path) -> Any:
    from crossmatch import formats

    grid, volume = formats.read_grid(path), formats.read(path)
    if grid.shape != volume.shape or not np.isfinite(volume.affine).all():
        raise AssertionError(f"grid {grid.shape}, voxels {volume.shape}, affine {volume.affine}")
    return volume


def _read_dicom(path: Path) -> Any:
    from crossmatch.formats.dicom import read_series, read_slices

    return read_series(read_slices(path.parent))


def _read_hdf5(path: Path) -> Any:
    from crossmatch.formats.hdf5 import read_pair

    return read_pair(path, 3, 2)


def _read_recipe(path: Path) -> Any:
    from crossmatch.recipes.load import load_recipe

    return load_recipe(str(path))


def _check(path: Path) -> Any:
    from crossmatch.dataset.check import check

    root = next(parent for parent in path.parents if (parent / "imagesTr").exists())
    return check(root)


def _report(path: Path) -> Any:
    from crossmatch.reports import write_report

    run = next(parent for parent in path.parents if (parent / "run.json").exists())
    return write_report(run, out=run.parent / "page.html")


def _evaluation(path: Path) -> Any:
    from crossmatch.scoring.scores import load_evaluation

    found = load_evaluation(path)
    return found.to_json(), found.to_csv(), found.table(), found.notes()


def _load_network(path: Path) -> Any:
    from crossmatch.runs.run import open_run

    return open_run(path.parents[1]).load_network("last")[1].facts["step"]


def _command(*words: str) -> Callable[[Path], Any]:
    """A command of the command line; {run} in its words is the run's folder, {data} its dataset."""

    def read(path: Path) -> Any:
        import json
        import sys

        from crossmatch.cli.app import main
        from crossmatch.errors import UserError

        run = next(parent for parent in path.parents if (parent / "checkpoints").exists())
        data = run.with_name("inputs").read_text()
        sys.argv = ["crossmatch", *(word.format(run=run, data=data) for word in words)]
        try:
            main()
        except SystemExit as end:
            if end.code not in (0, 2, None):
                raise AssertionError(f"exit code {end.code}") from end
        return json.dumps(str(UserError))

    return read


READERS = {
    reader.name: reader
    for reader in (
        Reader("NIfTI", _nifti, _read_volume, mutations.of_bytes),
        Reader("NIfTI, gzip", _nifti_gz, _read_volume, mutations.of_bytes, checked=True),
        Reader("NRRD", _nrrd("raw"), _read_volume, mutations.of_bytes),
        Reader("NRRD header", _nrrd("gzip"), _read_volume, mutations.of_lines),
        Reader("NRRD, gzip", _nrrd("gzip"), _read_volume, mutations.of_bytes),
        Reader("DICOM", _dicom, _read_dicom, mutations.of_bytes),
        Reader("PNG", _picture("scan.png"), _read_volume, mutations.of_bytes, checked=True),
        Reader("JPEG", _picture("scan.jpg"), _read_volume, mutations.of_bytes),
        Reader("TIFF", _picture("scan.tif"), _read_volume, mutations.of_bytes),
        Reader("HDF5", _hdf5, _read_hdf5, mutations.of_bytes),
        Reader("checkpoint", _part_of_run("checkpoints/last.safetensors"), _load_network, mutations.of_bytes),
        Reader("recipe", _recipe, _read_recipe, mutations.of_lines),
        Reader("dataset.json", _dataset("dataset.json"), _check, mutations.of_json),
        Reader("split list", _dataset("splits/train.txt"), _check, mutations.of_lines),
        Reader("label list", _dataset("splits/train_2_label.txt"), _check, mutations.of_lines),
        Reader("run.json", _part_of_run("run.json"), _report, mutations.of_json),
        Reader("metrics.jsonl", _part_of_run("metrics.jsonl"), _report, mutations.of_json),
        Reader("prediction.json", _part_of_run("test/prediction.json"), _report, mutations.of_json),
        Reader("summary.json", _part_of_run("test/summary.json"), _report, mutations.of_json),
        Reader("evaluation", _part_of_run("test/summary.json"), _evaluation, mutations.of_json),
        *(Reader(*each) for each in LATER),
    )
}

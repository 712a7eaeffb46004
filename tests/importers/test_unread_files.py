"""Importers of public datasets name the files of a source that they do not read, and no others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from acdc_files import write_patient, write_volume
from crossmatch.importers.acdc import import_acdc
from crossmatch.importers.la import import_la
from crossmatch.importers.pancreas import import_pancreas
from crossmatch.importers.unread_files import unread_in
from la_files import FIRST, SECOND, TEST, write_challenge, write_community
from pancreas_files import scan_voxels, write_scan


def _unread(importer: Callable[..., object], source: Path, *more: str) -> list[str]:
    """What an importer says of files that it does not read."""
    told: list[str] = []
    importer(source, source.parent / "out", *more, tell=told.append)
    return [remark for remark in told if remark.startswith("not read: ")]


def _touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")


def test_names_below_a_source(tmp_path, monkeypatch):
    """Files by name, a folder in which nothing is read once, empty folders and what desktops leave not at all."""
    read = [tmp_path / "a" / "1.nii.gz", tmp_path / "whole"]
    _touch(*(read[0], read[1] / "2.dcm"), tmp_path / "a" / "3.nii.gz", tmp_path / "a" / "deep" / "4.H5")
    _touch(tmp_path / "b" / "c" / "5.txt", tmp_path / "notes.txt", tmp_path / ".DS_Store")
    (tmp_path / "empty" / "too").mkdir(parents=True)
    expected = ["a/3.nii.gz", "a/deep/", "b/", "notes.txt"]
    assert unread_in(tmp_path, read) == expected
    monkeypatch.chdir(tmp_path)
    assert unread_in(Path("a/.."), [Path("a/../a/1.nii.gz"), Path("whole")]) == expected


def test_acdc_as_the_challenge_has_it(tmp_path):
    """Other frames, and the files of another patient in a folder; not the film of all frames and Info.cfg."""
    source = tmp_path / "source"
    for patient in ("patient099", "patient101"):
        write_patient(source / "training", patient)
    (source / "testing" / "patient120").mkdir(parents=True)
    assert _unread(import_acdc, source) == []
    folder = source / "training" / "patient099"
    for name in ("patient099_frame05.nii.gz", "patient098_frame01.nii.gz"):
        (folder / name).write_bytes((folder / "patient099_frame01.nii.gz").read_bytes())
    shutil.rmtree(tmp_path / "out")
    place = "training/patient099/patient09"
    assert _unread(import_acdc, source) == [f"not read: {place}8_frame01.nii.gz, {place}9_frame05.nii.gz"]


def test_acdc_as_the_community_has_it(tmp_path):
    """Frames that are on no list, and files of other names or endings; not slices of a volume that is there."""
    data = tmp_path / "source" / "data"
    for name in ("patient099_frame01", "patient038_frame03", "slices/patient099_frame01_slice_1"):
        write_volume(data / f"{name}.h5", seed=1)
    _touch(data / "patient099_frame02.H5", data.parent / "train.list")
    assert _unread(import_acdc, tmp_path / "source") == [
        "not read: data/patient038_frame03.h5, data/patient099_frame02.H5, train.list"
    ]


@pytest.mark.parametrize("write", [write_community, write_challenge])
def test_la(tmp_path, write):
    """A file with its ending in capitals, a folder that lies too deep; not a scan that was told to be left out."""
    source = tmp_path / "source"
    for name in (FIRST, TEST, "NOTONTHELISTS"):
        write(source / name, seed=1)
    deep = source / "a" / "b" / "c" / "d" / SECOND
    write(deep, seed=2)
    _touch(source / "ANOTHER" / "MRI_NORM2.H5", source / FIRST / "notes.txt")
    assert _unread(import_la, source) == [f"not read: {FIRST}/notes.txt, ANOTHER/, a/"]


def test_pancreas(tmp_path):
    """A label without a scan; not a scan that was told to have no label, and not what lies in a scan's folder."""
    source = tmp_path / "source"
    for number in ("0057", "0050", "0001"):
        write_scan(source, number, *scan_voxels())
    labels = source / "TCIA_pancreas_labels-02-05-2017"
    (labels / "label0001.nii.gz").rename(labels / "label0002.nii.gz")
    assert _unread(import_pancreas, source, "A") == [f"not read: {labels.name}/label0002.nii.gz"]

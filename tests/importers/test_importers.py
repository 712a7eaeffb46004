"""What every importer must do, by each form in which it takes its dataset: nothing half written, nothing hidden."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import la_files
from acdc_files import write_patient, write_volume
from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import Dataset
from crossmatch.errors import UserError
from crossmatch.importers import acdc, la, pancreas
from pair_files import write_pair
from pancreas_files import scan_voxels, write_scan
from refusal import tree


class Form(NamedTuple):
    """One form in which a dataset comes: how to import it, and how to write tiny scans in it."""

    run: Callable[..., Dataset]
    lists: Callable[[], dict[str, list[str]]]
    write: Callable[[Path, str], object]  # (source, scan)
    train: tuple[str, str]  # scans of the training list
    test: str  # and of the test list
    damaged: str  # pattern of the files of which one is cut short
    shown: str  # in the message about a source of another kind


def _patient(source: Path, name: str) -> None:
    write_patient(source / "training", name, seed=int(name[-3:]))


def _acdc_pair(source: Path, name: str) -> None:
    write_volume(source / "data" / f"{name}_frame01.h5", seed=int(name[-3:]))


def _la(write: Callable[[Path, int], object], source: Path, name: str) -> None:
    write(source / name, sum(name.encode()))


def _pancreas(source: Path, name: str) -> None:
    write_scan(source, name, *scan_voxels(seed=int(name)))


def _pancreas_pair(source: Path, name: str) -> None:
    image, label = scan_voxels(seed=int(name))
    write_pair(source / f"image{name}_norm.h5", image.astype(np.float32), label)


_VARIANTS = {v: lambda *args, v=v: pancreas.import_pancreas(args[0], args[1], v, *args[2:]) for v in "AB"}
_PATIENTS = (("patient099", "patient038"), "patient011")
_SCANS = ((la_files.FIRST, la_files.SECOND), la_files.TEST)
_ACDC, _LA = (acdc.import_acdc, acdc.standard_lists), (la.import_la, la.standard_lists)
_A, _B = ((_VARIANTS[v], partial(pancreas.standard_lists, v)) for v in "AB")
FORMS = {
    "acdc challenge": Form(*_ACDC, _patient, *_PATIENTS, "*_frame10.nii.gz", r"training/patient001/Info\.cfg"),
    "acdc community": Form(*_ACDC, _acdc_pair, *_PATIENTS, "*.h5", r"data/patient001_frame01\.h5"),
    "la challenge": Form(*_LA, partial(_la, la_files.write_challenge), *_SCANS, "lgemri.nrrd", r"lgemri\.nrrd"),
    "la community": Form(*_LA, partial(_la, la_files.write_community), *_SCANS, "*.h5", r"mri_norm2\.h5"),
    "pancreas A": Form(*_A, _pancreas, ("0057", "0018"), "0050", "1-003.dcm", "PANCREAS_0001"),
    "pancreas B": Form(*_B, _pancreas, ("0001", "0002"), "0064", "label*.nii.gz", "TCIA_pancreas_labels"),
    "pancreas community": Form(*_A, _pancreas_pair, ("0057", "0018"), "0050", "*.h5", r"image0001_norm\.h5"),
}

pytestmark = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def written(form: Form, source: Path) -> Path:
    """A source of two training cases and a test case."""
    for name in (*form.train, form.test):
        form.write(source, name)
    return source


def test_a_dataset_is_written_checked_and_told_of(tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source stays as it is, progress counts up, missing cases are told, and no voxel must be read again."""
    source, steps, told = written(form, tmp_path / "src"), [], []
    before = tree(source)
    dataset = form.run(source, tmp_path / "out", lambda *at: steps.append(at), told.append)
    assert tree(source) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "src"]
    assert steps == [(n, len(dataset.cases)) for n in range(1, len(dataset.cases) + 1)]
    lists = form.lists()
    for split in ("train", "test"):
        names = [case.id for case in dataset.split(split)]
        assert names == [name for name in lists[split] if name in names] != []
    assert any(f"{len(lists['test']) - len(dataset.split('test'))} of {len(lists['test'])} in test" in t for t in told)
    assert {formats.read(case.label).voxels.dtype for case in dataset.cases} == {np.dtype(np.uint8)}
    monkeypatch.setattr(formats, "read", None)
    assert len(load_fingerprint(dataset).cases) == len(dataset.cases)


def test_importing_twice_gives_identical_files(tmp_path: Path, form: Form) -> None:
    source, contents = written(form, tmp_path / "src"), []
    for out in (tmp_path / "one", tmp_path / "two"):
        form.run(source, out)
        files = {path.relative_to(out): path for path in sorted(out.rglob("*")) if path.name != "fingerprint.json"}
        contents.append({name: path.read_bytes() for name, path in files.items() if path.is_file()})
    assert contents[0] == contents[1] != {}


def test_a_target_that_is_there_is_not_touched(tmp_path: Path, form: Form) -> None:
    source = written(form, tmp_path / "src")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"out exists and is not an empty folder.*nothing is overwritten"):
        form.run(source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert len(form.run(source, tmp_path / "empty").cases) >= 3


def test_a_damaged_file_is_named_and_nothing_is_left(tmp_path: Path, form: Form) -> None:
    source = written(form, tmp_path / "src")
    *_, path = sorted(source.rglob(form.damaged))  # of the last case, so that others are written before
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"{path.name} .*copy"):
        form.run(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_source_of_another_kind_shows_what_is_wanted(tmp_path: Path, form: Form) -> None:
    (tmp_path / "src").mkdir()
    for name in ("src", "gone"):
        with pytest.raises(UserError, match=rf"(?s)is imported from.*{form.shown}"):
            form.run(tmp_path / name, tmp_path / "out")
    form.write(tmp_path / "src", form.test)
    count = len(form.lists()["train"])
    with pytest.raises(UserError, match=rf"None of the {count} standard training cases is there \(found .*\): add"):
        form.run(tmp_path / "src", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_the_standard_lists_hang_together(form: Form) -> None:
    """No case twice, none in two splits; labelled subsets are nested and lie in the training list, in its order."""
    lists = form.lists()
    everyone = [name for split in ("train", "val", "test") for name in lists.get(split, [])]
    assert len(set(everyone)) == len(everyone)
    subsets = sorted((names for name, names in lists.items() if name.endswith("_label")), key=len)
    assert len(subsets) >= 2
    for smaller, larger in zip(subsets, [*subsets[1:], lists["train"]], strict=True):
        assert set(smaller) < set(larger)

"""What importers share: a dataset appears complete and checked, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.dataset.dataset import Dataset
from crossmatch.errors import UserError
from crossmatch.formats import Array, Volume, new_volume
from crossmatch.importers.shared import Read, Readable, only_once, write_import

DESCRIPTION = {
    "name": "Tiny",
    "description": "made up",
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "ball": 1},
}
LABEL = np.eye(5, 4, dtype=np.uint8)[:, :, None].repeat(3, axis=2)


def _read(image: Array, label: Array = LABEL) -> Read:
    def read() -> tuple[Volume, Array]:
        return new_volume(image, np.diag([2.0, 2, 3, 1])), label

    return read


def _image(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=LABEL.shape).astype(np.float32)


def _import(target: Path, second: Read, told: list[str] | None = None) -> Dataset:
    reads = {"case_a": _read(_image(1)), "case_b": second, "case_c": _read(_image(3))}
    cases = {name: Readable(read, ()) for name, read in reads.items()}
    (source := target.parent / "source").mkdir(parents=True, exist_ok=True)
    wanted = {"train": ["case_a", "case_b"], "test": ["case_c"], "train_1_label": ["case_a"]}
    return write_import(source, target, cases, wanted, DESCRIPTION, None, (told if told is not None else []).append)


def _one(value: float) -> Array:
    image = _image(2)
    image[0, 0, 0] = value
    return image


FAULTS = {
    "nan": (_read(_one(np.nan)), "The image of case_b has 1 voxels that are NaN or infinite: copy its file again"),
    "infinite": (_read(_one(np.inf)), "The image of case_b has 1 voxels that are NaN or infinite: copy its file again"),
    "constant": (
        _read(np.full(LABEL.shape, 7, np.int16)),
        "The image of case_b is constant, every voxel is 7: copy its",
    ),
    "label": (
        _read(_image(2), LABEL * 3),
        "The label of case_b holds 3, labels are 0 background, 1 ball: copy its file",
    ),
    "found by check": (_read(_image(2).astype(np.float64) * 1e300), "voxels that are NaN or infinite"),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_leaves_nothing_and_the_import_can_be_repeated(tmp_path, fault, message):
    """The last fault is one that only the written file shows: float64 that float32 does not hold."""
    with pytest.raises(UserError, match=message):
        _import(tmp_path / "out", fault)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    dataset = _import(tmp_path / "out", _read(_image(2)))
    assert [case.id for case in dataset.cases] == ["case_a", "case_b", "case_c"]
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}


@pytest.mark.parametrize("cache", [True, False], ids=["cache", "beside the data"])
def test_the_fingerprint_is_found_under_the_new_name(tmp_path, monkeypatch, cache):
    """Not one voxel is read again, and nothing lies under the name that the folder had while it was filled."""
    if cache:
        monkeypatch.setenv("CROSSMATCH_CACHE", str(tmp_path / "cache"))
    else:
        monkeypatch.delenv("CROSSMATCH_CACHE")
    told: list[str] = []
    dataset = _import(tmp_path / "data" / "out", _read(_image(1)), told)
    assert told == ["case_a and case_b (train) are the same image"]
    monkeypatch.setattr(formats, "read_channels", None)
    monkeypatch.setattr(formats, "read_label", None)
    assert len(load_fingerprint(dataset).cases) == 3
    (tmp_path / "data" / "source").rmdir()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["out"]
    where = tmp_path / ("cache" if cache else "data")
    assert [path.name for path in where.rglob("fingerprint.json")] == ["fingerprint.json"]
    assert len(list(where.iterdir())) == 1


def test_what_lies_in_two_places_is_refused():
    found = [("a", Path("x/a")), ("b", Path("x/b"))]
    assert only_once(Path("src"), found) == {"a": Path("x/a"), "b": Path("x/b")}
    with pytest.raises(UserError, match="src holds b twice, in x/b and y/b: remove one, or import the folder of one"):
        only_once(Path("src"), [*found, ("b", Path("y/b"))])

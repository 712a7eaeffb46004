"""What opening a dataset with its fingerprint costs: one question to the file system a file, no case opened."""

import builtins
import gc
import io
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crossmatch.dataset.check import check, load_fingerprint
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import _read, fingerprint_path, save_fingerprint, stamps
from crossmatch.errors import UserError
from tiny import write_dataset


def _many(root: Path, count: int) -> Path:
    """Cases that are copies of one in name, file and fingerprint; every one has a label."""
    write_dataset(root, n_train=1, n_val=0, n_test=0, shape=(4, 4, 2), subsets=())
    found = check(root)
    for number in range(2, count + 1):
        for path in (root / "imagesTr/case_001_0000.nii.gz", root / "labelsTr/case_001.nii.gz"):
            path.with_name(path.name.replace("001", f"{number:03d}")).hardlink_to(path)
    (root / "splits/train.txt").unlink()
    dataset = open_dataset(root)
    cases = tuple(replace(found.cases[0], id=case.id, files=stamps(dataset, case)) for case in dataset.cases)
    save_fingerprint(root, replace(found, cases=cases))
    return root


def _calls(root: Path) -> Counter[str]:
    """How often files are opened, asked for and listed while a dataset and its fingerprint are opened."""
    counted: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "stat"), (os, "lstat"), (os, "scandir"), (io, "open"), (builtins, "open")):
            patch.setattr(module, name, _counting(getattr(module, name), name, counted))
        assert len(load_fingerprint(open_dataset(root), progress=_stale).cases) == len(open_dataset(root).cases)
    return counted


def _counting(function: Callable, name: str, counted: Counter[str]) -> Callable:
    def count(*args, **more):
        counted[name] += 1
        return function(*args, **more)

    return count


def _stale(done: int, total: int) -> None:
    pytest.fail("the fingerprint is stale: voxels were looked at")


def test_each_file_is_asked_for_once_and_none_is_opened(tmp_path):
    few, many = _calls(_many(tmp_path / "few", 5)), _calls(_many(tmp_path / "many", 45))
    assert few["scandir"] >= 4  # the spies see what happens: two folders, listed twice
    assert few["open"] >= 3  # dataset.json twice, the fingerprint
    assert many - few == {"stat": 2 * 40}  # an image and a label of each further case


def test_no_search_for_garbage_while_cases_are_made(tmp_path):
    root, thresholds = _many(tmp_path, 100), gc.get_threshold()
    started: list[str] = []
    gc.callbacks.append(note := lambda phase, info: started.append(phase) if phase == "start" else None)
    gc.set_threshold(50)  # one for every fifty objects: dozens, were it not for the pause
    try:
        open_dataset(root)
        opened = len(started)
        read = _read(fingerprint_path(root))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(note)
    assert read is not None
    assert len(read.cases) == 100
    assert opened <= 2  # when it is over
    assert len(started) - opened <= 5  # around the pause: a path is put together, a file read


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_left_as_it_was(tmp_path, before):
    root = write_dataset(tmp_path / "data")
    enabled = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        open_dataset(root)
        assert gc.isenabled() is before
        with pytest.raises(UserError):
            open_dataset(tmp_path / "nowhere")
        assert gc.isenabled() is before
    finally:
        (gc.enable if enabled else gc.disable)()

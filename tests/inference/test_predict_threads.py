"""Prediction of many scans: what runs beside the network, how much of it is held, whose error is told, Ctrl-C."""

import errno
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.inference.predict import predict
from crossmatch.inference.predictor import Predictor
from tiny import write_dataset, write_nifti
from untrained import untrained_run

NAMES = ("a", "b", "c", "d")
LONG = 20.0  # seconds that a thread waits for another before the test fails


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = write_dataset(tmp_path_factory.mktemp("data") / "tiny")
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", data).folder


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        voxels = np.random.default_rng(seed).integers(0, 200, (18, 20, 2), dtype=np.int16)
        write_nifti(tmp_path / "scans" / f"{name}_0000.nii.gz", voxels)
    return tmp_path / "scans"


class Watch:
    """Calls work at the begin and the end of every reading, computing and writing, and keeps the order of both."""

    def __init__(self, patch: pytest.MonkeyPatch, begin: Callable[[str], None] = lambda event: None) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.scans: list[weakref.ref[np.ndarray]] = []
        self.changed = threading.Condition()
        self.begin = begin
        read, write, compute = formats.read_channels, formats.write, Predictor.__call__

        def watched_read(paths: list[Path]) -> Any:
            volumes = self._watched("read", paths[0], lambda: read(paths))
            self.scans += [weakref.ref(volume.voxels) for volume in volumes]
            return volumes

        patch.setattr(formats, "read_channels", watched_read)
        patch.setattr(formats, "write", lambda path, *rest: self._watched("write", path, lambda: write(path, *rest)))
        patch.setattr(
            Predictor,
            "__call__",
            lambda own, volumes, path: self._watched("compute", path, lambda: compute(own, volumes, path)),
        )

    def _watched(self, kind: str, path: Path, work: Callable[[], Any]) -> Any:
        event = f"{kind} {path.name[0]}"
        self._note(self.begun, event)
        self.begin(event)
        try:
            return work()
        finally:
            self._note(self.ended, event)

    def _note(self, events: list[str], event: str) -> None:
        with self.changed:
            events.append(event)
            self.changed.notify_all()

    def wait(self, events: list[str], event: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: event in events, LONG), f"no {event} after {events}"

    def order(self, kind: str) -> list[str]:
        return [event[-1] for event in self.begun if event.startswith(kind)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "prediction.json"}


def test_one_is_read_and_one_is_written_while_one_is_computed(
    run: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: dict[str, bytes] = {}
    for name in NAMES:
        predict(run, scans / f"{name}_0000.nii.gz", tmp_path / name)
        alone |= files(tmp_path / name)
    held: list[int] = []

    def begin(event: str) -> None:
        kind, k = event.split()[0], NAMES.index(event[-1])
        if kind == "write" and k + 1 < len(NAMES):
            watch.wait(watch.begun, f"compute {NAMES[k + 1]}")
        if kind == "compute":
            if k + 1 < len(NAMES):
                watch.wait(watch.ended, f"read {NAMES[k + 1]}")
            time.sleep(0.05)  # for a thread that would go further
            assert watch.order("read") == list(NAMES[: k + 2])
            assert watch.order("write") == list(NAMES[:k])
            assert {f"write {name}" for name in NAMES[: max(k - 1, 0)]} <= {*watch.ended}  # only the last is under way
            held.append(sum(scan() is not None for scan in watch.scans))

    watch = Watch(monkeypatch, begin)
    written = predict(run, scans, tmp_path / "out")
    assert [path.name for path in written] == [f"{name}.nii.gz" for name in NAMES]
    assert watch.order("compute") == watch.order("write") == watch.order("read") == list(NAMES)
    assert held == [2, 2, 2, 1]  # the scan that is computed and the next
    assert files(tmp_path / "out") == alone


def test_scans_that_have_masks_are_not_read(
    run: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for name in "bd":
        predict(run, scans / f"{name}_0000.nii.gz", out)
    watch, calls = Watch(monkeypatch), []
    predict(run, scans, out, progress=lambda *done: calls.append(done))
    assert watch.order("read") == watch.order("compute") == watch.order("write") == ["a", "c"]
    assert calls == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    predict(run, scans, out)
    assert watch.order("read") == ["a", "c"]
    assert sorted(files(out)) == [f"{name}.nii.gz" for name in NAMES]


def test_a_scan_that_cannot_be_read_is_told_when_the_others_are_done(
    run: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nifti(scans / "c_0000.nii.gz", np.full((18, 20, 2), 7, np.int16))
    watch = Watch(monkeypatch, lambda event: watch.wait(watch.ended, "read c") if event == "compute b" else None)
    with pytest.raises(UserError, match=r"c_0000\.nii\.gz is constant"):
        predict(run, scans, tmp_path / "out")
    assert watch.order("read") == ["a", "b", "c", "d"]
    assert watch.order("compute") == watch.order("write") == ["a", "b", "d"]
    assert sorted(files(tmp_path / "out")) == ["a.nii.gz", "b.nii.gz", "d.nii.gz"]


@pytest.mark.parametrize("next_is_bad", [False, True])
def test_a_mask_that_cannot_be_written_is_told_before_later_errors(
    run: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, next_is_bad: bool
) -> None:
    if next_is_bad:
        write_nifti(scans / "c_0000.nii.gz", np.full((18, 20, 2), 7, np.int16))
    save = nib.save

    def full(image: nib.Nifti1Image, path: Path) -> None:
        if path.name == "b.nii.gz":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(image, path)

    monkeypatch.setattr(nib, "save", full)
    watch = Watch(monkeypatch)
    with pytest.raises(UserError, match=r"out/b\.nii\.gz cannot be written \(No space left on device\)"):
        predict(run, scans, tmp_path / "out")
    assert watch.order("write") == ["a", "b"]
    assert watch.order("compute") == (["a", "b", "d"] if next_is_bad else ["a", "b", "c"])
    assert sorted(files(tmp_path / "out")) == ["a.nii.gz"]


@pytest.mark.parametrize(
    ("when", "computed"), [("compute b", "ab"), ("read c", "ab"), ("write a", "ab"), ("read b", "a")]
)
def test_ctrl_c_leaves_whole_masks_and_no_thread(
    run: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, computed: str
) -> None:
    threads = threading.active_count()

    def begin(event: str) -> None:
        if event == when and when in (
            "write a",
            "read c",
        ):  # not while the main thread is still about to start this one
            watch.wait(watch.begun, "compute b")
        if event == when == "read b":  # while the main thread waits for it
            watch.wait(watch.begun, "write a")
            time.sleep(0.05)
        if event == when:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # as a terminal's Ctrl-C arrives
        if event == "compute b":
            for _ in range(int(LONG / 0.01)):  # a network's layers: a signal is seen between two of them
                time.sleep(0.01)

    watch = Watch(monkeypatch, begin)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        predict(run, scans, tmp_path / "out")
    assert time.monotonic() - started < LONG / 2
    assert threading.active_count() == threads
    assert watch.order("compute") == list(computed)
    assert sorted(files(tmp_path / "out")) == ["a.nii.gz"]  # what was being written is finished
    monkeypatch.undo()
    predict(run, scans, tmp_path / "out")
    assert sorted(files(tmp_path / "out")) == [f"{name}.nii.gz" for name in NAMES]

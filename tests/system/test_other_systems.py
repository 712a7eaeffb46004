"""Windows and containers, as far as Linux can play them.

Played are: no fcntl, resource and SIGHUP, no flags and calls that Windows lacks, locks by msvcrt, none of folders.
Not played are: drives in paths, open files that cannot be replaced, how processes are stopped.
"""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crossmatch.atomic import new_folder, write_text
from crossmatch.system.process import STOPPING, apart, ask_to_stop, cores, peak_bytes
from tiny import write_dataset
from train_tiny import TINY

# what a program on Windows would find, put in place before crossmatch is imported
PLAYED = """
import errno, fcntl, os, signal, sys, types
import torch.utils.tensorboard, lightning_fabric, nibabel, rich.progress, typer, h5py, PIL.Image, matplotlib, pydicom

def locking(file, mode, count, real=fcntl):
    assert os.lseek(file, 0, os.SEEK_CUR) >= 2**30
    try:
        real.flock(file, real.LOCK_EX | real.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EACCES, "Permission denied") from None

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
sys.modules["fcntl"] = sys.modules["resource"] = None
for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "pread", "pwrite", "sched_getaffinity"):
    delattr(os, name)
del signal.SIGHUP
sys.platform = "win32"
"""

USED = """
from pathlib import Path
from crossmatch.errors import UserError
from crossmatch.runs.lock import only_writer
from crossmatch.system.process import cores, peak_bytes
data, out, *settings = sys.argv[1:]
assert cores() == os.cpu_count()
with only_writer(Path(out + "_lock")):
    try:
        with only_writer(Path(out + "_lock")):
            raise AssertionError("two writers")
    except UserError as error:
        assert f"process {os.getpid()} on" in str(error), error
import crossmatch
changes = {key.replace(".", "__"): eval(value) for key, _, value in (text.partition("=") for text in settings)}
model = crossmatch.train("phantom", data, out, device="cpu", progress=False, **changes)
model.predict_files(data + "/imagesTs", out + "/test", progress=False)
crossmatch.evaluate(out + "/test", data + "/labelsTs", progress=False)
crossmatch.report(out)
"""


def test_a_run_on_what_windows_offers(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", unlabelled=1)
    settings = [text for text in TINY if "optimizer" not in text] + ["train.steps=2", "train.validate_every=2"]
    code = PLAYED + USED
    words = [sys.executable, "-c", code, str(data), str(tmp_path / "run"), *settings]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    assert [path.name for path in (tmp_path / "run" / "test").glob("*.nii.gz")] == ["case_005.nii.gz"]
    assert not list(tmp_path.rglob(".crossmatch-*"))


def test_linux_has_all_of_it() -> None:
    assert set(STOPPING) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    assert 1 <= cores() <= (os.cpu_count() or 1)
    held = peak_bytes()
    assert held is not None
    assert 50e6 < held < 50e9


def test_a_child_that_stands_apart_is_asked_to_stop() -> None:
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('up', flush=True)\n"
    with subprocess.Popen([sys.executable, "-c", code + "time.sleep(60)"], stdout=subprocess.PIPE, **apart()) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert os.getsid(child.pid) != os.getsid(0)
        ask_to_stop(child)
        assert child.wait(30) == 7


def test_a_place_that_is_mounted_from_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or an empty folder that is mounted into a container cannot be replaced, only filled."""
    replace = Path.replace

    def mounted(self: Path, target: Path) -> Path:
        if Path(target).exists():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return replace(self, target)

    (tmp_path / "file").write_text("before")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(Path, "replace", mounted)
    write_text(tmp_path / "file", "after")
    with new_folder(tmp_path / "folder") as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "a").write_text("a")
    assert (tmp_path / "file").read_text() == "after"
    assert (tmp_path / "folder" / "sub" / "a").read_text() == "a"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]

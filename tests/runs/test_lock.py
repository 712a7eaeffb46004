"""One writer at a time, whatever becomes of the one before."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crossmatch.errors import UserError
from crossmatch.runs.lock import NAME, only_writer

HOLD = """
import sys, time
from pathlib import Path
from crossmatch.runs.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_the_first_is(tmp_path, holder):
    with pytest.raises(UserError, match=rf"process {holder.pid} on .+, since 20\d\d-"), only_writer(tmp_path):
        pass
    assert holder.poll() is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_writer_leaves_no_lock(number, tmp_path, holder):
    holder.send_signal(number)
    holder.wait()
    assert (tmp_path / NAME).exists()
    with only_writer(tmp_path):
        pass


def test_nothing_is_left_in_the_folder(tmp_path):
    with only_writer(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path):
        raise ZeroDivisionError
    with only_writer(tmp_path):
        pass


def test_a_planted_link_is_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / NAME).symlink_to(target)
    with pytest.raises(OSError, match=NAME), only_writer(folder):
        pass
    assert target.read_text() == "kept"


@pytest.mark.parametrize("text", ["", "{", '{"host": 1}', '{"process": "x", "host": "a", "since": 1e400}'])
def test_a_damaged_file_is_no_trouble(text, tmp_path, holder):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UserError, match="another process: wait"), only_writer(tmp_path):
        pass


def test_many_writers_never_hold_it_together(tmp_path):
    """Taken and removed again and again by threads, each with a file of its own."""
    inside, most, refused = [], [], []

    def work() -> None:
        for _ in range(50):
            try:
                with only_writer(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except UserError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) + len(refused) == 400


def test_the_file_is_not_inherited(tmp_path):
    """A child that outlives its parent does not keep the lock."""
    with only_writer(tmp_path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with only_writer(tmp_path):
            assert Path(tmp_path, NAME).stat().st_nlink == 1
    finally:
        child.kill()
        child.wait()
    assert os.listdir(tmp_path) == []

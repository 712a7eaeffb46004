"""Drawing ahead: the same batches from any step on, errors where they belong, and no thread left behind."""

import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from crossmatch.batches.ahead import AHEAD, Prefetch
from crossmatch.batches.prefetch import drawing
from crossmatch.batches.store import load_store
from crossmatch.batches.views import Batches, BatchSizes, ViewSettings
from crossmatch.dataset.dataset import open_dataset
from tiny import write_dataset

CPU = torch.device("cpu")


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def _batches(root: Path, memory_map: Path | None) -> Batches:
    """Two items of each kind and three a step: every step begins further passes."""
    labelled, unlabelled = open_dataset(root).labelled("all")
    store = load_store(
        labelled, unlabelled, dims=3, slice_axis=2, normalise="minmax", device=CPU, memory_map=memory_map
    )
    sizes = BatchSizes(labelled=3, unlabelled=3)
    return Batches(store, (10, 8, 6), ViewSettings(), sizes, 7, CPU, unlabelled=True, patches=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), n_train=4, unlabelled=2, shape=(16, 12, 9))


@pytest.mark.parametrize("first", [0, 17])
def test_the_same_batches_from_any_step_on(root, tmp_path, first):
    plain, mapped = _batches(root, None), _batches(root, tmp_path / "voxels.bin")
    with drawing(mapped, stop=40) as draw:
        for step in range(first, 40):
            made, expected = mapped.make(draw(step)), plain(step)
            leaves = [tree_leaves(batch) for batch in (made, expected)]
            assert sum(isinstance(leaf, Tensor) for leaf in leaves[0]) == 8
            assert all(torch.equal(a, b) for a, b in zip(*leaves, strict=True))
            assert _threads()
    assert not _threads()
    assert not mapped.labelled._orders  # no thread drew from passes that it shares with others


def test_no_thread_for_a_store_in_memory(root):
    batches = _batches(root, None)
    with drawing(batches, stop=3) as draw:
        assert torch.equal(draw(2).labelled.matrix, batches.draw(2).labelled.matrix)
        assert not _threads()


def test_as_many_steps_ahead_as_said_and_none_from_the_last_on():
    seen: list[int] = []
    with Prefetch(lambda step: seen.append(step) or step * step, stop=7, workers=2) as square:
        for step in range(3, 7):
            assert square(step) == step * step
            _until(lambda step=step: len(seen) == min(step + 2 * AHEAD, 7) - 3)
    assert sorted(seen) == [3, 4, 5, 6]


def test_threads_work_at_once():
    """Each step waits until another one is being worked at."""
    meet = threading.Barrier(2)
    with Prefetch(lambda step: meet.wait(20), stop=4, workers=2) as wait:
        assert {wait(0), wait(1)} == {0, 1}
        assert {wait(2), wait(3)} == {0, 1}


def test_an_error_comes_with_its_step_and_its_traceback():
    def no_such_step(step: int) -> int:
        if step == 2:
            raise ValueError("step two")
        return step

    with Prefetch(no_such_step, stop=9, workers=2) as work:
        assert [work(0), work(1)] == [0, 1]
        with pytest.raises(ValueError, match="step two") as caught:
            work(2)
        assert "no_such_step" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not _threads()


def test_closing_waits_for_the_steps_in_hand_alone():
    begun: list[int] = []
    release = threading.Event()

    def slow(step: int) -> int:
        begun.append(step)
        if step:
            assert release.wait(20)
        return step

    def release_when_closing(work: Prefetch[int]) -> None:
        _until(lambda: all(future.cancelled() or future.running() for future in work.futures.values()))
        release.set()

    def body() -> None:
        with Prefetch(slow, stop=1000, workers=2) as work:
            work(0)
            _until(lambda: len(begun) == 3)
            threading.Thread(target=release_when_closing, args=(work,)).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    assert begun[0] == 0
    assert sorted(begun) == [0, 1, 2]  # a step a thread, of a thousand
    assert not _threads()


def test_one_core_a_thread_and_as_many_as_before_for_all_others():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with Prefetch(lambda step: torch.get_num_threads(), stop=8, workers=2) as count:
            assert {count(step) for step in range(8)} == {1}
            assert torch.get_num_threads() == 3
        found: list[int] = []
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert found == [3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)

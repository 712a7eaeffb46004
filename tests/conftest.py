"""Fixtures for every test, one thread for each pytest worker, and a Ctrl-C that is heard."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background with it ignored

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fingerprints go to a folder of the test run: nothing is written beside real data, or into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSMATCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden numbers beside the repository; tests that ask for it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("../shared (real data, golden numbers) is not on this machine")
    return SHARED

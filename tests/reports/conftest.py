"""A small dataset and a run of it, for tests of what a report says of masks; other tests here have their own."""

from pathlib import Path

import pytest
from written_runs import log, write_run

from tiny import write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=4, unlabelled=1)


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    return write_run(tmp_path / "run", data, log())

"""What the commands of this folder's tests read, and what they come to undisturbed: made once a test run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kills import Undisturbed, undisturbed
from scenes import SCENES, Inputs, make_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def right(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Undisturbed]:
    known: dict[str, Undisturbed] = {}

    def of(name: str) -> Undisturbed:
        if name not in known:
            folder: Path = tmp_path_factory.mktemp("right") / "folder"
            known[name] = undisturbed(SCENES[name], inputs, folder)
        return known[name]

    return of

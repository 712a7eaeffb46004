"""kill -9 at ten random moments of each command; `speed/faults.py` has a hundred."""

import pytest

from kills import kill
from scenes import SCENES

KILLS = 10


@pytest.mark.parametrize("name", SCENES)
def test_a_killed_command_goes_on(name, inputs, right, tmp_path):
    faults = [
        fault for seed in range(KILLS) for fault in kill(SCENES[name], inputs, tmp_path / str(seed), right(name), seed)
    ]
    assert faults == []

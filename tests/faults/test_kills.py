"""kill -9 at ten random moments of each command, of the long benchmark at four; `speed/faults.py` has a hundred."""

import pytest

from kills import kill
from scenes import SCENES

KILLS = 10
OF_BENCHMARK = 4  # each takes ten times as long


@pytest.mark.parametrize("name", SCENES)
def test_a_killed_command_goes_on(name, inputs, right, tmp_path):
    faults = [
        fault
        for seed in range(OF_BENCHMARK if name == "benchmark" else KILLS)
        for fault in kill(SCENES[name], inputs, tmp_path / str(seed), right(name), seed)
    ]
    assert faults == []

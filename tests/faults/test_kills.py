"""kill -9 at ten random moments of each command, of the long ones at fewer; `speed/faults.py` has a hundred."""

import pytest

from kills import kill
from scenes import SCENES

KILLS = 10
OF_LONG = {"benchmark": 4, "export": 3, "review": 5}


@pytest.mark.parametrize("name", SCENES)
def test_a_killed_command_goes_on(name, inputs, right, tmp_path):
    faults = [
        fault
        for seed in range(OF_LONG.get(name, KILLS))
        for fault in kill(SCENES[name], inputs, tmp_path / str(seed), right(name), seed)
    ]
    assert faults == []

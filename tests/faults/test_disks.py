"""Each kind of trouble once for each command, some for the long benchmark; `speed/faults.py` has many of each."""

import pytest

from disks import TROUBLES, disturb
from scenes import SCENES

OF_BENCHMARK = ("disk full", "SIGTERM")  # it takes ten times as long as the others


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_told_and_a_later_call_goes_on(trouble, inputs, right, tmp_path):
    faults = [
        fault
        for name, scene in SCENES.items()
        if name != "benchmark" or trouble in OF_BENCHMARK
        for fault in disturb(scene, inputs, tmp_path / name, right(name), TROUBLES[trouble], seed=0)
    ]
    assert faults == []

"""Each kind of trouble once for each command, some for the long ones; `speed/faults.py` has many of each."""

import pytest

from disks import TROUBLES, disturb
from scenes import SCENES

LONG = ("benchmark", "export", "review")
OF_LONG = ("disk full", "SIGTERM")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_told_and_a_later_call_goes_on(trouble, inputs, right, tmp_path):
    faults = [
        fault
        for name, scene in SCENES.items()
        if name not in LONG or trouble in OF_LONG
        for fault in disturb(scene, inputs, tmp_path / name, right(name), TROUBLES[trouble], seed=0)
    ]
    assert faults == []

"""A hundred wrong files for each reader; `speed/faults.py` has a thousand."""

import pytest

from fuzz import fuzz
from readers import READERS

INPUTS = 100


@pytest.mark.parametrize("name", READERS)
def test_wrong_files_are_refused(name, inputs, tmp_path):
    assert fuzz(READERS[name], inputs, tmp_path / "fuzz", INPUTS) == []

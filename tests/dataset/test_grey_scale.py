"""Warnings of grey values on another scale: single voxels far from all others."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmatch.dataset.check import check
from tiny import write_dataset, write_nifti

SHAPE = (16, 14, 12)


def _checked(root: Path, scans: list[NDArray[np.generic]], channels: int = 1) -> str:
    """What `check` warns of where the scans, one after the other, are the channels of the cases."""
    write_dataset(root, n_train=len(scans) // channels, channels=channels, shape=SHAPE)
    for number, voxels in enumerate(scans):
        case, channel = divmod(number, channels)
        write_nifti(root / f"imagesTr/case_{case + 1:03d}_{channel:04d}.nii.gz", voxels)
    return "\n".join(check(root).warnings)


def _mr(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 500, SHAPE).astype(np.float32)


class TestFarVoxels:
    """One voxel that makes the range a thousand times as wide."""

    def test_they_are_named_with_the_way_out(self, tmp_path):
        far = _mr(2)
        far[0, 0, 0] = 1e9
        told = _checked(tmp_path, [_mr(1), far, _mr(3)])
        assert "far from all others: case_002; of the first, 99 % lie between 2." in told
        assert "and all between 0." in told
        assert "and 1e+09" in told
        assert "--set data.normalise=percentile" in told

    def test_the_channel_is_named(self, tmp_path):
        far = _mr(2)
        far[0, 0, 0] = -1e9
        told = _checked(tmp_path, [_mr(1), far, _mr(3), _mr(4)], channels=2)
        name = json.loads((tmp_path / "dataset.json").read_text())["channel_names"]["1"]
        assert f"far from all others (channel {name}): case_001;" in told

    def test_usual_scans_are_not(self, tmp_path):
        """Bright vessels, and a scan that is 0 nearly everywhere."""
        bright, sparse = _mr(1), np.zeros(SHAPE, np.float32)
        bright[0, 0, 0] = 200 * 500
        sparse[0, 0, :3] = (1, 2, 5000)
        assert "far from" not in _checked(tmp_path, [bright, sparse, _mr(3)])

"""Warnings of grey values on another scale: single voxels far from all others, and CT scans on another zero."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crossmatch.dataset.check import check
from tiny import write_dataset, write_nifti

SHAPE = (16, 14, 12)
AIR, FAT, TISSUE, BONE, PADDING = -1000, -100, 50, 900, -3024


def _checked(root: Path, scans: list[NDArray[np.generic]], channels: int = 1) -> str:
    """What `check` warns of where the scans, one after the other, are the channels of the cases."""
    write_dataset(root, n_train=len(scans) // channels, channels=channels, shape=SHAPE)
    for number, voxels in enumerate(scans):
        case, channel = divmod(number, channels)
        write_nifti(root / f"imagesTr/case_{case + 1:03d}_{channel:04d}.nii.gz", voxels)
    return "\n".join(check(root).warnings)


def _mr(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 500, SHAPE).astype(np.float32)


def _ct(seed: int, air: float = 0.4, bone: float = 0.03, padding: float = 0.0) -> NDArray[np.int16]:
    """Hounsfield units of a scan of these shares; of the rest a third is fat."""
    rest = 1 - air - bone - padding
    drawn = np.random.default_rng(seed)
    values = drawn.choice([AIR, BONE, PADDING, FAT, TISSUE], SHAPE, p=[air, bone, padding, rest / 3, 2 * rest / 3])
    noise = drawn.normal(0, 15, SHAPE) * (values > AIR)
    return (values + noise).astype(np.int16)


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


class TestOtherZeros:
    """CT scans to whose values 1000 or 1024 was added."""

    @pytest.mark.parametrize("added", [1000, 1024])
    @pytest.mark.parametrize("air", [0.2, 0.4, 0.6])
    def test_they_are_named_with_the_way_out(self, tmp_path, added, air):
        told = _checked(tmp_path, [_ct(1), _ct(2, air) + np.int16(added), _ct(3, 0.5), _ct(4, padding=0.2)])
        assert "not in Hounsfield units, as those of 3 others are: case_002; " in told
        assert f"their lowest is {added - 1000}, as if 1000 or 1024 had been added" in told
        assert "store them in Hounsfield units" in told

    def test_they_may_be_more_than_the_others(self, tmp_path):
        scans = [_ct(seed) + np.int16(1024 * (seed > 2)) for seed in (1, 2, 3, 4, 5)]
        assert "as those of 2 others are: case_003, case_004, case_005;" in _checked(tmp_path, scans)

    def test_parts_of_a_body_without_air_are_named_by_their_tissue(self, tmp_path):
        told = _checked(tmp_path, [_ct(1), _ct(2), _ct(3, air=0) + np.int16(1024)])
        assert "as those of 2 others are: case_003;" in told

    @pytest.mark.parametrize("bone", [0.0, 0.03, 0.3])
    def test_parts_of_a_body_in_hounsfield_units_are_not(self, tmp_path, bone):
        """Soft tissue alone stays above about -150, with bone or without."""
        assert "Hounsfield" not in _checked(tmp_path, [_ct(1), _ct(2), _ct(3, air=0, bone=bone)])

    def test_other_channels_and_images_are_not(self, tmp_path):
        """PET beside CT, and MR alone; where all scans have one zero nothing is said."""
        pet = [np.abs(_mr(seed)) * 10 for seed in (5, 6)]
        assert "Hounsfield" not in _checked(tmp_path / "two", [_ct(1), pet[0], _ct(2), pet[1]], channels=2)
        assert "Hounsfield" not in _checked(tmp_path / "mr", [_mr(1), _mr(2) + 900, _mr(3) * 4])
        assert "Hounsfield" not in _checked(tmp_path / "all", [_ct(seed) + np.int16(1024) for seed in (1, 2, 3)])
        assert "Hounsfield" not in _checked(tmp_path / "sound", [_ct(1), _ct(2, 0.6), _ct(3, 0.1, padding=0.3)])

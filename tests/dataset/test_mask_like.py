"""Labels that were taken for scans are warned of; scans are not."""

from dataclasses import replace

import numpy as np
import pytest

from crossmatch.dataset.check import check
from crossmatch.dataset.mask_like import like_masks
from crossmatch.dataset.voxels import intensity_of
from tiny import write_dataset, write_nifti

RNG = np.random.default_rng(0)
SCAN = RNG.normal(300, 90, (16, 14, 4)).clip(0).astype(np.int16)
MASK = np.zeros((16, 14, 4), np.uint8)
MASK[3:9, 4:8] = 1


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory):
    """A case as it was scanned."""
    return check(write_dataset(tmp_path_factory.mktemp("like") / "data")).cases[0]


def told(example, *images: np.ndarray) -> list[str]:
    problems: list[str] = []
    cases = [
        replace(example, id=f"case_{n}", intensity=(intensity_of(example.id, voxels, problems),))
        for n, voxels in enumerate(images)
    ]
    assert not problems
    return like_masks(tuple(cases))


@pytest.mark.parametrize("mask", [MASK, 255 * MASK, 7.0 * MASK, MASK + 2 * np.roll(MASK, 6, 0)], ids=str)
def test_a_mask_among_scans_is_named(example, mask: np.ndarray) -> None:
    (line,) = told(example, SCAN, SCAN + 3, mask)
    assert line.startswith("images that look like masks, as they hold a few values: case_2; if they are labels")


@pytest.mark.parametrize(
    "scan",
    [
        SCAN // 3,
        np.clip(SCAN / 600, 0, 1),
        255 * MASK + (RNG.random(MASK.shape) < 0.01).astype(np.uint8) * 60 * (1 - MASK),  # nearly two values
        (SCAN % 17).astype(np.uint8) + 1,  # nothing is 0
        np.where(np.arange(SCAN.size).reshape(SCAN.shape) == 5, 1e9, SCAN),  # beside which all others are alike
    ],
    ids=["darker", "fractions", "edges", "small", "far"],
)
def test_a_scan_is_not(example, scan: np.ndarray) -> None:
    assert told(example, SCAN, SCAN + 3, scan) == []


def test_where_all_are_alike_nothing_is_said(example) -> None:
    few = (RNG.random(MASK.shape) * 8).astype(np.uint8)
    few[0] = 0
    assert told(example, few, few[::-1], few + 1) == []  # counts, such as of a detector
    assert told(example, MASK, MASK[::-1]) == []


def test_check_says_it(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", unlabelled=1)
    (unlabelled,) = [path for path in (data / "imagesTr").iterdir() if not _labelled(path)]
    write_nifti(unlabelled, MASK)
    assert any(line.startswith("images that look like masks") for line in check(data).warnings)


def _labelled(path) -> bool:
    return (path.parents[1] / "labelsTr" / path.name.replace("_0000", "")).exists()

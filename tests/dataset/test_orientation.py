"""Scans whose axes are stored otherwise: what counts as swapped or flipped, who is warned, and when nobody is."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from command import call
from crossmatch.dataset.check import check
from crossmatch.dataset.orientation import others, stored_otherwise
from crossmatch.phantom.phantom import make_phantom
from tiny import write_dataset, write_nifti
from untrained import untrained_run

RAS = np.diag([1.0, 1.0, 2.0, 1.0])
FLIPPED, SWAPPED = RAS @ np.diag([-1.0, 1.0, 1.0, 1.0]), RAS[:, [1, 0, 2, 3]]


def turned(degrees: float, affine: np.ndarray = RAS) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zx", [degrees, degrees / 2], degrees=True).as_matrix()
    return matrix @ affine


@pytest.mark.parametrize("affine", [RAS, 3 * RAS, turned(20), turned(40), turned(60), turned(-30)])
def test_stored_alike(affine: np.ndarray) -> None:
    """Another voxel size, another place and oblique scans are no other orientation; 60 degrees is neither."""
    moved = np.array(affine)
    moved[:3, 3] = (5, -8, 100)
    assert not stored_otherwise(moved, RAS)


@pytest.mark.parametrize("affine", [FLIPPED, SWAPPED, turned(10, FLIPPED), turned(180), turned(-20, SWAPPED)])
def test_stored_otherwise(affine: np.ndarray) -> None:
    assert stored_otherwise(affine, RAS)
    assert stored_otherwise(turned(35, affine), turned(35))  # against each other, not against the patient


def test_all_are_compared_with_the_first() -> None:
    assert others([("a", RAS), ("b", turned(15)), ("c", FLIPPED), ("d", RAS), ("e", SWAPPED)]) == ["c", "e"]


def test_check_and_predict_warn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", affine=RAS)
    assert not check(data).warnings
    run = untrained_run(tmp_path / "run", data).folder
    image = data / "imagesTr" / "case_002_0000.nii.gz"
    voxels = np.random.default_rng(0).integers(0, 9, (16, 14, 4), dtype=np.int16)
    write_nifti(image, voxels, FLIPPED)
    write_nifti(data / "labelsTr" / "case_002.nii.gz", np.zeros((16, 14, 4), np.uint8), FLIPPED)
    warnings = check(data).warnings
    assert "labels without a foreground voxel: case_002" in warnings[0]
    assert "stored with other axes than case_001, swapped or flipped: case_002" in warnings[1]
    assert len(warnings) == 2
    code, out, _ = call(capsys, "predict", run, data / "imagesTs", tmp_path / "alike")
    assert (code, "Warning" in out) == (0, False)
    code, out, _ = call(capsys, "predict", run, image, tmp_path / "otherwise")
    assert code == 0
    assert "Warning: stored with other axes than the scans of the training" in out
    assert "case_002" in out


def test_some_voxel_sizes_are_unknown(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", affine=RAS, n_val=0)
    for folder in ("imagesTr", "labelsTr"):
        name = "case_003_0000" if folder == "imagesTr" else "case_003"
        write_nifti(
            data / folder / f"{name}.nii.gz", np.arange(64, dtype=np.int16).reshape(4, 4, 4) % 3, np.eye(4), "unknown"
        )
    assert any("unknown voxel size, while others know theirs: case_003" in text for text in check(data).warnings)


@pytest.mark.parametrize("kind", ["heart", "atrium"])
def test_phantoms_are_oblique_and_warned_of_by_nobody(tmp_path: Path, kind: str) -> None:
    make_phantom(tmp_path / "data", kind, train=8, val=0, test=2)
    assert not check(tmp_path / "data").warnings

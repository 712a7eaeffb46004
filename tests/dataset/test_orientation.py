"""Whole-axis turns by value: what is turned, what stays as stored, what is refused; what `check` says of it."""

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from axis_turns import IDS, ORDERS, reordered
from crossmatch.dataset.check import check
from crossmatch.dataset.orientation import (
    UNTURNED,
    Turn,
    difference,
    into_frame,
    inverse,
    put_onto,
    read_label,
    turn_grid,
    turn_into,
    turn_onto,
    turn_volume,
    turn_voxels,
)
from crossmatch.errors import UserError
from crossmatch.formats import Volume, new_volume, same_grid
from crossmatch.phantom.phantom import make_phantom
from tiny import write_dataset, write_nifti

LPS = np.array([[-1.0, 0, 0, 40], [0, -2, 0, 30], [0, 0, 3, -20], [0, 0, 0, 1]])
HERE = Path("scan.nii.gz")


def scan(affine: np.ndarray | None = LPS, shape: tuple[int, ...] = (4, 5, 6), seed: int = 0) -> Volume:
    return new_volume(np.random.default_rng(seed).integers(0, 99, shape, dtype=np.int16), affine)


def stored(volume: Volume, order: np.ndarray) -> Volume:
    return new_volume(*reordered(volume.voxels, volume.affine, order))


def rotated(affine: np.ndarray, *degrees: float) -> np.ndarray:
    """The affine after rotations around the world's z, then x."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zx"[: len(degrees)], degrees, degrees=True).as_matrix()
    return matrix @ affine


def test_a_turn_by_value() -> None:
    """The second axis, reversed, comes first; then the third; then the first."""
    voxels, turn = np.arange(24).reshape(2, 3, 4), Turn((1, 2, 0), (True, False, False))
    turned = turn_voxels(voxels, turn)
    assert turned.shape == (3, 4, 2)
    assert turned[0, 3, 1] == voxels[1, 2, 3]
    assert np.shares_memory(turned, voxels)
    grid = turn_grid(new_volume(voxels, np.diag([1.0, 2, 3, 1])), turn)
    assert (grid.shape, grid.spacing_mm) == ((3, 4, 2), (2.0, 3.0, 1.0))
    assert grid.affine.tolist() == [[0, 0, 1, 0], [-2, 0, 0, 4], [0, 3, 0, 0], [0, 0, 0, 1]]


def test_maps_are_turned_along_their_last_axes() -> None:
    maps, turn = np.arange(48).reshape(2, 2, 3, 4), Turn((2, 0, 1), (False, True, False))
    assert all(np.array_equal(turn_voxels(maps, turn)[k], turn_voxels(maps[k], turn)) for k in range(2))


@pytest.mark.parametrize("order", ORDERS, ids=IDS)
def test_each_of_48_turns_is_undone(order: np.ndarray) -> None:
    volume = scan()
    other = stored(volume, order)
    turn = turn_into(LPS.tolist(), other)
    back = turn_volume(other, turn)
    assert np.array_equal(back.voxels, volume.voxels)
    assert np.allclose(back.affine, LPS, atol=1e-12)
    assert back.spacing_mm == (1.0, 2.0, 3.0)
    assert (turn == UNTURNED) == np.array_equal(order, ORDERS[0])
    assert turn_onto(volume, other) == turn
    assert turn_onto(other, volume) == inverse(turn)
    assert np.array_equal(turn_voxels(volume.voxels, inverse(turn)), other.voxels)


def test_what_is_not_turned_is_not_copied() -> None:
    volume = scan()
    assert turn_volume(volume, UNTURNED) is volume
    assert into_frame([volume], LPS.tolist(), HERE)[0][0] is volume


@pytest.mark.parametrize("degrees", [(10,), (-25, 10), (32,), (0, 30)])
@pytest.mark.parametrize("order", ORDERS[::7], ids=IDS[::7])
def test_an_oblique_scan_is_turned_to_the_nearest_axes(degrees: tuple[float, ...], order: np.ndarray) -> None:
    """Up to 32 degrees off, one way of the 48 is clearly nearest, however the scan is stored."""
    straight = scan(rotated(LPS, *degrees))
    found = turn_volume(other := stored(straight, order), turn_into(LPS.tolist(), other))
    assert np.array_equal(found.voxels, straight.voxels)


@pytest.mark.parametrize("degrees", [40, 45, 50])
def test_between_two_ways_the_stored_one_stays_and_none_is_mirrored(degrees: float) -> None:
    straight = scan(rotated(LPS, degrees))
    assert turn_into(LPS.tolist(), straight) == UNTURNED
    for order in ORDERS:
        other = stored(straight, order)
        turn = turn_into(LPS.tolist(), other)
        handedness = np.linalg.det(turn_grid(other, turn).affine) * np.linalg.det(LPS)
        assert handedness > 0


def test_unknown_axes_stay_as_stored() -> None:
    flipped = LPS @ np.diag([-1.0, 1, 1, 1])
    assert turn_into(LPS.tolist(), scan(flipped)) != UNTURNED
    assert turn_into(None, scan(flipped)) == UNTURNED
    assert turn_into(LPS.tolist(), scan(None)) == UNTURNED
    assert turn_into(LPS.tolist(), scan(flipped, (4, 5))) == UNTURNED  # 2D


def test_a_header_without_sform_and_qform_states_no_axes(tmp_path: Path) -> None:
    from crossmatch import formats

    header = nib.Nifti1Header()
    header.set_xyzt_units("mm")
    image = nib.Nifti1Image(scan().voxels, None, header)
    image.header.set_zooms((1, 2, 3))
    nib.save(image, tmp_path / "a.nii")
    found = formats.read(tmp_path / "a.nii")
    assert found.spacing_mm == (1.0, 2.0, 3.0)
    assert not found.oriented
    assert not formats.read_grid(tmp_path / "a.nii").oriented
    assert turn_into(np.eye(4).tolist(), found) == UNTURNED


@pytest.mark.parametrize(
    ("affine", "shape", "told"),
    [
        (rotated(LPS, 5), (4, 5, 6), r"no whole turn makes equal \(axes differ by 5 degrees\); resample"),
        (LPS + np.eye(4)[:, [3, 0, 1, 2]] * [[0], [0], [1], [0]], (4, 5, 6), r"affine .* no whole turn makes equal"),
        (LPS * [[1], [1], [1.1], [1]], (4, 5, 6), r"3\.3, -22\.0\]\], not .* \(axes differ by 0 degrees\)"),
        (LPS, (4, 5, 7), r"shape \(4, 5, 7\), not \(4, 5, 6\)"),
        (LPS, (5, 4, 6), r"shape \(5, 4, 6\), not \(4, 5, 6\)"),
        (LPS[:, [1, 0, 2, 3]], (4, 5, 6), r"shape \(4, 5, 6\), not \(4, 5, 6\) when its axes are swapped"),
        (None, (4, 5, 6), "it does not say how its axes run in the world, and the other does; export both"),
    ],
    ids=["5 degrees", "shear", "spacing", "shape", "swapped shape", "swapped affine", "unknown"],
)
def test_another_grid_is_refused_with_numbers(affine: np.ndarray | None, shape: tuple[int, ...], told: str) -> None:
    image, label = scan(), scan(affine, shape)
    assert turn_onto(image, label) is None
    with pytest.raises(UserError, match=rf"^scan\.nii\.gz lies on another grid than its image: .*{told}"):
        put_onto(image, label, HERE, "its image")


def test_a_label_that_says_more_than_its_image_is_refused() -> None:
    assert difference(scan(None), scan()).startswith("it says how its axes run in the world, and the other does not")


def test_channels_are_put_onto_the_first() -> None:
    first, second = scan(), scan(seed=1)
    turned = stored(second, ORDERS[29])
    channels, turn = into_frame([first, turned], LPS.tolist(), HERE)
    assert turn == UNTURNED
    assert np.array_equal(channels[1].voxels, second.voxels)
    channels, turn = into_frame([turned, first], LPS.tolist(), HERE)
    assert turn != UNTURNED
    assert np.array_equal(channels[0].voxels, second.voxels)
    assert np.array_equal(channels[1].voxels, first.voxels)
    with pytest.raises(UserError, match=r"scan\.nii\.gz: channel 1 lies on another grid than channel 0: it does not"):
        into_frame([first, scan(None)], LPS.tolist(), HERE)


def test_turned_grids_are_the_same_to_the_tolerance_of_same_grid() -> None:
    """Affines of float32 headers."""
    volume = scan(rotated(LPS, 20, 11), (200, 180, 90))
    other = stored(volume, ORDERS[41])
    rounded = new_volume(other.voxels, other.affine.astype(np.float32))
    turn = turn_onto(volume, rounded)
    assert turn is not None
    assert same_grid(volume, turn_grid(rounded, turn))


def test_a_part_of_a_scan_drawn_in_slicer_may_have_other_axes(tmp_path: Path) -> None:
    """A cropped segmentation is padded in its own axes, and then turned onto the scan."""
    affine = np.diag([-0.5, -0.75, 3.0, 1.0])  # of LPS+ steps 0.5, 0.75, 3
    image, voxels = scan(affine, (6, 5, 4)), np.arange(1, 13, dtype=np.uint8).reshape(2, 3, 2)
    header = {
        "space": "left-posterior-superior",
        "space directions": [[0.0, -0.75, 0.0], [0.0, 0.0, 3.0], [0.5, 0.0, 0.0]],  # y backwards, z, x
        "space origin": [2 * 0.5, 3 * 0.75, 3.0],
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(tmp_path / "a.seg.nrrd"), voxels, header)
    expected = np.zeros((6, 5, 4), np.uint8)
    for i, j, k in np.ndindex(voxels.shape):
        expected[2 + k, 3 - i, 1 + j] = voxels[i, j, k]
    label = read_label(tmp_path / "a.seg.nrrd", image, {})
    assert np.array_equal(label.voxels, expected)


def store_again(path: Path, order: np.ndarray) -> None:
    """A file with other axes, the same voxels in the same places of the world."""
    image = nib.load(path)
    write_nifti(path, *reordered(np.asarray(image.dataobj), image.affine, order))


def test_check_sees_one_dataset_however_it_is_stored(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", channels=2)
    before = check(data)
    assert not before.warnings
    assert before.frame == before.cases[0].affine
    store_again(data / "imagesTr" / "case_002_0000.nii.gz", ORDERS[17])
    store_again(data / "imagesTr" / "case_002_0001.nii.gz", ORDERS[4])
    store_again(data / "imagesTr" / "case_003_0001.nii.gz", ORDERS[40])
    store_again(data / "labelsTr" / "case_001.nii.gz", ORDERS[9])
    store_again(data / "labelsTr" / "case_002.nii.gz", ORDERS[17])
    after = check(data)
    assert len(after.warnings) == 1
    assert "labels stored with other axes than their images: case_001; each voxel" in after.warnings[0]
    assert after.digest == before.digest
    for old, new in zip(before.cases, after.cases, strict=True):
        assert (new.shape, new.spacing_mm, new.label_voxels) == (old.shape, old.spacing_mm, old.label_voxels)
        assert (new.image_sha256, new.label_sha256) == (old.image_sha256, old.label_sha256)


def test_check_names_scans_of_unknown_axes_beside_known_ones(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", n_val=0)
    for name in ("imagesTr/case_001_0000", "labelsTr/case_001"):
        path = data / f"{name}.nii.gz"
        write_nifti(path, np.asarray(nib.load(path).dataobj), np.eye(4), "unknown")
    found = check(data)
    assert any(
        "of unknown orientation, while others state theirs: case_001; they are used" in w for w in found.warnings
    )
    assert any("unknown voxel size, while others know theirs: case_001" in text for text in found.warnings)
    assert found.frame == found.cases[1].affine  # of the first that states it
    everywhere = write_dataset(tmp_path / "unknown", affine=np.eye(4), unit="unknown")
    assert check(everywhere).warnings == ()
    assert check(everywhere).frame is None


@pytest.mark.parametrize("kind", ["heart", "atrium"])
def test_phantoms_are_oblique_and_warned_of_by_nobody(tmp_path: Path, kind: str) -> None:
    make_phantom(tmp_path / "data", kind, train=8, val=0, test=2)
    assert not check(tmp_path / "data").warnings

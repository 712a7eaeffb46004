"""The phantom dataset: layout, geometry, reproducibility, and variation that makes it worth learning on."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from crossmatch.errors import UserError
from crossmatch.phantom.heart_anatomy import draw_heart, heart_borders
from crossmatch.phantom.phantom import LABELS, PHANTOM_VERSION, draw_case, make_phantom


def case(split: int, index: int, seed: int = 0):
    return draw_case(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split, index))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom") / "new"
    make_phantom(root, train=4, val=1, test=2)
    return root


@pytest.fixture(scope="module")
def cases():
    return [case(0, index) for index in range(12)]


def dice(a, b) -> float:
    return 2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_layout(folder):
    description = json.loads((folder / "dataset.json").read_text())
    assert description["description"] == "Synthetic short-axis cardiac MR, generator version 1, seed 0"
    assert description["channel_names"] == {"0": "MRI"}
    assert description["labels"] == LABELS == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert description["file_ending"] == ".nii.gz"
    assert description["slice_axis"] == 2
    assert (description["numTraining"], description["numTest"]) == (5, 2)
    names = {split: (folder / "splits" / f"{split}.txt").read_text().split() for split in ("train", "val", "test")}
    assert names["train"] == ["train000", "train001", "train002", "train003"]
    assert {path.name for path in (folder / "splits").iterdir()} == {
        *("train.txt", "val.txt", "test.txt", "train_1_label.txt", "train_2_label.txt", "train_3_label.txt")
    }
    assert (folder / "splits" / "train_2_label.txt").read_text().split() == names["train"][:2]
    for part, split_names in {"Tr": names["train"] + names["val"], "Ts": names["test"]}.items():
        images = {path.name for path in (folder / f"images{part}").iterdir()}
        labels = {path.name for path in (folder / f"labels{part}").iterdir()}
        assert images == {f"{name}_0000.nii.gz" for name in split_names}
        assert labels == {f"{name}.nii.gz" for name in split_names}


def test_geometry_on_disk(folder):
    image = nib.load(folder / "imagesTr" / "train000_0000.nii.gz")
    label = nib.load(folder / "labelsTr" / "train000.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    assert image.shape == label.shape
    np.testing.assert_array_equal(image.affine, label.affine)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    np.testing.assert_allclose(image.get_qform(), image.affine, atol=1e-3)
    voxels, drawn_label, affine = case(0, 0)
    np.testing.assert_array_equal(np.asarray(image.dataobj), voxels)
    np.testing.assert_array_equal(np.asarray(label.dataobj), drawn_label)
    np.testing.assert_allclose(image.affine, affine, rtol=1e-5, atol=1e-4)


def test_cases_are_plausible(cases):
    in_plane = set()
    for image, label, affine in cases:
        nx, ny, slices = image.shape
        assert image.dtype == np.int16
        assert label.dtype == np.uint8
        assert label.shape == image.shape
        assert 72 <= nx <= 110
        assert 72 <= ny <= 110
        assert nx != ny
        assert 6 <= slices <= 9
        in_plane.add((nx, ny))
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        assert 1.4 <= spacing[0] <= 1.8
        assert spacing[0] == pytest.approx(spacing[1])
        assert 8 <= spacing[2] <= 10
        rotation = affine[:3, :3] / spacing
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert image.min() >= 0
        assert image.max() > 100
        assert set(np.unique(label)) == {0, 1, 2, 3}
        assert 0.02 < np.mean(label > 0) < 0.45
    assert len(in_plane) > 8
    empty = [not label[:, :, z].any() for _, label, _ in cases for z in (0, -1)]
    assert 2 <= sum(empty) < len(empty)


def test_ventricle_is_enclosed_by_muscle(cases):
    """The left ventricle never touches background or RV inside a slice: 4-neighbours are LV or myocardium."""
    for _, label, _ in cases:
        for axis in (0, 1):
            a, b = np.moveaxis(label, axis, 0)[:-1], np.moveaxis(label, axis, 0)[1:]
            touching = (a == 3) & (b != 3) | (b == 3) & (a != 3)
            other = np.where(a == 3, b, a)[touching]
            assert np.mean(other == 2) > 0.99


def test_borders_have_the_drawn_size():
    """Without ripples the LV area at the base is the circle pi r^2, and the ring around it pi ((r + w)^2 - r^2)."""
    heart = draw_heart(np.random.default_rng(3))
    ripples = heart.ripples.copy()
    ripples[:, 0] = 0
    plain = type(heart)(**{**vars(heart), "ripples": ripples, "tilt": (0.0, 0.0)})
    step = 0.25
    axis = np.arange(-70, 70, step, dtype=np.float32)
    label = heart_borders(plain, axis[:, None, None], axis[None, :, None], np.full((1, 1, 1), 1e-6, np.float32)).label()
    assert np.sum(label == 3) * step**2 == pytest.approx(np.pi * plain.endo**2, rel=0.01)
    assert np.sum(label >= 2) * step**2 == pytest.approx(np.pi * (plain.endo + plain.wall) ** 2, rel=0.01)
    beyond = heart_borders(plain, axis[:, None, None], axis[None, :, None], np.float32([[[-0.05, 1.0]]])).label()
    assert not beyond.any()


def test_same_seed_same_files_and_more_cases_keep_the_first(folder, tmp_path):
    make_phantom(tmp_path / "again", train=4, val=1, test=2)
    first = files(folder)
    assert files(tmp_path / "again") == first
    make_phantom(tmp_path / "more", train=6, val=2, test=3)
    more = files(tmp_path / "more")
    volumes = {name: content for name, content in first.items() if name.endswith(".nii.gz")}
    assert len(volumes) == 14
    assert {name: more[name] for name in volumes} == volumes
    make_phantom(tmp_path / "other", train=1, val=0, test=0, seed=1)
    other = files(tmp_path / "other")
    assert other["imagesTr/train000_0000.nii.gz"] != first["imagesTr/train000_0000.nii.gz"]
    assert [name for name in other if "_label" in name] == ["splits/train_1_label.txt"]


def test_grey_value_alone_does_not_find_the_ventricle(cases):
    """The best window of grey values after min-max per volume, one for all cases, is below Dice 0.5 in each class."""
    coarse = [((image - image.min()) / np.ptp(image), label) for image, label, _ in cases]
    coarse = [(x[::3, ::3], label[::3, ::3]) for x, label in coarse]
    edges = np.linspace(0, 1, 21)
    for value in (1, 2, 3):
        best = max(
            np.mean([dice((x >= low) & (x < high), label == value) for x, label in coarse])
            for i, low in enumerate(edges)
            for high in edges[i + 1 :]
        )
        assert best < 0.5


def test_tissues_overlap_between_cases(cases):
    """Bright myocardium of one case is as bright as another's LV blood, and some background is brighter than the LV."""
    scaled = [(image - image.min()) / np.ptp(image) for image, _, _ in cases]
    ventricle = [np.median(x[label == 3]) for x, (_, label, _) in zip(scaled, cases, strict=True)]
    muscle = [np.median(x[label == 2]) for x, (_, label, _) in zip(scaled, cases, strict=True)]
    bright_muscle = [np.percentile(x[label == 2], 90) for x, (_, label, _) in zip(scaled, cases, strict=True)]
    assert max(bright_muscle) > min(ventricle)
    assert all(low < high for low, high in zip(muscle, ventricle, strict=True))
    brighter = [np.mean(x[label == 0] > v) for v, x, (_, label, _) in zip(ventricle, scaled, cases, strict=True)]
    assert np.mean(np.array(brighter) > 0.01) > 0.7


def test_refuses_what_exists(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        make_phantom(tmp_path)
    with pytest.raises(UserError, match="not an empty folder"):
        make_phantom(tmp_path / "notes.txt")
    assert files(tmp_path) == {"notes.txt": b"mine"}
    with pytest.raises(UserError, match="no phantom of kind 'liver': the kinds are heart, atrium"):
        make_phantom(tmp_path / "none", "liver")
    with pytest.raises(UserError, match="train=0"):
        make_phantom(tmp_path / "none", train=0)
    with pytest.raises(UserError, match="seed=-1"):
        make_phantom(tmp_path / "none", seed=-1)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("stream", "shape", "voxels", "means", "corner_mm"),
    [
        ((0, 0), (98, 89, 9), (63868, 8058, 3422, 3150), (309.2, 591.0, 341.2, 550.5), (-125.211, 20.3815, 58.5057)),
        ((2, 5), (83, 96, 9), (58274, 3783, 3357, 6298), (567.1, 1076.1, 564.8, 1258.7), (-61.0307, -29.71, -18.4635)),
    ],
)
def test_version_1_is_frozen(stream, shape, voxels, means, corner_mm):
    """What version 1 draws; voxels and means leave room for rounding in other NumPy, SciPy and libm builds only."""
    assert PHANTOM_VERSION == 1
    image, label, affine = case(*stream)
    assert image.shape == shape
    np.testing.assert_allclose(np.bincount(label.ravel(), minlength=4), voxels, rtol=2e-3)
    np.testing.assert_allclose([image[label == k].mean() for k in range(4)], means, rtol=2e-3)
    np.testing.assert_allclose(affine[:3, 3], corner_mm, atol=1e-3)

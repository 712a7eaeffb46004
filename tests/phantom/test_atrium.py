"""The atrium phantom: its shapes by hand, its place on disk, and variation that makes it worth learning on."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from crossmatch.dataset.check import check
from crossmatch.phantom import atrium as atrium_module
from crossmatch.phantom.atrium import ATRIUM_LABELS, ATRIUM_STYLES, ATRIUM_VERSION, draw_case, draw_grey, paint_heart
from crossmatch.phantom.atrium_anatomy import (
    Atrium,
    Vein,
    VoxelCentres,
    atrium_borders,
    draw_atrium,
    ellipsoid,
    tube,
)
from crossmatch.phantom.phantom import make_phantom


def stream(split: int, index: int, seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split, index)))


@pytest.fixture(scope="module")
def cases():
    return [draw_case(stream(0, index)) for index in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom") / "atria"
    make_phantom(root, "atrium", train=4, val=1, test=1)
    return root


def cube(half_mm: float, step_mm: float, centre=(0.0, 0.0, 0.0)) -> VoxelCentres:
    count = round(2 * half_mm / step_mm) + 1
    return VoxelCentres((count, count, count), np.eye(3) * step_mm, np.array(centre) - half_mm)


def plain(*veins: Vein) -> Atrium:
    """A smooth body of radii 25, 18, 20 mm, cut 14 mm before its centre; its appendage hides inside."""
    inside = (np.zeros(3), np.array([1.0, 0, 0]), np.zeros(3))
    return Atrium(
        np.array([25.0, 18, 20]), (), np.array([0, -14.0, 0]), np.array([0, -1.0, 0]), inside, (1.0, 2.0), veins
    )


def test_written_dataset_is_sound(folder):
    fingerprint = check(folder)
    assert fingerprint.warnings == ()
    assert fingerprint.labels == ATRIUM_LABELS == {"background": 0, "LA": 1}
    description = json.loads((folder / "dataset.json").read_text())
    assert description["description"] == "Synthetic MR of the left atrium, generator version 1, seed 0"
    assert (description["numTraining"], description["numTest"]) == (5, 1)
    lists = {path.name: path.read_text().split() for path in (folder / "splits").iterdir()}
    train = ["train000", "train001", "train002", "train003"]
    assert lists == {
        **{"train.txt": train, "val.txt": ["val000"], "test.txt": ["test000"]},
        **{f"train_{count}_label.txt": train[:count] for count in (1, 2, 4)},
    }
    image, label, affine = draw_case(stream(1, 0))
    stored = nib.load(folder / "imagesTr" / "val000_0000.nii.gz")
    np.testing.assert_array_equal(np.asarray(stored.dataobj), image)
    np.testing.assert_allclose(stored.affine, affine, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(nib.load(folder / "labelsTr" / "val000.nii.gz").dataobj), label)
    assert (stored.get_data_dtype(), stored.header.get_xyzt_units()[0]) == (np.int16, "mm")


def test_same_seed_same_files_and_fewer_cases_are_the_first(folder, tmp_path):
    make_phantom(tmp_path / "fewer", "atrium", train=2, val=1, test=0)
    volumes = [path.relative_to(tmp_path / "fewer") for path in (tmp_path / "fewer").rglob("*.nii.gz")]
    assert len(volumes) == 6
    assert all((folder / name).read_bytes() == (tmp_path / "fewer" / name).read_bytes() for name in volumes)
    assert not np.array_equal(draw_case(stream(0, 0, seed=1))[0], draw_case(stream(0, 0))[0])


def test_cases_are_plausible(cases):
    for image, label, affine in cases:
        assert (image.dtype, label.dtype) == (np.int16, np.uint8)
        assert image.shape == label.shape
        assert all(
            low <= size <= high for size, (low, high) in zip(image.shape, [(64, 88), (56, 80), (40, 52)], strict=True)
        )
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        assert np.all((spacing >= 1.2) & (spacing <= 1.5))
        assert spacing[0] == pytest.approx(spacing[1])
        rotation = affine[:3, :3] / spacing
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert np.all(np.diag(rotation) * (-1, -1, 1) > 0.8)  # the axes run to the left, the back and the head
        assert image.min() >= 0
        assert image.max() > 100
        assert 15 < np.sum(label) * np.prod(spacing) / 1000 < 120  # ml
    assert len({image.shape for image, _, _ in cases}) == len(cases)


def test_atrium_is_one_piece_with_thin_parts(cases):
    """Body, appendage and veins hang together; opening by a ball of 5 mm takes thin parts off, but no large share."""
    touching = np.ones((3, 3, 3))
    for _, label, affine in cases:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        assert ndimage.label(label, touching)[1] == 1
        depth = ndimage.distance_transform_edt(np.pad(label, 1), spacing)
        body = ndimage.distance_transform_edt(depth <= 6, spacing)[1:-1, 1:-1, 1:-1] <= 6
        thin = np.sum((label == 1) & ~body) / np.sum(label)
        assert 0.01 < thin < 0.35


def test_body_has_the_drawn_size():
    """An ellipsoid without its cap at height h = 14 / 18: the share 1 - (1 - h)^2 (2 + h) / 4 of 4/3 pi a b c."""
    label = atrium_borders(np.random.default_rng(0), plain(), cube(28, 0.5)).label()
    height = 14 / 18
    expected = 4 / 3 * np.pi * 25 * 18 * 20 * (1 - (1 - height) ** 2 * (2 + height) / 4)
    assert np.sum(label) * 0.5**3 == pytest.approx(expected, rel=0.01)
    y = np.arange(-28, 28.1, 0.5)[label.any(axis=(0, 2))]
    assert (y.min(), y.max()) == (-13.5, 17.5)


def test_vein_is_round_attached_and_labelled_to_its_reach():
    """A straight vein of 3 mm along x, labelled 8 mm beyond the body's wall at x = 25, is seen far beyond that."""
    vein = Vein(np.array([15.0, 0, 0]), np.array([1.0, 0, 0]), np.zeros(3), radius=3.0, reach=8.0)
    grid = cube(8, 0.25, centre=(32.0, 0, 0))
    borders = atrium_borders(np.random.default_rng(0), plain(vein), grid)
    label, x = borders.label(), 24 + np.arange(65) * 0.25
    middle = label[:, 32, 32]
    assert np.all(middle[x < 33] == 1)
    assert not label[x > 33].any()
    assert np.all(borders.veins[:, 32, 32] < -2)
    radius = 3 * (1 - (30 - 15) / 160)
    assert np.sum(label[x == 30]) * 0.25**2 == pytest.approx(np.pi * radius**2, rel=0.03)


def test_tube_and_ellipsoid_by_hand():
    # the points (0, 3, 4), (10, 3, 4), (20, 3, 4)
    grid = VoxelCentres((3, 1, 1), np.eye(3) * 10.0, np.array([0.0, 3.0, 4.0]))
    gap, t = tube(grid, np.array([10.0, 0, 0]), np.array([1.0, 0, 0]), np.array([7.0, 0.03, 0]))
    np.testing.assert_allclose(t.ravel(), [-10, 0, 10])
    # Before its start the line is a point; 10 mm on it has moved by 0.03 * 10^2 = 3 mm along y; 7 along x is ignored.
    np.testing.assert_allclose(gap.ravel(), [np.hypot(10, 5), 5, 4], atol=1e-3)
    sphere = ellipsoid(grid, np.array([10.0, 0, 0]), np.full(3, 6.0), np.eye(3)[[2, 0, 1]])
    np.testing.assert_allclose(sphere.ravel(), [np.hypot(10, 5) - 6, -1, np.hypot(10, 5) - 6], atol=1e-3)


def test_drawn_veins():
    atria = [draw_atrium(np.random.default_rng(seed)) for seed in range(200)]
    counts = np.bincount([len(atrium.veins) for atrium in atria], minlength=6)
    assert counts[3] + counts[4] + counts[5] == 200
    assert counts[4] > 100
    assert min(counts[3], counts[5]) > 15
    veins = [vein for atrium in atria for vein in atrium.veins]
    assert all(2.5 <= vein.radius <= 5 and 6 <= vein.reach <= 14 for vein in veins)
    for atrium in atria:  # every vein starts inside the body
        assert all(np.linalg.norm(vein.start / atrium.radii) < 0.95 for vein in atrium.veins)


def test_ventricle_has_the_same_blood_without_a_label():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        atrium = draw_atrium(rng)
        grid = VoxelCentres((1, 1, 2), np.zeros((3, 3)), atrium.valve + 20 * atrium.outflow)
        borders = atrium_borders(rng, atrium, grid)
        grey = draw_grey(rng, next(iter(ATRIUM_STYLES.values())))
        image = np.zeros(grid.shape, np.float32)
        paint_heart(rng, image, grey, grid, atrium, borders)
        np.testing.assert_allclose(image, grey["left"], rtol=0.03)
        assert not borders.label().any()


def test_every_split_mixes_the_styles(monkeypatch):
    class Drawn(Exception):
        pass

    def stop(rng, style):
        raise Drawn(style)

    monkeypatch.setattr(atrium_module, "draw_grey", stop)

    def style(split: int, index: int):
        with pytest.raises(Drawn) as drawn:
            draw_case(stream(split, index))
        return drawn.value.args[0]

    for split, count, least in ((0, 24, 4), (1, 4, 2), (2, 10, 3)):
        assert len({style(split, index) for index in range(count)}) >= least


def test_grey_value_alone_does_not_find_the_atrium(cases):
    """The best window of grey values after min-max per volume, one for all cases, is below Dice 0.5."""
    edges = np.linspace(0, 1, 21)
    scaled = [((image - image.min()) / np.ptp(image), label) for image, label, _ in cases]
    seen = np.stack([np.histogram(x, edges)[0] for x, _ in scaled])
    atrium = np.stack([np.histogram(x[label == 1], edges)[0] for x, label in scaled])
    windows = [slice(low, high) for low in range(20) for high in range(low + 1, 21)]
    dice = [2 * atrium[:, w].sum(1) / (seen[:, w].sum(1) + atrium.sum(1)) for w in windows]
    assert 0.2 < max(np.mean(value) for value in dice) < 0.5


def test_other_blood_is_as_bright(cases):
    """In nearly every case more unlabelled voxels than the atrium has lie in the middle half of its grey values."""
    more = []
    for image, label, _ in cases:
        low, high = np.percentile(image[label == 1], (25, 75))
        middle = (image >= low) & (image <= high)
        more.append(np.sum(middle & (label == 0)) > np.sum(middle & (label == 1)))
    assert np.mean(more) > 0.7


@pytest.mark.parametrize(
    ("place", "shape", "voxels", "means", "corner_mm"),
    [
        ((0, 0), (73, 77, 52), (255811, 36481), (152.6, 203.1), (48.6684, 5.0485, -27.5653)),
        ((2, 5), (78, 73, 51), (278705, 11689), (82.8, 188.9), (94.6823, 6.8543, -5.9953)),
    ],
)
def test_version_1_is_frozen(place, shape, voxels, means, corner_mm):
    """What version 1 draws; voxels and means leave room for rounding in other NumPy, SciPy and libm builds only."""
    assert ATRIUM_VERSION == 1
    image, label, affine = draw_case(stream(*place))
    assert image.shape == shape
    np.testing.assert_allclose(np.bincount(label.ravel()), voxels, rtol=2e-3)
    np.testing.assert_allclose([image[label == k].mean() for k in range(2)], means, rtol=2e-3)
    np.testing.assert_allclose(affine[:3, 3], corner_mm, atol=1e-3)
